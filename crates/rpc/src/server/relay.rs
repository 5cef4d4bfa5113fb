//! `Kv` over a [`Front`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::gate::Permit;
use super::pipeline::Pipeline;
use super::{batch, keys};
use crate::{Front, Topology, deadline, pb, status};

/// Passes requests on. The topology is a front's own: its clients may not reach the nodes, and need not.
pub(super) struct Relay<K> {
    store: Arc<K>,
}

impl<K> Relay<K> {
    pub(super) fn new(store: Arc<K>) -> Self {
        Self { store }
    }
}

#[tonic::async_trait]
impl<K: Front> pb::kv_server::Kv for Relay<K> {
    async fn topology(
        &self,
        request: Request<pb::TopologyRequest>,
    ) -> Result<Response<pb::TopologyResponse>, Status> {
        let known = request.into_inner().known;
        let cluster_id = self.store.cluster_id();
        answer(cluster_id.map(|cluster_id| Topology::front(cluster_id).answer(known)))
    }

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let carried = time_carried(&request);
        let mut message = request.into_inner();
        message.timeout_ms = deadline::sooner(message.timeout_ms, carried);
        answer(self.store.get(message).await)
    }

    async fn put(
        &self,
        request: Request<pb::PutRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        let carried = time_carried(&request);
        let mut message = request.into_inner();
        message.timeout_ms = deadline::sooner(message.timeout_ms, carried);
        answer(self.store.put(message).await)
    }

    async fn batch(
        &self,
        request: Request<pb::BatchRequest>,
    ) -> Result<Response<pb::BatchResponse>, Status> {
        let carried = time_carried(&request);
        let operations = request.into_inner().operations;
        let results = batch::all(self.store.as_ref(), operations, carried).await;
        answer(results.map(|results| pb::BatchResponse { results }))
    }

    type PipelineStream = BoxStream<'static, Result<pb::PipelineResponse, Status>>;

    async fn pipeline(
        &self,
        request: Request<Streaming<pb::PipelineRequest>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        let permit = request.extensions().get::<Permit>().cloned();
        let store = Arc::clone(&self.store);
        let pipeline = Pipeline::new(store, || 0, request.into_inner(), permit);
        answer(Ok(pipeline.boxed()))
    }

    type ListKeysStream = BoxStream<'static, Result<pb::ListKeysResponse, Status>>;

    async fn list_keys(
        &self,
        request: Request<pb::ListKeysRequest>,
    ) -> Result<Response<Self::ListKeysStream>, Status> {
        let permit = request.extensions().get::<Permit>().cloned();
        let store = Arc::clone(&self.store);
        answer(keys::list(store, request.into_inner(), permit).await)
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        let carried = time_carried(&request);
        let mut message = request.into_inner();
        message.timeout_ms = deadline::sooner(message.timeout_ms, carried);
        answer(self.store.delete(message).await)
    }
}

fn answer<M>(result: Result<M, pb::Failure>) -> Result<Response<M>, Status> {
    result.map(Response::new).map_err(status::of_failure)
}

fn time_carried<M>(request: &Request<M>) -> Option<Duration> {
    deadline::of_call(request.metadata()).map(deadline::with_time_to_answer)
}
