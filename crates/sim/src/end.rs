//! How the cluster stands when everything has settled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dynamokv::gossip::Snapshot;
use dynamokv::ring::NodeId;
use dynamokv::storage::State;

use crate::history::Key;

/// What one node keeps and has under way at the end of a run.
#[derive(Debug, Clone, Default)]
pub struct NodeEnd {
    /// Its copies of the workload's keys, owned or not.
    pub copies: BTreeMap<Key, State>,
    /// Markers of data that it holds for others.
    pub hints: u64,
    /// Operations that it still coordinates.
    pub operations: usize,
    /// Records that it could not read.
    pub damaged: u64,
    /// Its view of the members.
    pub seen: Snapshot,
}

/// The most that was seen of something during a run, against its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HighWater {
    /// What was counted.
    pub what: &'static str,
    /// The most that was seen.
    pub seen: u64,
    /// What was allowed.
    pub bound: u64,
}

/// The cluster after the liveness phase.
#[derive(Debug, Clone, Default)]
pub struct End {
    /// N.
    pub replicas: usize,
    /// The members of the ring.
    pub nodes: BTreeMap<NodeId, NodeEnd>,
    /// Who owns each key, in the ring that all members agree on.
    pub owners: BTreeMap<Key, BTreeSet<NodeId>>,
    /// How long after the last fault everything was at rest; `None` if it never was, and then why.
    pub settled_after: Option<Duration>,
    /// What was not at rest when the patience ended.
    pub unsettled: Vec<String>,
    /// Requests of the liveness phase that were not answered well.
    pub failed_probes: Vec<String>,
    /// Tasks of the runtime that are left beyond those that every node has.
    pub tasks_left: usize,
    /// What was counted during the run.
    pub high_water: Vec<HighWater>,
}

impl End {
    /// Takes copies of deleted keys for none.
    pub fn forget_tombstones(&mut self) {
        for node in self.nodes.values_mut() {
            node.copies
                .retain(|_, state| state.values().any(|(_, value)| !value.is_tombstone()));
        }
    }
}
