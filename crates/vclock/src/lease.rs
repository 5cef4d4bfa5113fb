//! Epochs drawn in blocks from a durable counter.

use std::ops::Range;

use crate::{Epoch, Error};

/// A block of epochs that a node may use: `counter` (40 bits, high) and `random` (24 bits, low)
/// each.
///
/// The owner keeps the end of the leased block on disk, synced **before** the first epoch of the
/// block is used, and draws `random` anew for each lease. What is left of a lease at a stop is
/// forfeited.
///
/// Why this split:
/// - *40 bits of counter* last for 10^12 epochs of one node. An epoch is spent by the first write
///   that a node coordinates for a key (and by the first one after a loss), so they outlast any
///   disk: 10,000 new keys a second, without a pause, for 3.5 years. The counter alone makes epochs
///   unique as long as the disk does not go back in time.
/// - *24 bits of randomness* are for a disk that does (an older copy was restored, unnoticed): its
///   counter repeats, its random bits differ but once in 16.7 million. A repeated epoch does harm
///   only if it meets the **same key** again, and only if neither the client's context nor a peer's
///   state shows that it was used (see [`issue`](crate::issue)). More bits would shorten the
///   counter or lengthen every clock.
/// - *Counter high*: a node's epochs ascend in time, newest last, and stay short on the wire while
///   the counter is small.
///
/// ```
/// use dynamokv_vclock::EpochLease;
///
/// let mut lease = EpochLease::new(5, 7, 0xabcdef)?;
/// assert_eq!(lease.next().unwrap().0, 5 << 24 | 0xabcdef);
/// assert_eq!(lease.remaining(), 1);
/// # Ok::<_, dynamokv_vclock::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EpochLease {
    counters: Range<u64>,
    random: u32,
}

impl EpochLease {
    /// The counter after the greatest possible one: 2^40.
    pub const END: u64 = 1 << (u64::BITS - Self::RANDOM_BITS);

    /// How many low bits of an epoch are random.
    pub const RANDOM_BITS: u32 = 24;

    /// The epochs with counters `first..end`, each with the low 24 bits of `random`.
    ///
    /// # Errors
    /// [`Error::LeaseBounds`] if `first > end` or `end >` [`EpochLease::END`].
    pub fn new(first: u64, end: u64, random: u32) -> Result<Self, Error> {
        if first > end || end > Self::END {
            return Err(Error::LeaseBounds {
                first,
                end,
                limit: Self::END,
            });
        }
        Ok(Self {
            counters: first..end,
            random: random & ((1 << Self::RANDOM_BITS) - 1),
        })
    }

    /// How many epochs are left.
    pub fn remaining(&self) -> u64 {
        self.counters.end - self.counters.start
    }
}

impl Iterator for EpochLease {
    type Item = Epoch;

    /// The next epoch; `None` once the lease is used up.
    fn next(&mut self) -> Option<Epoch> {
        let counter = self.counters.next()?;
        Some(Epoch(counter << Self::RANDOM_BITS | u64::from(self.random)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn epochs_of_successive_leases_ascend_and_never_repeat() {
        let mut epochs = Vec::new();
        for (first, random) in [(0, 0xff_ffff), (3, 0), (6, 0x1ff_ffff)] {
            epochs.extend(EpochLease::new(first, first + 3, random).unwrap());
        }
        assert_eq!(epochs.len(), 9);
        assert!(epochs.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn bounds_are_checked_and_the_last_epoch_fits() {
        let end = EpochLease::END;
        let refused = |first, end| {
            matches!(
                EpochLease::new(first, end, 0),
                Err(Error::LeaseBounds { .. })
            )
        };
        assert!(refused(2, 1));
        assert!(refused(0, end + 1));
        let mut last = EpochLease::new(end - 1, end, u32::MAX).unwrap();
        assert_eq!(last.next(), Some(Epoch(u64::MAX)));
        assert_eq!((last.next(), last.remaining()), (None, 0));
    }
}
