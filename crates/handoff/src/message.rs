//! What travels when data that a node holds is handed to its owners.

use dynamokv_ring::{NodeId, PartitionId};
use dynamokv_storage::{ObjectKey, State, StateHash};

/// One object on its way to an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The object.
    pub key: ObjectKey,
    /// The holder's whole state of it, to be joined.
    pub state: State,
}

impl Entry {
    /// About how many bytes it has. O(values).
    pub fn bytes(&self) -> usize {
        let bodies = self
            .state
            .values()
            .filter_map(|(_, value)| value.body.as_ref());
        self.key.key().len() + bodies.map(|body| body.len()).sum::<usize>()
    }
}

/// A page of objects, in key order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The objects.
    pub entries: Vec<Entry>,
    /// Where to go on: the next page starts after this key; `None` at the end.
    pub next: Option<ObjectKey>,
}

impl Page {
    /// About how many bytes its objects have. O(values).
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(Entry::bytes).sum()
    }
}

impl From<dynamokv_storage::Page> for Page {
    /// What a scan could read; damaged records are left out.
    fn from(scanned: dynamokv_storage::Page) -> Self {
        let entries = scanned.entries.into_iter();
        Self {
            entries: entries.map(|(key, state)| Entry { key, state }).collect(),
            next: scanned.next,
        }
    }
}

/// A question for the hints that the receiver holds for `target`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintRequest {
    /// Whose hints.
    pub target: NodeId,
    /// Start after this key; `None` from the beginning.
    pub after: Option<ObjectKey>,
    /// At most so many objects.
    pub limit: usize,
}

/// A question for the objects of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRequest {
    /// The partition.
    pub partition: PartitionId,
    /// Start after this key; `None` from the beginning.
    pub after: Option<ObjectKey>,
    /// Stop after about so many bytes; a page holds at least one object where there is one.
    pub bytes_max: usize,
}

/// What an owner is asked to do about deleted objects, so that their tombstones can be let go of for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectStep {
    /// Say which it has, with exactly these states, synced.
    Confirm,
    /// Let go of them.
    Drop,
}

/// A question about deleted objects to another owner of theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectRequest {
    /// What to do.
    pub step: CollectStep,
    /// The objects, each with the hash of its state.
    pub tombstones: Vec<(ObjectKey, StateHash)>,
}
