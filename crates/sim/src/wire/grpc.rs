//! A client's way to the nodes by gRPC.

use std::error::Error;
use std::time::Duration;

use dynamokv::rpc::channel_over;
use dynamokv::rpc::pb::kv_client::KvClient;
use dynamokv::rpc::pb::{
    DeleteRequest, DeleteResponse, GetRequest, GetResponse, PutRequest, PutResponse,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{ConnectError, Response, Status};

use super::network::Turmoil;
use crate::host;
use crate::kv::{Kv, Unanswered};

/// One connection to each node, made when it is needed; all clones share them.
#[derive(Clone)]
pub(super) struct Grpc {
    nodes: Vec<KvClient<Channel>>,
}

impl Grpc {
    /// To the nodes at so many places. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// None in fact: the addresses are good.
    pub(super) fn new(places: usize) -> Result<Self, tonic::transport::Error> {
        let client = |place| {
            let endpoint = Endpoint::from_shared(format!("http://{}", host::address(place, 0)))?
                .connect_timeout(CONNECT_TIMEOUT)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(KEEP_ALIVE)
                .keep_alive_while_idle(true);
            Ok(KvClient::new(channel_over(&endpoint, Turmoil)))
        };
        let nodes = (0..places).map(client).collect::<Result<_, _>>()?;
        Ok(Self { nodes })
    }

    fn node(&self, place: usize) -> Result<KvClient<Channel>, Unanswered> {
        self.nodes.get(place).cloned().ok_or(Unanswered::NotSent)
    }
}

impl Kv for Grpc {
    async fn get(&self, place: usize, request: GetRequest) -> Result<GetResponse, Unanswered> {
        answered(self.node(place)?.get(request)).await
    }

    async fn put(&self, place: usize, request: PutRequest) -> Result<PutResponse, Unanswered> {
        answered(self.node(place)?.put(request)).await
    }

    async fn delete(
        &self,
        place: usize,
        request: DeleteRequest,
    ) -> Result<DeleteResponse, Unanswered> {
        answered(self.node(place)?.delete(request)).await
    }
}

async fn answered<R>(
    asked: impl Future<Output = Result<Response<R>, Status>>,
) -> Result<R, Unanswered> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(reply)) => Ok(reply.into_inner()),
        Ok(Err(status)) => Err(unanswered(status)),
        Err(_) => Err(Unanswered::Silence),
    }
}

/// A status with a source was made by the client's own transport, the others by the node.
fn unanswered(status: Status) -> Unanswered {
    let mut causes = std::iter::successors(status.source(), |error| (*error).source());
    if status.source().is_none() {
        // Without the headers, among which is the real time of day.
        Unanswered::Status(Status::new(status.code(), status.message()))
    } else if causes.any(|error| error.is::<ConnectError>()) {
        Unanswered::NotSent
    } else {
        Unanswered::Silence
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// How long a client waits for a reply.
const PATIENCE: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_node_said_is_its_word() {
        let said = unanswered(Status::unavailable("not applied"));
        assert!(matches!(said, Unanswered::Status(status) if status.message() == "not applied"));
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let never = Status::from_error(Box::new(ConnectError(Box::new(refused))));
        assert!(matches!(unanswered(never), Unanswered::NotSent));
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let broken = Status::from_error(Box::new(reset));
        assert!(matches!(unanswered(broken), Unanswered::Silence));
    }
}
