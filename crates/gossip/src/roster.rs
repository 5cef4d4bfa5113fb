//! Everybody who is known, as one sorted table: what digests, hashes and heartbeats are made from in one pass.

use std::ops::Range;

use dynamokv_ring::NodeId;

use crate::detector::Pulse;
use crate::message::KeySpan;

/// The nodes of the view, this one included, those that left excluded; sorted by [`key_of`] their ids, so that each
/// bucket is a stretch of the table.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    rows: Vec<Row>,
}

/// One node: how much of its state is known, and its pulse.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    key: u64,
    pub(crate) id: NodeId,
    generation: u64,
    version: u64,
    /// What it adds to the sums of its bucket.
    sums: BucketSums,
    pub(crate) pulse: Pulse,
}

/// What two views are compared by, for one bucket. Equal sets have equal sums, whatever the order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BucketSums {
    /// Of ids, generations, versions, and who left.
    pub(crate) view: u64,
    /// Of ids and generations: whether heartbeats mean the same nodes here and there.
    pub(crate) roster: u64,
}

impl Row {
    pub(crate) fn new(id: NodeId, generation: u64, version: u64, pulse: Pulse) -> Self {
        let mut row = Row {
            key: key_of(id),
            id,
            generation,
            version,
            sums: BucketSums::default(),
            pulse,
        };
        row.know(generation, version);
        row
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The state is known up to there. Returns whether that is news.
    pub(crate) fn know(&mut self, generation: u64, version: u64) -> bool {
        let news = (self.generation, self.version) != (generation, version);
        (self.generation, self.version) = (generation, version);
        // A chain, so that no two fields can change places.
        let roster = mix(mix(self.key).wrapping_add(generation));
        let view = mix(mix(roster).wrapping_add(version));
        self.sums = BucketSums { view, roster };
        news
    }
}

impl Roster {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(crate) fn pulses_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Pulse)> {
        self.rows.iter_mut().map(|row| (row.id, &mut row.pulse))
    }

    /// O(log nodes).
    pub(crate) fn get(&self, id: NodeId) -> Option<&Row> {
        let index = self.find(id).ok()?;
        self.rows.get(index)
    }

    /// O(log nodes).
    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Row> {
        let index = self.find(id).ok()?;
        self.rows.get_mut(index)
    }

    /// Adds or replaces. O(nodes).
    pub(crate) fn put(&mut self, row: Row) {
        match self.find(row.id) {
            Ok(index) => {
                if let Some(known) = self.rows.get_mut(index) {
                    *known = row;
                }
            }
            Err(index) => self.rows.insert(index, row),
        }
    }

    /// O(nodes).
    pub(crate) fn remove(&mut self, id: NodeId) {
        if let Ok(index) = self.find(id) {
            self.rows.remove(index);
        }
    }

    /// Where the rows of a span are. O(log nodes).
    pub(crate) fn range(&self, span: KeySpan) -> Range<usize> {
        let start = self.rows.partition_point(|row| row.key < span.first);
        let end = self.rows.partition_point(|row| row.key <= span.last);
        start..end.max(start)
    }

    /// The rows of a range that [`range`](Self::range) gave.
    pub(crate) fn slice(&self, range: Range<usize>) -> &[Row] {
        self.rows.get(range).unwrap_or_default()
    }

    pub(crate) fn slice_mut(&mut self, range: Range<usize>) -> &mut [Row] {
        self.rows.get_mut(range).unwrap_or_default()
    }

    /// The sums of all buckets, `left` being those that left. O(nodes).
    pub(crate) fn sums(
        &self,
        buckets: Buckets,
        left: impl Iterator<Item = NodeId>,
    ) -> Vec<BucketSums> {
        let mut sums = vec![BucketSums::default(); buckets.count()];
        for row in &self.rows {
            if let Some(sum) = sums.get_mut(buckets.of_key(row.key)) {
                sum.roster ^= row.sums.roster;
                sum.view ^= row.sums.view;
            }
        }
        for id in left {
            let key = key_of(id);
            if let Some(sum) = sums.get_mut(buckets.of_key(key)) {
                sum.view ^= mix(key ^ LEFT);
            }
        }
        sums
    }

    fn find(&self, id: NodeId) -> Result<usize, usize> {
        let key = key_of(id);
        self.rows.binary_search_by_key(&key, |row| row.key)
    }
}

/// A division of all keys into equal parts: a power of two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buckets {
    bits: u32,
}

impl Buckets {
    /// All keys in one.
    pub(crate) const ONE: Buckets = Buckets { bits: 0 };

    /// As many as are fit for that many nodes: some 32 in each.
    pub(crate) fn for_nodes(nodes: usize) -> Self {
        let count = (nodes / NODES_A_BUCKET).next_power_of_two();
        Buckets {
            bits: count.trailing_zeros().min(BITS_MAX),
        }
    }

    /// As many as a message has; none if that is no power of two or too many.
    pub(crate) fn of_count(count: usize) -> Option<Self> {
        let bits = count.trailing_zeros();
        (count.is_power_of_two() && bits <= BITS_MAX).then_some(Buckets { bits })
    }

    pub(crate) fn count(self) -> usize {
        1 << self.bits
    }

    pub(crate) fn of_key(self, key: u64) -> usize {
        key.checked_shr(64 - self.bits).unwrap_or(0) as usize
    }

    pub(crate) fn span(self, bucket: usize) -> KeySpan {
        let first = (bucket as u64).checked_shl(64 - self.bits).unwrap_or(0);
        KeySpan {
            first,
            last: first | u64::MAX.checked_shr(self.bits).unwrap_or(0),
        }
    }
}

/// Where an id stands in the order of the table: a one-to-one mixture, so that any ids spread evenly.
pub(crate) fn key_of(id: NodeId) -> u64 {
    mix(id.0)
}

/// The finalizer of splitmix64 (Steele et al. 2014).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

const NODES_A_BUCKET: usize = 32;
/// At most 1024 buckets: 8 KiB of sums.
const BITS_MAX: u32 = 10;
const LEFT: u64 = 0x6C65_6674;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::moment::Moment;

    #[test]
    fn no_two_pairs_of_small_states_have_the_same_sum() {
        let pulse = Pulse::new(Moment::after(std::time::Duration::ZERO), 0, None);
        let states = (0..8u64).flat_map(|id| {
            let row = move |fields: u64| Row::new(NodeId(id), fields % 8, fields / 8, pulse);
            (0..64).map(row)
        });
        let sums: Vec<BucketSums> = states.map(|row| row.sums).collect();
        let left = (0..8u64).map(|id| mix(key_of(NodeId(id)) ^ LEFT));
        let singles: Vec<u64> = sums.iter().map(|sums| sums.view).chain(left).collect();
        let mut pairs = BTreeSet::new();
        for (index, one) in singles.iter().enumerate() {
            for other in &singles[..index] {
                assert!(pairs.insert(one ^ other), "two pairs look the same");
            }
        }
    }

    #[test]
    fn buckets_cover_all_keys_once_and_in_order() {
        for bits in 0..=BITS_MAX {
            let buckets = Buckets { bits };
            let mut next = 0u64;
            for bucket in 0..buckets.count() {
                let span = buckets.span(bucket);
                assert_eq!(span.first, next);
                assert_eq!(buckets.of_key(span.first), bucket);
                assert_eq!(buckets.of_key(span.last), bucket);
                next = span.last.wrapping_add(1);
            }
            assert_eq!(next, 0, "the last bucket ends with the last key");
        }
        assert_eq!(Buckets::of_count(3), None);
        assert_eq!(Buckets::of_count(0), None);
        assert_eq!(Buckets::of_count(1 << 20), None);
    }
}
