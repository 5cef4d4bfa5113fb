//! The cluster behind the gateway: a client, as soon as a seed has answered.

use std::sync::Arc;
use std::time::Duration;

use dynamokv_client::{Client, ClientConfig, Stats};
use dynamokv_rpc::{Front, KeyValue, pb};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::metrics::{Counts, Operation};

/// Cheap to clone; all clones have one client.
#[derive(Clone)]
pub(crate) struct Upstream {
    client: watch::Receiver<Option<Arc<Client>>>,
    counts: Arc<Counts>,
}

type Answer<'a, M> = BoxFuture<'a, Result<M, pb::Failure>>;

impl Upstream {
    /// Nothing yet; the future connects, however long that takes, and must be run.
    pub(crate) fn new(
        config: ClientConfig,
        seeds: Vec<String>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (found, client) = watch::channel(None);
        let connecting = async move {
            loop {
                match Client::connect_with(config.clone(), seeds.iter().cloned()).await {
                    Ok(client) => {
                        tracing::info!("connected to the cluster");
                        found.send_replace(Some(Arc::new(client)));
                        break;
                    }
                    // Nodes and gateways may be started in any order.
                    Err(error) => tracing::warn!(%error, "not connected yet"),
                }
                tokio::time::sleep(PAUSE).await;
            }
            // Whoever holds the gateway decides when it ends.
            std::future::pending().await
        };
        let counts = Arc::default();
        (Self { client, counts }, connecting)
    }

    /// Whether requests have somewhere to go.
    pub(crate) fn is_connected(&self) -> bool {
        self.client.borrow().is_some()
    }

    /// Completes when they have.
    pub(crate) async fn connected(&self) {
        let mut client = self.client.clone();
        // The sender goes with the gateway: then nobody waits.
        let _ = client.wait_for(Option::is_some).await;
    }

    /// Asks whether a node answers; if not, why.
    pub(crate) async fn ping(&self) -> Result<(), String> {
        let client = self.client().map_err(|failure| failure.message)?;
        client.ping().await.map_err(|error| error.to_string())
    }

    pub(crate) fn stats(&self) -> Stats {
        let client = self.client.borrow();
        client
            .as_ref()
            .map(|client| client.stats())
            .unwrap_or_default()
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    fn client(&self) -> Result<Arc<Client>, pb::Failure> {
        self.client.borrow().clone().ok_or_else(|| pb::Failure {
            kind: pb::ErrorKind::NotApplied.into(),
            message: "the gateway has not found the cluster yet; retry later".to_owned(),
            ..pb::Failure::default()
        })
    }
}

impl KeyValue for Upstream {
    fn get(&self, request: pb::GetRequest) -> Answer<'_, pb::GetResponse> {
        let answer = async move { KeyValue::get(&*self.client()?, request).await };
        self.counts.counted(Operation::Get, answer).boxed()
    }

    fn put(&self, request: pb::PutRequest) -> Answer<'_, pb::PutResponse> {
        let answer = async move { KeyValue::put(&*self.client()?, request).await };
        self.counts.counted(Operation::Put, answer).boxed()
    }

    fn delete(&self, request: pb::DeleteRequest) -> Answer<'_, pb::DeleteResponse> {
        let answer = async move { KeyValue::delete(&*self.client()?, request).await };
        self.counts.counted(Operation::Delete, answer).boxed()
    }

    fn list_keys(&self, request: pb::ListKeysRequest) -> Answer<'_, pb::ListKeysResponse> {
        let answer = async move { KeyValue::list_keys(&*self.client()?, request).await };
        self.counts.counted(Operation::ListKeys, answer).boxed()
    }
}

impl Front for Upstream {
    fn cluster_id(&self) -> Result<u64, pb::Failure> {
        self.client()?.cluster_id()
    }
}

/// Between attempts to find the cluster.
const PAUSE: Duration = Duration::from_millis(500);
