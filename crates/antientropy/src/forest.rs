use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use dynamokv_ring::{Token, TokenRange};
use parking_lot::Mutex;

use crate::Prefix;
use crate::bucket::{BUCKET_BITS, BUCKETS, Bucket, bucket_of, leaf_bits_for};

/// The hash trees of all that a node holds, one for every share of the tokens that is named by a [`Prefix`], the partitions among
/// them.
///
/// A leaf is the XOR of the hashes of the keys with its tokens, and every inner sum is that of the leaves below it; so trees of
/// different depths can be compared, and an empty range has the sum 0. The idea is Merkle's, as Dynamo uses it; XOR in the place of
/// a hash over hashes makes a change O(1) and independent of the order.
///
/// **Cost.** A change is some atomic operations under no lock but the shared one of its bucket, which only a
/// [`recount`](Self::begin_recount) takes for itself. **Memory**: 320 KiB, and 16 bytes a leaf: 1 to 4 bytes a key.
pub struct Forest {
    pub(crate) buckets: Box<[Bucket]>,
    /// Buckets that may be wrong.
    suspects: Mutex<BTreeSet<usize>>,
    /// Where to look next for a bucket whose leaves do not fit its keys.
    misfits_from: AtomicUsize,
    /// Every bucket has leaves of so many bits at least, so that partitions end between leaves.
    floor: AtomicU8,
    /// One recount at a time.
    pub(crate) counting: Mutex<()>,
}

/// What a forest knows of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The XOR of the hashes of all that is there.
    Sum(u128),
    /// The leaves are coarser.
    TooFine,
    /// It is not counted yet.
    NotReady,
}

impl Forest {
    /// The trees of an empty store if `ready`; else of a store that is still to be counted.
    #[must_use]
    pub fn new(ready: bool) -> Self {
        let buckets: Box<[Bucket]> = (0..BUCKETS).map(|_| Bucket::default()).collect();
        if ready {
            buckets.iter().for_each(Bucket::set_ready);
        }
        Self {
            buckets,
            suspects: Mutex::default(),
            misfits_from: AtomicUsize::new(0),
            floor: AtomicU8::new(0),
            counting: Mutex::default(),
        }
    }

    /// A key with this token has another state: the hashes of both, `None` for no state. O(1); any number of threads at once.
    ///
    /// For each key the changes come in their order, and each as soon as its state is visible: see
    /// [`begin_recount`](Self::begin_recount).
    pub fn change(&self, token: Token, old: Option<u128>, new: Option<u128>) {
        let difference = old.unwrap_or(0) ^ new.unwrap_or(0);
        let keys = i64::from(new.is_some()) - i64::from(old.is_some());
        if let Some(bucket) = self.buckets.get(bucket_of(token)) {
            bucket.change(token, difference, keys);
        }
    }

    /// Everything in `range` is gone at once; nothing changes meanwhile. What shares a bucket with something that stays is counted
    /// anew. O(buckets).
    pub fn clear(&self, range: TokenRange) {
        let floor = self.floor.load(Ordering::Relaxed);
        for (at, bucket) in self.buckets_in(range) {
            let whole = prefix_of(at).range();
            let all = range.contains(whole.first) && range.contains(whole.last);
            // Not ready stays not ready: what was counted of it so far may have been less than all.
            let ready = all && bucket.is_ready();
            bucket.clear(floor, ready);
        }
    }

    /// What is known of the tokens of `prefix`. O(buckets) above them, O(leaves of a bucket) below.
    #[must_use]
    pub fn see(&self, prefix: Prefix) -> Sight {
        if prefix.length() <= BUCKET_BITS {
            return self.see_buckets(prefix.range());
        }
        let Some(bucket) = self.buckets.get(bucket_of(prefix.first())) else {
            return Sight::NotReady;
        };
        bucket.with_leaves(|leaves| {
            if !leaves.ready {
                return Sight::NotReady;
            }
            let Some(beyond) = (BUCKET_BITS + leaves.bits()).checked_sub(prefix.length()) else {
                return Sight::TooFine;
            };
            let first = crate::bucket::leaf_of(prefix.first(), leaves.bits());
            let of = leaves.sums().get(first..first + (1 << beyond));
            of.map_or(Sight::NotReady, |of| {
                Sight::Sum(of.iter().fold(0, |sum, leaf| sum ^ leaf.read()))
            })
        })
    }

    fn see_buckets(&self, range: TokenRange) -> Sight {
        let mut sum = 0;
        for (_, bucket) in self.buckets_in(range) {
            if !bucket.is_ready() {
                return Sight::NotReady;
            }
            sum ^= bucket.sum();
        }
        Sight::Sum(sum)
    }

    /// About how many keys have the tokens of `prefix`: exact above the buckets, the share of the bucket below.
    #[must_use]
    pub fn keys(&self, prefix: Prefix) -> u64 {
        let beyond = u32::from(prefix.length().saturating_sub(BUCKET_BITS));
        let keys = self.buckets_in(prefix.range());
        keys.map(|(_, bucket)| bucket.keys()).sum::<u64>() >> beyond
    }

    /// The length of the finest prefixes that are known here.
    #[must_use]
    pub fn finest(&self, at: Token) -> u8 {
        let bucket = self.buckets.get(bucket_of(at));
        BUCKET_BITS + bucket.map_or(0, |bucket| bucket.with_leaves(|leaves| leaves.bits()))
    }

    /// Whether everything is counted.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.buckets.iter().all(Bucket::is_ready)
    }

    /// How many of all buckets are counted: progress of a rebuild.
    #[must_use]
    pub fn ready_share(&self) -> (usize, usize) {
        let ready = self.buckets.iter().filter(|bucket| bucket.is_ready());
        (ready.count(), self.buckets.len())
    }

    /// Leaves in all, and the bytes that they take.
    #[must_use]
    pub fn leaves(&self) -> (usize, usize) {
        let leaves = |bucket: &Bucket| bucket.with_leaves(|leaves| leaves.sums().len());
        let leaves: usize = self.buckets.iter().map(leaves).sum();
        let buckets = self.buckets.len() * size_of::<Bucket>();
        (leaves, buckets + leaves * size_of::<crate::bucket::Sum>())
    }

    /// There will be prefixes of so many bits to compare, partitions: what is too coarse for that is due.
    pub fn reach(&self, bits: u8) {
        let floor = bits.saturating_sub(BUCKET_BITS);
        self.floor
            .fetch_max(floor.min(crate::bucket::LEAF_BITS_MAX), Ordering::Relaxed);
    }

    /// The sums within this range may be wrong: its buckets are due.
    pub fn suspect(&self, range: TokenRange) {
        let buckets = bucket_of(range.first)..=bucket_of(range.last);
        self.suspects.lock().extend(buckets);
    }

    /// The buckets that must be counted next: some in a row, `max` at most, that are not counted yet; else one that is suspect, or
    /// some whose leaves do not fit their keys any more. O(buckets) if there is none.
    #[must_use]
    pub fn due(&self, max: usize) -> Option<Range<usize>> {
        let unready = |at: &usize| self.buckets.get(*at).is_some_and(|b| !b.is_ready());
        if let Some(first) = (0..self.buckets.len()).find(unready) {
            return Some(self.row(first, max, unready));
        }
        let suspect = self.suspects.lock().pop_first();
        suspect
            .map(|at| at..at + 1)
            .or_else(|| self.next_misfits(max))
    }

    /// Going on where it was last: while keys stream in, there is always one.
    fn next_misfits(&self, max: usize) -> Option<Range<usize>> {
        let floor = self.floor.load(Ordering::Relaxed);
        let misfit = |at: &usize| {
            let bucket = self.buckets.get(*at);
            bucket.is_some_and(|bucket| bucket.is_misfit(floor))
        };
        let count = self.buckets.len();
        let start = self.misfits_from.load(Ordering::Relaxed);
        let found = (start..count).chain(0..start.min(count)).find(misfit);
        let row = found.map(|first| self.row(first, max, misfit));
        let next = row.as_ref().map_or(0, |row| row.end);
        self.misfits_from.store(next, Ordering::Relaxed);
        row
    }

    /// From `first` on, as many as are alike, `max` at most.
    fn row(&self, first: usize, max: usize, alike: impl Fn(&usize) -> bool) -> Range<usize> {
        let last = (first..self.buckets.len())
            .take(max.max(1))
            .take_while(alike)
            .last();
        first..last.map_or(first + 1, |last| last + 1)
    }

    /// The tokens of some buckets.
    #[must_use]
    pub fn range_of(&self, buckets: &Range<usize>) -> TokenRange {
        let last = buckets.end.saturating_sub(1).min(BUCKETS - 1);
        TokenRange {
            first: prefix_of(buckets.start.min(BUCKETS - 1)).first(),
            last: prefix_of(last).range().last,
        }
    }

    /// How many buckets there are: `due` and a scrub name them `0..buckets()`.
    #[must_use]
    pub fn buckets(&self) -> usize {
        self.buckets.len()
    }

    pub(crate) fn leaf_bits_for(&self, keys: u64) -> u8 {
        leaf_bits_for(keys, self.floor.load(Ordering::Relaxed))
    }

    fn buckets_in(&self, range: TokenRange) -> impl Iterator<Item = (usize, &Bucket)> {
        let (first, last) = (bucket_of(range.first), bucket_of(range.last));
        let buckets = self.buckets.get(first..=last).unwrap_or_default();
        (first..).zip(buckets)
    }
}

fn prefix_of(bucket: usize) -> Prefix {
    let first = (bucket as u64) << (u64::BITS - u32::from(BUCKET_BITS));
    Prefix::of(Token(first), BUCKET_BITS)
}

impl std::fmt::Debug for Forest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (ready, buckets) = self.ready_share();
        f.debug_struct("Forest")
            .field("ready", &format_args!("{ready} of {buckets}"))
            .field("leaves", &self.leaves().0)
            .finish_non_exhaustive()
    }
}
