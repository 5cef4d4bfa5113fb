//! The parts of one node, wired together; every task of the node holds this.

use std::num::NonZeroUsize;
use std::sync::Arc;

use dynamokv_coordinator::{Coordinator, DrainGuard, Membership, Replica, View};
use dynamokv_ring::NodeId;
use dynamokv_storage::ObjectStore;

use crate::cluster::Cluster;
use crate::hints::Hints;
use crate::transport::Transport;

pub(crate) struct Core<T> {
    pub(crate) me: NodeId,
    /// W where a request does not say.
    pub(crate) write_quorum: NonZeroUsize,
    pub(crate) store: Arc<ObjectStore>,
    pub(crate) hints: Arc<Hints>,
    pub(crate) cluster: Arc<Cluster>,
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
}
