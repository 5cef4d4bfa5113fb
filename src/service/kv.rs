//! Reads and writes of clients.

use dynamokv_coordinator::{Error, GetReply, GetRequest, PutReply, PutRequest};
use dynamokv_rpc::KvService;
use tokio::time::Instant;

use super::Service;
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
}
