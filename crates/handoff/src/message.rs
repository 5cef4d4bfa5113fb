//! What travels when data that a node holds is handed to its owners.

use dynamokv_ring::{NodeId, PartitionId};
use dynamokv_storage::{ObjectKey, State};

/// One object on its way to an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The object.
    pub key: ObjectKey,
    /// The holder's whole state of it, to be joined.
    pub state: State,
}

/// A page of objects, in key order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The objects.
    pub entries: Vec<Entry>,
    /// Where to go on: the next page starts after this key; `None` at the end.
    pub next: Option<ObjectKey>,
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
