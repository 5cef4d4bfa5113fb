//! What the exchanges that this node leads have found: for operators.

use std::collections::BTreeMap;
use std::time::Duration;

use dynamokv_ring::NodeId;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Pair;

/// What is known of each pair that was compared, and what was moved since the start.
#[derive(Default)]
pub(crate) struct Ledger {
    rows: Mutex<BTreeMap<Pair, Row>>,
    moved: Mutex<BTreeMap<NodeId, Moved>>,
}

/// One partition and one peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// When all of it was compared last.
    pub(crate) compared: Option<Instant>,
    /// Since when copies were found to differ at every look.
    pub(crate) differs_since: Option<Instant>,
}

/// Objects that an exchange has moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) objects_pulled: u64,
    pub(crate) bytes_pulled: u64,
    pub(crate) objects_pushed: u64,
    pub(crate) bytes_pushed: u64,
}

impl Moved {
    pub(super) fn pulled(&mut self, bytes: usize) {
        self.objects_pulled += 1;
        self.bytes_pulled += bytes as u64;
    }

    pub(super) fn pushed(&mut self, bytes: usize) {
        self.objects_pushed += 1;
        self.bytes_pushed += bytes as u64;
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes_pulled + self.bytes_pushed
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.objects_pulled + self.objects_pushed == 0
    }

    fn add(&mut self, other: Self) {
        self.objects_pulled += other.objects_pulled;
        self.bytes_pulled += other.bytes_pulled;
        self.objects_pushed += other.objects_pushed;
        self.bytes_pushed += other.bytes_pushed;
    }
}

impl Ledger {
    /// Both held the same.
    pub(super) fn same(&self, pair: Pair, now: Instant) {
        let row = Row {
            compared: Some(now),
            differs_since: None,
        };
        self.rows.lock().insert(pair, row);
    }

    /// Something differed; it may be mended by now, and is known to be when it is looked at next.
    pub(super) fn differs(&self, pair: Pair, now: Instant) {
        let mut rows = self.rows.lock();
        rows.entry(pair)
            .or_default()
            .differs_since
            .get_or_insert(now);
    }

    /// All of it was compared, to the last key.
    pub(super) fn compared(&self, pair: Pair, now: Instant) {
        self.rows.lock().entry(pair).or_default().compared = Some(now);
    }

    pub(super) fn moved(&self, peer: NodeId, moved: Moved) {
        self.moved.lock().entry(peer).or_default().add(moved);
    }

    /// The pairs that `lists`, and forgets the others.
    pub(crate) fn rows(&self, lists: impl Fn(&Pair) -> bool) -> Vec<(Pair, Row)> {
        let mut rows = self.rows.lock();
        rows.retain(|pair, _| lists(pair));
        rows.iter().map(|(pair, row)| (*pair, *row)).collect()
    }

    /// Objects moved since the start, with all peers.
    pub(crate) fn total(&self) -> Moved {
        let mut total = Moved::default();
        self.moved
            .lock()
            .values()
            .for_each(|moved| total.add(*moved));
        total
    }
}

impl Row {
    /// For how long copies have differed.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        self.differs_since
            .map(|since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use dynamokv_ring::PartitionId;

    use super::*;

    #[test]
    fn a_difference_ages_until_both_are_seen_to_hold_the_same() {
        let (ledger, began) = (Ledger::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let pair = |partition| Pair {
            partition: PartitionId(partition),
            peer: NodeId(2),
        };
        let ages = |now| -> Vec<Option<u64>> {
            let rows = ledger.rows(|_| true).into_iter();
            rows.map(|(_, row)| row.age(now).map(|age| age.as_secs()))
                .collect()
        };
        ledger.differs(pair(1), at(1));
        ledger.compared(pair(1), at(2));
        ledger.differs(pair(1), at(3));
        ledger.same(pair(2), at(3));
        assert_eq!(ages(at(5)), [Some(4), None]);
        ledger.same(pair(1), at(6));
        assert_eq!(ages(at(7)), [None, None]);
        assert_eq!(ledger.rows(|pair| pair.partition.0 == 2).len(), 1);
        assert_eq!(ledger.rows(|_| true).len(), 1, "the other is forgotten");
    }
}
