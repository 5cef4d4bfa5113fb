//! Reads and writes of clients.

use std::sync::Arc;

use dynamokv_coordinator::{Error, GetReply, GetRequest, Membership, PutReply, PutRequest};
use dynamokv_rpc::{KvService, Topology};

use super::Service;
use super::topology::describe;
use crate::transport::Transport;

impl<T: Transport> KvService for Service<T> {
    async fn get(&self, request: GetRequest) -> Result<GetReply, Error> {
        self.core.coordinator.get(request).await
    }

    async fn put(&self, request: PutRequest) -> Result<PutReply, Error> {
        self.core.coordinator.put(request).await
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
