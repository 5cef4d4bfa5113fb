//! The planted bug of hint delivery breaks a promise that holds without it; two nodes in virtual time.
#![cfg(feature = "planted-bugs")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dynamokv::antientropy::{Answer, Question};
use dynamokv::coordinator::{
    Error, Fence, Forwarded, Options, PutReply, PutRequest, ReplicaAnswer, ReplicaError,
    ReplicaRead, ReplicaTransport, ReplicaWrite,
};
use dynamokv::gossip::{GossipTransport, Message, TransportError};
use dynamokv::handoff::{CollectRequest, Entry, Page, RangeRequest};
use dynamokv::ring::NodeId;
use dynamokv::rpc::{KeyScan, KeyStates, KvService, PeerService};
use dynamokv::storage::planted::{self, Bug};
use dynamokv::storage::{Family, MemoryEngine, ObjectKey, SyncMode};
use dynamokv::vclock::CausalContext;
use dynamokv::{
    EngineKind, ExchangeTransport, HandoverTransport, ListingTransport, NodeConfig, Parts, Service,
    Surroundings,
};
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

/// Calls the other nodes; while it is broken, all but gossip fails.
#[derive(Clone, Default)]
struct Network {
    services: Arc<Mutex<BTreeMap<NodeId, Arc<Service<Network>>>>>,
    broken: Arc<AtomicBool>,
}

impl Network {
    fn reach(&self, to: NodeId) -> Result<Arc<Service<Self>>, ReplicaError> {
        let service = self.services.lock().get(&to).cloned();
        service
            .filter(|_| !self.broken.load(Ordering::Relaxed))
            .ok_or_else(|| ReplicaError::Unreachable("broken".to_owned()))
    }
}

impl ReplicaTransport for Network {
    async fn write(
        &self,
        to: NodeId,
        request: ReplicaWrite,
        _: Duration,
    ) -> Result<(), ReplicaError> {
        self.reach(to)?.internal_put(request).await
    }

    async fn read(
        &self,
        to: NodeId,
        request: ReplicaRead,
        _: Duration,
    ) -> Result<ReplicaAnswer, ReplicaError> {
        self.reach(to)?.internal_get(request).await
    }

    async fn forward(
        &self,
        to: NodeId,
        request: Forwarded,
        _: Duration,
    ) -> Result<Result<PutReply, Error>, ReplicaError> {
        Ok(self.reach(to)?.forward_put(request).await)
    }
}

impl GossipTransport for Network {
    async fn exchange(
        &self,
        to_address: &str,
        message: Message,
    ) -> Result<Option<Message>, TransportError> {
        let unreachable = |reason: String| TransportError::Unreachable { reason };
        let to = NodeId(to_address.trim_start_matches("node:").parse().unwrap());
        let service = self.services.lock().get(&to).cloned();
        let service = service.ok_or_else(|| unreachable("not started".to_owned()))?;
        let answer = service.push_gossip(message).await;
        answer.map_err(|error| unreachable(error.to_string()))
    }
}

impl HandoverTransport for Network {
    async fn send_hints(
        &self,
        to: NodeId,
        fence: Fence,
        entries: &[Entry],
        _: Duration,
    ) -> Result<Vec<bool>, ReplicaError> {
        self.reach(to)?.send_hints(fence, entries.to_vec()).await
    }

    async fn collect_tombstones(
        &self,
        to: NodeId,
        fence: Fence,
        request: &CollectRequest,
        _: Duration,
    ) -> Result<Vec<bool>, ReplicaError> {
        let service = self.reach(to)?;
        service.collect_tombstones(fence, request.clone()).await
    }

    async fn fetch_range(
        &self,
        from: NodeId,
        fence: Fence,
        request: &RangeRequest,
        _: Duration,
    ) -> Result<Page, ReplicaError> {
        self.reach(from)?.fetch_range(fence, request.clone()).await
    }
}

impl ListingTransport for Network {
    async fn fetch_keys(
        &self,
        to: NodeId,
        fence: Fence,
        scan: &KeyScan,
        _: Duration,
    ) -> Result<KeyStates, ReplicaError> {
        self.reach(to)?.fetch_keys(fence, scan.clone()).await
    }
}

impl ExchangeTransport for Network {
    async fn exchange_trees(
        &self,
        to: NodeId,
        fence: Fence,
        question: &Question<Entry>,
        _: Duration,
    ) -> Result<Answer<Entry>, ReplicaError> {
        let service = self.reach(to)?;
        service.exchange_trees(fence, question.clone()).await
    }
}

/// Starts node `id`: the first one founds the cluster, the other joins it.
fn start(id: u64, network: &Network) -> Parts<Network> {
    let mut config = NodeConfig::default();
    config.id = Some(NodeId(id).to_string());
    config.engine = EngineKind::Memory;
    config.partitions = 8;
    config.replicas = 2;
    config.write_quorum = 1;
    // Whether hints arrive is seen before the owners compare their copies.
    config.exchange_interval_ms = 60_000;
    config.bootstrap = id == 1;
    config.seeds = (id > 1).then(|| "node:1".to_owned()).into_iter().collect();
    let around = Surroundings {
        engine: Arc::new(MemoryEngine::new(Family::CLUSTER)),
        sync_mode: SyncMode::Manual,
        random_seed: id,
        wall_clock: Arc::new(|| 1_000),
        address: format!("node:{id}"),
    };
    let parts = Parts::start(&config, around, |_| network.clone()).unwrap();
    network.services.lock().insert(NodeId(id), parts.service());
    let store = Arc::clone(parts.store());
    tokio::spawn(async move {
        loop {
            store.run_pending_syncs();
            sleep(Duration::from_millis(1)).await;
        }
    });
    parts
}

/// Whether an owner that was away for some deliveries has an acknowledged write in the end.
async fn the_absent_owner_has_the_write() -> bool {
    let network = Network::default();
    let (here, away) = (start(1, &network), start(2, &network));
    let joined = timeout(Duration::from_secs(60), async {
        while here.view().current.members().len() < 2 || here.view().next.is_some() {
            sleep(Duration::from_millis(100)).await;
        }
    });
    joined.await.unwrap();
    let key = ObjectKey::new("default", "k").unwrap();
    network.broken.store(true, Ordering::Relaxed);
    let client = here.service();
    let put = client.put(PutRequest {
        key: key.clone(),
        value: Some("v".into()),
        content_type: None,
        context: CausalContext::new(),
        return_values: false,
        idempotency_key: None,
        options: Options::default(),
    });
    assert_eq!(put.await.unwrap().coordinator, here.id());
    sleep(Duration::from_secs(1)).await;
    network.broken.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(20)).await;
    away.store().get(&key).unwrap().is_some()
}

fn run(bug: Option<Bug>) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    planted::with(bug, || runtime.block_on(the_absent_owner_has_the_write()))
}

#[test]
fn a_hint_reaches_its_target_in_the_end_unless_it_goes_before_it_is_acknowledged() {
    assert!(run(None));
    assert!(!run(Some(Bug::HintLostBeforeAck)));
}
