//! What is asked and answered when keys are listed.

use dynamokv_ring::PartitionId;
use dynamokv_storage::{Keyspace, ObjectKey, StateHash};

/// A client's question for keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysRequest {
    /// Whose keys.
    pub keyspace: Keyspace,
    /// Those beyond this key, in the order of the tokens.
    pub after: Option<ObjectKey>,
    /// About so many.
    pub limit: usize,
}

/// Keys that exist, in the order of their tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys.
    pub keys: Vec<ObjectKey>,
    /// More may come beyond this key; `None` at the end.
    pub next: Option<ObjectKey>,
}

/// One owner's question to another for what it has of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyScan {
    /// Whose keys.
    pub keyspace: Keyspace,
    /// The partition.
    pub partition: PartitionId,
    /// Those beyond this key.
    pub after: Option<ObjectKey>,
    /// At most so many.
    pub limit: usize,
}

/// What an owner has of a partition, in the order of the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyStates {
    /// The keys, deleted ones among them.
    pub keys: Vec<KeyState>,
    /// More may come beyond this key, which is not before any of `keys`; `None` at the end of the partition.
    pub next: Option<ObjectKey>,
}

/// What an owner has under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyState {
    /// The key.
    pub key: ObjectKey,
    /// Equal at owners that have the same.
    pub hash: StateHash,
    /// Whether a reader would be shown a value.
    pub live: bool,
}
