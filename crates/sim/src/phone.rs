//! A client's way to the nodes: the gRPC face of their services, called through the simulated network.

use std::sync::Arc;
use std::time::Duration;

use dynamokv::Parts;
use dynamokv::rpc::pb::kv_server::Kv as _;
use dynamokv::rpc::pb::{
    DeleteRequest, DeleteResponse, GetRequest, GetResponse, PutRequest, PutResponse,
};
use dynamokv::rpc::{KvHandler, ServerConfig};
use tonic::{Request, Response, Status};

use crate::courier::{self, Failure};
use crate::kv::{Kv, Unanswered};
use crate::network::Place;
use crate::transport::Wires;
use crate::world::World;

/// One client's way.
pub(crate) struct Phone {
    world: Arc<World>,
    client: u32,
}

impl Phone {
    /// The way of a client.
    pub(crate) fn new(world: Arc<World>, client: u32) -> Self {
        Self { world, client }
    }

    async fn call<R, F>(
        &self,
        place: usize,
        what: String,
        call: impl Fn(KvHandler<dynamokv::Service<Wires>>) -> F + Send + Sync + 'static,
    ) -> Result<R, Unanswered>
    where
        R: Send + 'static,
        F: Future<Output = Result<Response<R>, Status>> + Send,
    {
        let (life, _) = self.world.host(place, |host| host.start_number());
        let from = Place::Client(self.client);
        let serve = move |parts: Arc<Parts<Wires>>| {
            call(KvHandler::new(parts.service(), &ServerConfig::default()))
        };
        // A client's request over one connection arrives once.
        let carried = courier::carry(&self.world, from, (place, life), what, false, serve);
        match tokio::time::timeout(PATIENCE, carried).await {
            Ok(Ok(Ok(reply))) => Ok(reply.into_inner()),
            Ok(Ok(Err(status))) => Err(Unanswered::Status(status)),
            Ok(Err(Failure::NotSent)) => Err(Unanswered::NotSent),
            Ok(Err(Failure::Cut)) | Err(_) => Err(Unanswered::Silence),
        }
    }
}

impl Kv for Phone {
    async fn get(&self, place: usize, request: GetRequest) -> Result<GetResponse, Unanswered> {
        let what = format!("get {}", String::from_utf8_lossy(&request.key));
        self.call(place, what, move |kv| {
            let request = request.clone();
            async move { kv.get(Request::new(request)).await }
        })
        .await
    }

    async fn put(&self, place: usize, request: PutRequest) -> Result<PutResponse, Unanswered> {
        let what = format!("put {}", String::from_utf8_lossy(&request.key));
        self.call(place, what, move |kv| {
            let request = request.clone();
            async move { kv.put(Request::new(request)).await }
        })
        .await
    }

    async fn delete(
        &self,
        place: usize,
        request: DeleteRequest,
    ) -> Result<DeleteResponse, Unanswered> {
        let what = format!("delete {}", String::from_utf8_lossy(&request.key));
        self.call(place, what, move |kv| {
            let request = request.clone();
            async move { kv.delete(Request::new(request)).await }
        })
        .await
    }
}

/// How long a client waits for a reply.
const PATIENCE: Duration = Duration::from_secs(4);
