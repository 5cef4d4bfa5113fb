//! Reads and writes of clients.

use dynamokv_coordinator::{Error, GetReply, GetRequest, PutReply, PutRequest};
use dynamokv_rpc::KvService;

use super::Service;
use crate::transport::Transport;

impl<T: Transport> KvService for Service<T> {
    async fn get(&self, request: GetRequest) -> Result<GetReply, Error> {
        self.core.coordinator.get(request).await
    }

    async fn put(&self, request: PutRequest) -> Result<PutReply, Error> {
        self.core.coordinator.put(request).await
    }
}
