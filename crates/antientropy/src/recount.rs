//! Counting buckets from disk while their keys change.

use std::ops::Range;

use dynamokv_ring::Token;
use parking_lot::MutexGuard;

use crate::Forest;
use crate::bucket::{bucket_of, leaf_of};

/// A count of some buckets on its way: begun at one moment, fed with what a snapshot of that very moment holds, and then
/// [finished](Self::finish). Dropped, it changes nothing that was ready.
///
/// What is counted is the *error* of each leaf: its sum at that moment, XOR what the disk had then. It stays the same whatever
/// changes meanwhile, and is mixed into the sum as that is at the end.
#[must_use]
pub struct Recount<'a> {
    forest: &'a Forest,
    first: usize,
    counted: Vec<Counted>,
    _alone: MutexGuard<'a, ()>,
}

struct Counted {
    epoch: u64,
    bits: u8,
    errors: Box<[u128]>,
    keys: i64,
    was_ready: bool,
}

/// What a recount found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recounted {
    /// Keys on disk.
    pub keys: u64,
    /// Leaves that were ready and wrong.
    pub corrected: usize,
}

impl Forest {
    /// Begins to count some buckets. The caller sees to it that no key changes during this call, and takes its snapshot of the
    /// disk while that is still so: every [`change`](Self::change) comes wholly before or wholly after. A bucket that is not
    /// ready, or whose leaves do not fit, begins anew, with leaves for about `keys_expected` keys; until the end it is not
    /// ready. Waits for another recount that is under way: no caller may hold two. O(leaves of the buckets).
    pub fn begin_recount(&self, buckets: Range<usize>, keys_expected: u64) -> Recount<'_> {
        let alone = self.counting.lock();
        let of = self.buckets.get(buckets.clone()).unwrap_or_default();
        let floor = self.leaf_bits_for(0);
        let counted = of.iter().map(|bucket| {
            let was_ready = bucket.is_ready();
            if !was_ready || bucket.is_misfit(floor) {
                let keys = if was_ready {
                    bucket.keys()
                } else {
                    keys_expected
                };
                bucket.clear(self.leaf_bits_for(keys), false);
                return bucket.with_leaves(|leaves| Counted {
                    epoch: leaves.epoch,
                    bits: leaves.bits(),
                    errors: vec![0; leaves.sums().len()].into(),
                    keys: 0,
                    was_ready: false,
                });
            }
            bucket.with_leaves(|leaves| Counted {
                epoch: leaves.epoch,
                bits: leaves.bits(),
                errors: leaves.sums().iter().map(|sum| sum.read()).collect(),
                keys: -(i64::try_from(bucket.keys()).unwrap_or(i64::MAX)),
                was_ready,
            })
        });
        Recount {
            forest: self,
            first: buckets.start,
            counted: counted.collect(),
            _alone: alone,
        }
    }
}

impl Recount<'_> {
    /// The snapshot has a key with this token, whose state has this hash. Others than those of the buckets are ignored. O(1).
    pub fn add(&mut self, token: Token, hash: u128) {
        let at = bucket_of(token).checked_sub(self.first);
        let Some(counted) = at.and_then(|at| self.counted.get_mut(at)) else {
            return;
        };
        counted.keys += 1;
        if let Some(error) = counted.errors.get_mut(leaf_of(token, counted.bits)) {
            *error ^= hash;
        }
    }

    /// All that the snapshot has in these buckets was added: puts their sums right. O(leaves of the buckets).
    pub fn finish(self) -> Recounted {
        let mut found = Recounted::default();
        let buckets = self.forest.buckets.iter().skip(self.first);
        for (bucket, counted) in buckets.zip(self.counted) {
            // Cleared meanwhile: what the snapshot has is gone.
            if bucket.with_leaves(|leaves| leaves.epoch != counted.epoch) {
                continue;
            }
            let mut whole = 0;
            bucket.with_leaves(|leaves| {
                for (at, error) in counted.errors.iter().enumerate() {
                    whole ^= *error;
                    if let Some(leaf) = leaves.leaf(at).filter(|_| *error != 0) {
                        leaf.mix(*error);
                        found.corrected += usize::from(counted.was_ready);
                    }
                }
            });
            bucket.mix_sum(whole, counted.keys);
            if !counted.was_ready {
                bucket.set_ready();
            }
            found.keys += bucket.keys();
        }
        found
    }
}
