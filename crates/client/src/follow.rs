//! Knowing the cluster: from any seed at first, then from whoever says that something has changed.

use std::sync::{Arc, Weak};

use dynamokv_rpc::pb;
use futures_util::future::join_all;
use tokio::time::{Duration, Instant};

use crate::operation::Pauses;
use crate::shared::Shared;
use crate::transport::{Cause, Failed, Reply, Request, Transport};
use crate::{ClientConfig, Error, Result, Topology};

/// The topology as the first seed that knows it tells it. Asked again and again until `config.timeout` has passed: where a whole cluster
/// is started, its clients come before it.
pub(crate) async fn find<T: Transport>(
    transport: &T,
    seeds: &[String],
    config: &ClientConfig,
) -> Result<Topology> {
    let deadline = Instant::now() + config.timeout;
    let mut pauses = Pauses::new(config, 0);
    loop {
        let asked = seeds
            .iter()
            .map(|seed| fetch(transport, seed, None, seeds, config));
        let mut reasons = Vec::new();
        for (seed, told) in seeds.iter().zip(join_all(asked).await) {
            match told {
                Ok(Some(topology)) => return Ok(topology),
                Ok(None) => reasons.push((seed.clone(), "it told nothing".to_owned())),
                Err(failed) => reasons.push((seed.clone(), failed.message)),
            }
        }
        let again = Instant::now() + pauses.next();
        if again >= deadline || seeds.is_empty() {
            return Err(Error::NoSeed { reasons });
        }
        tokio::time::sleep_until(again).await;
    }
}

/// Keeps the topology fresh until the client is dropped.
pub(crate) async fn follow<T: Transport>(client: Weak<Shared<T>>) {
    loop {
        let Some((stale, interval)) = client
            .upgrade()
            .map(|client| (Arc::clone(&client.stale), client.config.follow_interval))
        else {
            return;
        };
        // A time-out is the other reason to ask.
        let _ = tokio::time::timeout(interval, stale.notified()).await;
        let Some(client) = client.upgrade() else {
            return;
        };
        client.refresh().await;
        drop(client);
        // While nodes disagree, each of their answers is news.
        tokio::time::sleep(REFRESH_PAUSE).await;
    }
}

impl<T: Transport> Shared<T> {
    async fn refresh(&self) {
        let known = self.topology.load_full();
        for address in self.tellers(&known) {
            match fetch(
                &self.transport,
                &address,
                Some(known.version()),
                &self.seeds,
                &self.config,
            )
            .await
            {
                Ok(Some(told)) if told.replaces(&known) => return self.install(told),
                Ok(_) => return,
                Err(failed) => {
                    tracing::debug!(%address, reason = failed.message, "no topology from there");
                }
            }
        }
    }

    /// Whom to ask, in order: who said that there is news, some others, the seeds.
    fn tellers(&self, known: &Topology) -> Vec<String> {
        let mut state = self.state.lock();
        let now = Instant::now().into();
        let teller = state.teller.take();
        let mut others: Vec<_> = known.nodes().iter().collect();
        state.dice.shuffle(&mut others);
        others.sort_by_key(|node| {
            (
                Some(node.id) != teller,
                state.health.is_avoided(node.id, now),
            )
        });
        let nodes = others.into_iter().map(|node| node.address.clone());
        let nodes = nodes
            .filter(|address| !address.is_empty())
            .take(TELLERS_MAX);
        nodes.chain(self.seeds.iter().cloned()).collect()
    }

    fn install(&self, topology: Topology) {
        tracing::debug!(
            change = topology.change(),
            nodes = topology.nodes().len(),
            "the topology has changed"
        );
        let addresses: Vec<&str> = topology
            .nodes()
            .iter()
            .map(|node| node.address.as_str())
            .chain(self.seeds.iter().map(String::as_str))
            .collect();
        self.transport.keep_only(&addresses);
        let mut state = self.state.lock();
        state.health.keep(|node| topology.node(node).is_some());
        drop(state);
        self.topology.store(Arc::new(topology));
    }
}

/// What a node knows; `None` if that is what the asker has.
async fn fetch<T: Transport>(
    transport: &T,
    address: &str,
    known: Option<u64>,
    seeds: &[String],
    config: &ClientConfig,
) -> Result<Option<Topology>, Failed> {
    let request = Request::Topology(pb::TopologyRequest { known });
    let answered = transport
        .ask(address, request, config.attempt_timeout)
        .await?;
    match answered.reply {
        Reply::Topology(told) => Ok(told
            .topology
            .map(|topology| Topology::told(told.version, topology, seeds))),
        _ => Err(Failed::new(
            Cause::Lost,
            "the answer is one to another question",
        )),
    }
}

const REFRESH_PAUSE: Duration = Duration::from_millis(100);
const TELLERS_MAX: usize = 3;
