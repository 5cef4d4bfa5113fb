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

impl<T: Transport> Core<T> {
    /// Begins something that acts on the present view; stage changes wait until the guard is dropped.
    pub(crate) fn begin(&self) -> (DrainGuard, Arc<View>) {
        self.coordinator.drain().enter(|| {
            let view = self.cluster.view();
            (view.phase, view)
        })
    }

    /// Joins all entries; the number of the last write covers them, `None` where there are none.
    pub(crate) fn join_all<'a>(
        &self,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) -> Result<Option<WriteSeq>, dynamokv_storage::Error> {
        let entries = entries.into_iter();
        self.store
            .join_all(entries.map(|Entry { key, state }| (key, state)))
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
