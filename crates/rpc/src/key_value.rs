use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::{KvHandler, KvService, pb};

/// Whoever answers requests for keys in the messages of the protocol: a node by itself ([`KvHandler`]), or a front that passes them on to the
/// nodes.
///
/// A failure says truthfully what is known of the effect: `Unknown` where a write may have been applied.
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

impl<S: KvService> KeyValue for KvHandler<S> {
    fn get(&self, request: pb::GetRequest) -> BoxFuture<'_, Result<pb::GetResponse, pb::Failure>> {
        self.read(request, None).boxed()
    }

    fn put(&self, request: pb::PutRequest) -> BoxFuture<'_, Result<pb::PutResponse, pb::Failure>> {
        self.write(request, None).boxed()
    }

    fn delete(
        &self,
        request: pb::DeleteRequest,
    ) -> BoxFuture<'_, Result<pb::DeleteResponse, pb::Failure>> {
        self.remove(request, None).boxed()
    }
}
