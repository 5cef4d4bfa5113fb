//! A fixed share of all tokens, with leaves of its own: as many as its keys ask for.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use dynamokv_ring::Token;
use parking_lot::RwLock;

/// The first bits of a token name its bucket: there are 4,096.
pub(crate) const BUCKET_BITS: u8 = 12;
pub(crate) const BUCKETS: usize = 1 << BUCKET_BITS;

/// A bucket has 4,096 leaves at most: 16 Mi in all, 256 MiB.
pub(crate) const LEAF_BITS_MAX: u8 = 12;

/// So many keys a leaf are aimed at: their hashes cost as much to send as the leaves of one level.
const KEYS_PER_LEAF: u64 = 8;

/// The XOR of hashes, changed by many at once.
///
/// The halves are changed one after the other: who reads in between sees a sum that never was, and finds the difference gone when
/// it looks again.
#[derive(Default)]
pub(crate) struct Sum {
    high: AtomicU64,
    low: AtomicU64,
}

impl Sum {
    pub(crate) fn mix(&self, difference: u128) {
        self.high
            .fetch_xor((difference >> u64::BITS) as u64, Ordering::Relaxed);
        self.low.fetch_xor(difference as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u128 {
        let high = self.high.load(Ordering::Relaxed);
        u128::from(high) << u64::BITS | u128::from(self.low.load(Ordering::Relaxed))
    }

    fn clear(&self) {
        self.high.store(0, Ordering::Relaxed);
        self.low.store(0, Ordering::Relaxed);
    }
}

#[derive(Default)]
pub(crate) struct Bucket {
    sum: Sum,
    keys: AtomicI64,
    leaves: RwLock<Leaves>,
}

pub(crate) struct Leaves {
    /// Whether they stand for everything on disk.
    pub(crate) ready: bool,
    /// How often they began anew.
    pub(crate) epoch: u64,
    /// The bits beyond the bucket's that name a leaf.
    bits: u8,
    sums: Box<[Sum]>,
}

impl Default for Leaves {
    fn default() -> Self {
        Self::new(0, 0)
    }
}

impl Leaves {
    fn new(bits: u8, epoch: u64) -> Self {
        Self {
            ready: false,
            epoch,
            bits,
            sums: (0..1_usize << bits).map(|_| Sum::default()).collect(),
        }
    }

    pub(crate) fn bits(&self) -> u8 {
        self.bits
    }

    pub(crate) fn leaf(&self, at: usize) -> Option<&Sum> {
        self.sums.get(at)
    }

    pub(crate) fn sums(&self) -> &[Sum] {
        &self.sums
    }
}

impl Bucket {
    pub(crate) fn change(&self, token: Token, difference: u128, keys: i64) {
        let leaves = self.leaves.read();
        if let Some(leaf) = leaves.leaf(leaf_of(token, leaves.bits)) {
            leaf.mix(difference);
        }
        self.sum.mix(difference);
        if keys != 0 {
            self.keys.fetch_add(keys, Ordering::Relaxed);
        }
    }

    pub(crate) fn sum(&self) -> u128 {
        self.sum.read()
    }

    pub(crate) fn mix_sum(&self, difference: u128, keys: i64) {
        self.sum.mix(difference);
        self.keys.fetch_add(keys, Ordering::Relaxed);
    }

    pub(crate) fn keys(&self) -> u64 {
        u64::try_from(self.keys.load(Ordering::Relaxed)).unwrap_or(0)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.leaves.read().ready
    }

    pub(crate) fn with_leaves<R>(&self, look: impl FnOnce(&Leaves) -> R) -> R {
        look(&self.leaves.read())
    }

    /// Whether the leaves are far too many or too few for the keys.
    pub(crate) fn is_misfit(&self, floor: u8) -> bool {
        let bits = self.leaves.read().bits;
        let wanted = leaf_bits_for(self.keys(), floor);
        bits < floor || wanted > bits + 1 || wanted + 3 < bits
    }

    /// Begins anew, with nothing in it. Nobody changes it meanwhile.
    pub(crate) fn clear(&self, bits: u8, ready: bool) {
        let mut leaves = self.leaves.write();
        *leaves = Leaves {
            ready,
            ..Leaves::new(bits, leaves.epoch + 1)
        };
        self.sum.clear();
        self.keys.store(0, Ordering::Relaxed);
    }

    pub(crate) fn set_ready(&self) {
        self.leaves.write().ready = true;
    }
}

pub(crate) fn bucket_of(token: Token) -> usize {
    (token.0 >> (u64::BITS - u32::from(BUCKET_BITS))) as usize
}

/// The leaf of a token within its bucket.
pub(crate) fn leaf_of(token: Token, bits: u8) -> usize {
    let within = token.0 << BUCKET_BITS;
    within.checked_shr(u64::BITS - u32::from(bits)).unwrap_or(0) as usize
}

/// How many bits name the leaves of a bucket with so many keys; `floor` at least.
pub(crate) fn leaf_bits_for(keys: u64, floor: u8) -> u8 {
    let leaves = keys.div_ceil(KEYS_PER_LEAF).max(1).next_power_of_two();
    (leaves.trailing_zeros() as u8)
        .max(floor)
        .min(LEAF_BITS_MAX)
}
