//! Reads and writes of clients.

use std::num::NonZeroUsize;
use std::sync::Arc;

use dynamokv_coordinator::{Error, GetReply, GetRequest, Membership, PutReply, PutRequest};
use dynamokv_rpc::{KeyPage, KeysRequest, KvService, Topology};
use tokio::time::Instant;

use super::topology::describe;
use super::{Service, keys};
use crate::metrics::Operation;
use crate::transport::Transport;

impl<T: Transport> KvService for Service<T> {
    async fn get(&self, request: GetRequest) -> Result<GetReply, Error> {
        let began = Instant::now();
        let answer = self.core.coordinator.get(request).await;
        self.requests.read(&answer, began.elapsed());
        answer
    }

    async fn put(&self, request: PutRequest) -> Result<PutReply, Error> {
        let operation = match request.value {
            Some(_) => Operation::Put,
            None => Operation::Delete,
        };
        let began = Instant::now();
        let answer = self.core.coordinator.put(request).await;
        self.requests.written(operation, &answer, began.elapsed());
        answer
    }

    async fn list_keys(&self, request: KeysRequest) -> Result<KeyPage, Error> {
        let quorum = NonZeroUsize::new(self.config.read_quorum).unwrap_or(NonZeroUsize::MIN);
        keys::list(&self.core, quorum, request).await
    }

    /// Made anew only when the view was.
    fn topology(&self) -> Option<Arc<Topology>> {
        let view = self.core.cluster.view();
        let made = self.topology.load();
        if made.phase == view.phase {
            return made.topology.clone();
        }
        let fresh = Arc::new(describe(&view, self.core.cluster.gossip()));
        self.topology.store(Arc::clone(&fresh));
        fresh.topology.clone()
    }
}
