use std::sync::atomic::{AtomicU64, Ordering};

/// What a store counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Times that a damaged record was met; one record counts each time.
    pub damaged_records: u64,
    /// Puts refused for too many siblings.
    pub siblings_refused: u64,
    /// The most siblings that a write left under one key.
    pub siblings_max: u64,
    /// The most entries that a write left in one key's context.
    pub context_entries_max: u64,
    /// Epochs taken: first puts to a key, and first puts after its position was voided.
    pub epochs_taken: u64,
}

#[derive(Default)]
pub(super) struct Meters {
    damaged_records: AtomicU64,
    siblings_refused: AtomicU64,
    siblings_max: AtomicU64,
    context_entries_max: AtomicU64,
    epochs_taken: AtomicU64,
}

impl Meters {
    pub(super) fn count_damaged(&self) {
        self.damaged_records.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refused(&self) {
        self.siblings_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_epoch(&self) {
        self.epochs_taken.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn see(&self, siblings: usize, context_entries: usize) {
        raise(&self.siblings_max, siblings as u64);
        raise(&self.context_entries_max, context_entries as u64);
    }

    pub(super) fn read(&self) -> Counters {
        Counters {
            damaged_records: self.damaged_records.load(Ordering::Relaxed),
            siblings_refused: self.siblings_refused.load(Ordering::Relaxed),
            siblings_max: self.siblings_max.load(Ordering::Relaxed),
            context_entries_max: self.context_entries_max.load(Ordering::Relaxed),
            epochs_taken: self.epochs_taken.load(Ordering::Relaxed),
        }
    }
}

/// Reads first: a maximum seldom moves, and a plain load does not fight over the cache line.
fn raise(maximum: &AtomicU64, seen: u64) {
    if maximum.load(Ordering::Relaxed) < seen {
        maximum.fetch_max(seen, Ordering::Relaxed);
    }
}
