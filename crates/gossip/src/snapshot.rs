use std::collections::BTreeMap;
use std::sync::Arc;

use dynamokv_ring::NodeId;

use crate::{FactsDigest, NodeState, Status};

/// The view of one node at one moment. It stays as it was while the view goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Every node that is known and has not left, the observer included, by id.
    pub members: BTreeMap<NodeId, Seen>,
    /// The nodes that left and are still remembered, by id.
    pub left: Vec<NodeId>,
    /// Which cluster facts were known.
    pub facts: Option<FactsDigest>,
}

/// One node as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether it counted as live.
    pub live: bool,
    /// What it was to the cluster: see [`Gossip::status_of`](crate::Gossip::status_of).
    pub status: Status,
    /// What it said of itself.
    pub state: Arc<NodeState>,
}
