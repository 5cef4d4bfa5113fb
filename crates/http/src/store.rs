use dynamokv_rpc::pb;
use futures_util::future::BoxFuture;

/// What answers the requests: a node by itself, or a gateway through a client of the cluster.
///
/// Implementations fill the outcome of a failure in truthfully: `Unknown` where a write may have been applied.
pub trait KeyValue: Send + Sync + 'static {
    /// Reads a key. One without values is no failure.
    fn get(&self, request: pb::GetRequest) -> BoxFuture<'_, Result<pb::GetResponse, pb::Failure>>;

    /// Writes a key.
    fn put(&self, request: pb::PutRequest) -> BoxFuture<'_, Result<pb::PutResponse, pb::Failure>>;

    /// Deletes what a context has seen of a key.
    fn delete(
        &self,
        request: pb::DeleteRequest,
    ) -> BoxFuture<'_, Result<pb::DeleteResponse, pb::Failure>>;
}
