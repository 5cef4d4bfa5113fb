//! What a coordinator asks of other nodes and of the hint log.

use std::time::Duration;

use dynamokv_ring::NodeId;
use dynamokv_storage::{Batch, ObjectKey};

use crate::{Error, Forwarded, PutReply, ReplicaAnswer, ReplicaError, ReplicaRead, ReplicaWrite};

/// The way to other nodes. `timeout` bounds each call and travels with it.
///
/// Dropping a returned future abandons the call; the other side may still carry it out.
pub trait ReplicaTransport: Send + Sync + 'static {
    /// Asks `to` for a durable copy. `Ok` means that the copy is as durable as its node promises.
    fn write(
        &self,
        to: NodeId,
        request: ReplicaWrite,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), ReplicaError>> + Send;

    /// Asks `to` for its own copy.
    fn read(
        &self,
        to: NodeId,
        request: ReplicaRead,
        timeout: Duration,
    ) -> impl Future<Output = Result<ReplicaAnswer, ReplicaError>> + Send;

    /// Asks `to`, a replica of the key, to coordinate a client's write. The inner result is the
    /// verdict of that node.
    fn forward(
        &self,
        to: NodeId,
        request: Forwarded,
        timeout: Duration,
    ) -> impl Future<Output = Result<Result<PutReply, Error>, ReplicaError>> + Send;
}

/// The durable markers "this node holds `key` for `target`".
pub trait HintSink: Send + Sync + 'static {
    /// Adds the marker to the batch that writes the state, so that both or neither exist.
    fn mark(&self, batch: &mut Batch, key: &ObjectKey, target: NodeId);

    /// Whether this node holds the key for anybody.
    ///
    /// # Errors
    /// What the engine reports.
    fn is_marked(&self, key: &ObjectKey) -> Result<bool, dynamokv_storage::Error>;
}
