//! Which records there are, and what was seen of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// The records of a store while a run inserts more.
#[derive(Debug)]
pub(crate) struct Records {
    next: AtomicU64,
    /// All below are there.
    there: AtomicU64,
    /// Those beyond that are there already.
    ahead: Mutex<BTreeSet<u64>>,
}

impl Records {
    pub(crate) fn new(records: u64) -> Self {
        Self {
            next: AtomicU64::new(records),
            there: AtomicU64::new(records),
            ahead: Mutex::default(),
        }
    }

    /// How many can be asked for: without a gap, those whose insertion was acknowledged.
    pub(crate) fn there(&self) -> u64 {
        self.there.load(Ordering::Acquire)
    }

    /// The next one to insert.
    pub(crate) fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Its insertion has ended. One that failed counts as well: reads of it find nothing, and say so.
    pub(crate) fn inserted(&self, index: u64) {
        let mut ahead = self.ahead.lock();
        ahead.insert(index);
        let mut there = self.there.load(Ordering::Relaxed);
        while ahead.remove(&there) {
            there += 1;
        }
        self.there.store(there, Ordering::Release);
    }
}

/// What was last seen of each record, by its number. Grows with the records that are touched.
#[derive(Debug)]
pub(crate) struct Memory<C> {
    shards: Vec<Mutex<HashMap<u64, C>>>,
}

impl<C: Clone> Memory<C> {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    pub(crate) fn recall(&self, index: u64) -> Option<C> {
        self.shard(index)?.lock().get(&index).cloned()
    }

    pub(crate) fn note(&self, index: u64, context: C) {
        if let Some(shard) = self.shard(index) {
            shard.lock().insert(index, context);
        }
    }

    fn shard(&self, index: u64) -> Option<&Mutex<HashMap<u64, C>>> {
        self.shards.get(usize::try_from(index % SHARDS).ok()?)
    }
}

const SHARDS: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_are_there_up_to_the_first_gap(order in Just((10..40_u64).collect::<Vec<_>>()).prop_shuffle()) {
            let records = Records::new(10);
            let mut done = BTreeSet::new();
            for index in order {
                records.inserted(index);
                done.insert(index);
                let gap = (10..).find(|index| !done.contains(index));
                prop_assert_eq!(Some(records.there()), gap);
            }
        }
    }
}
