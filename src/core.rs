//! The parts of one node, wired together; every task of the node holds this.

use std::num::NonZeroUsize;
use std::sync::Arc;

use dynamokv_antientropy::Forest;
use dynamokv_coordinator::{
    Coordinator, DrainGuard, Membership, Replica, ReplicaError, View, WallClock,
};
use dynamokv_handoff::Entry;
use dynamokv_ring::NodeId;
use dynamokv_storage::{ObjectStore, WriteSeq};

use crate::cluster::Cluster;
use crate::exchange::Ledger;
use crate::hints::Hints;
use crate::pulse::Pulse;
use crate::transport::Transport;

pub(crate) struct Core<T> {
    pub(crate) me: NodeId,
    /// W where a request does not say.
    pub(crate) write_quorum: NonZeroUsize,
    pub(crate) store: Arc<ObjectStore>,
    pub(crate) hints: Arc<Hints>,
    pub(crate) pulse: Pulse,
    pub(crate) wall_clock: WallClock,
    pub(crate) cluster: Arc<Cluster>,
    /// Hash trees over all that the store holds.
    pub(crate) trees: Arc<Forest>,
    pub(crate) ledger: Ledger,
    pub(crate) transport: Arc<T>,
    pub(crate) replica: Arc<Replica<Cluster, Hints>>,
    pub(crate) coordinator: Coordinator<Cluster, T, Hints>,
}

/// Joined between two looks at who else wants the thread: half a millisecond.
const JOINED_AT_ONCE: usize = 32;

impl<T: Transport> Core<T> {
    /// Begins something that acts on the present view; stage changes wait until the guard is dropped.
    pub(crate) fn begin(&self) -> (DrainGuard, Arc<View>) {
        self.coordinator.drain().enter(|| {
            let view = self.cluster.view();
            (view.phase, view)
        })
    }

    /// Joins all entries; the number of the last write covers them, `None` where there are none. Others get the thread in between.
    pub(crate) async fn join_all<'a>(
        &self,
        entries: impl Iterator<Item = &'a Entry>,
    ) -> Result<Option<WriteSeq>, dynamokv_storage::Error> {
        let entries: Vec<&Entry> = entries.collect();
        let mut newest = None;
        for some in entries.chunks(JOINED_AT_ONCE) {
            let some = some.iter().map(|entry| (&entry.key, &entry.state));
            newest = newest.max(self.store.join_all(some)?);
            tokio::task::yield_now().await;
        }
        Ok(newest)
    }

    /// Tells the failure detector whether a request reached `to`.
    pub(crate) fn report<R>(&self, to: NodeId, answer: &Result<R, ReplicaError>) {
        let missed = matches!(
            answer,
            Err(ReplicaError::Unreachable(_) | ReplicaError::Lost(_))
        );
        self.cluster.report(to, !missed);
    }
}
