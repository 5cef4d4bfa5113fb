//! `Kv` over a [`KeyValue`] that is no node.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};

use crate::{KeyValue, deadline, pb, status};

/// Reads, writes and deletes of keys. Whoever wants the topology asks a node: a front is there for those who do not.
pub(super) struct Relay<K> {
    store: Arc<K>,
}

impl<K> Relay<K> {
    pub(super) fn new(store: Arc<K>) -> Self {
        Self { store }
    }
}

#[tonic::async_trait]
impl<K: KeyValue> pb::kv_server::Kv for Relay<K> {
    async fn topology(
        &self,
        _: Request<pb::TopologyRequest>,
    ) -> Result<Response<pb::TopologyResponse>, Status> {
        Err(Status::unimplemented(
            "this is a gateway: connect to a node",
        ))
    }

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let carried = time_carried(&request);
        let mut message = request.into_inner();
        message.timeout_ms = shorter(message.timeout_ms, carried);
        answer(self.store.get(message).await)
    }

    async fn put(
        &self,
        request: Request<pb::PutRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        let carried = time_carried(&request);
        let mut message = request.into_inner();
        message.timeout_ms = shorter(message.timeout_ms, carried);
        answer(self.store.put(message).await)
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        let carried = time_carried(&request);
        let mut message = request.into_inner();
        message.timeout_ms = shorter(message.timeout_ms, carried);
        answer(self.store.delete(message).await)
    }
}

fn answer<M>(result: Result<M, pb::Failure>) -> Result<Response<M>, Status> {
    result.map(Response::new).map_err(status::of_failure)
}

fn time_carried<M>(request: &Request<M>) -> Option<Duration> {
    deadline::of_call(request.metadata()).map(deadline::with_time_to_answer)
}

/// What the request says in milliseconds, or the deadline of its call where that is sooner. No time at all is left to be refused.
fn shorter(asked_ms: Option<u32>, carried: Option<Duration>) -> Option<u32> {
    let carried_ms = carried.map(|carried| u32::try_from(carried.as_millis()).unwrap_or(u32::MAX));
    match (asked_ms, carried_ms) {
        (Some(asked), Some(carried)) => Some(asked.min(carried)),
        (asked, carried) => asked.or(carried),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sooner_deadline_counts() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(shorter(None, None), None);
        assert_eq!(shorter(Some(5), second), Some(5));
        assert_eq!(shorter(Some(5_000), second), Some(1_000));
        assert_eq!(shorter(None, Some(Duration::MAX)), Some(u32::MAX));
    }
}
