use dynamokv_ring::{Token, TokenRange};

use crate::hash::StateHash;

/// Hears of every change of a record, as it becomes visible: for hash trees, and whoever else keeps account of what a store
/// holds.
///
/// Each call comes under the lock of the key, so those of one key come in the order of its states; those of different keys come
/// from many threads at once. A call must be short, must not fail, and must not call the store.
pub trait Observer: Send + Sync + 'static {
    /// The record of one key was changed, written or dropped.
    fn changed(&self, change: &Change);

    /// All records in `range` were let go at once. Nothing else changes meanwhile.
    fn cleared(&self, range: TokenRange);
}

/// A change of one key's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The place of the key.
    pub token: Token,
    /// The state before; `None` where there was none, or none that could be read.
    pub old: Option<StateHash>,
    /// The state after; `None` if the record was dropped.
    pub new: Option<StateHash>,
}

impl<O: Observer> Observer for std::sync::Arc<O> {
    fn changed(&self, change: &Change) {
        self.as_ref().changed(change);
    }

    fn cleared(&self, range: TokenRange) {
        self.as_ref().cleared(range);
    }
}
