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

    /// A page of the keys of a keyspace: at most as many as are wanted, about a thousand, and perhaps none. There is more as long as there is
    /// a cursor.
    fn list_keys(
        &self,
        request: pb::ListKeysRequest,
    ) -> BoxFuture<'_, Result<pb::ListKeysResponse, pb::Failure>>;
}

/// Whoever answers for the nodes of a cluster without being one. Its clients send everything to it: they may not reach the nodes.
pub trait Front: KeyValue {
    /// The id of the cluster behind it.
    ///
    /// # Errors
    /// It is not known yet.
    fn cluster_id(&self) -> Result<u64, pb::Failure>;
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

    fn list_keys(
        &self,
        request: pb::ListKeysRequest,
    ) -> BoxFuture<'_, Result<pb::ListKeysResponse, pb::Failure>> {
        self.page(request).boxed()
    }
}
