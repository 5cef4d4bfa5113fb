//! What clients ask nodes, whatever the way.

use std::future::Future;

use dynamokv::rpc::pb::{
    DeleteRequest, DeleteResponse, GetRequest, GetResponse, PutRequest, PutResponse,
};
use tonic::Status;

/// A client's way to the nodes: through the simulated network of this crate, or by gRPC.
pub trait Kv: Send + Sync + 'static {
    /// Reads through the node at `place`.
    fn get(
        &self,
        place: usize,
        request: GetRequest,
    ) -> impl Future<Output = Result<GetResponse, Unanswered>> + Send;

    /// Writes through the node at `place`.
    fn put(
        &self,
        place: usize,
        request: PutRequest,
    ) -> impl Future<Output = Result<PutResponse, Unanswered>> + Send;

    /// Deletes through the node at `place`.
    fn delete(
        &self,
        place: usize,
        request: DeleteRequest,
    ) -> impl Future<Output = Result<DeleteResponse, Unanswered>> + Send;
}

/// Why a client has no reply.
#[derive(Debug, Clone)]
pub enum Unanswered {
    /// The node said so.
    Status(Status),
    /// The request was never sent.
    NotSent,
    /// The connection broke, or nothing came in time.
    Silence,
}
