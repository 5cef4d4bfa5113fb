//! Hybrid logical time: close to the wall clock, never behind what was seen.

use std::fmt;

/// Milliseconds since the Unix epoch (48 bits, high) and a logical counter (16 bits, low), for
/// resolvers that want the last writer. Causality is the business of
/// [`CausalContext`](crate::CausalContext); this only orders what is concurrent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HybridTime(pub u64);

impl HybridTime {
    /// The greatest number of milliseconds, in the year 10,889.
    pub const MILLIS_MAX: u64 = (1 << 48) - 1;

    /// `millis` since the Unix epoch, at most [`HybridTime::MILLIS_MAX`], and the `logical`-th
    /// event in it.
    pub const fn new(millis: u64, logical: u16) -> Self {
        let millis = if millis > Self::MILLIS_MAX {
            Self::MILLIS_MAX
        } else {
            millis
        };
        Self(millis << 16 | logical as u64)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> u64 {
        self.0 >> 16
    }

    /// The place among the events of one millisecond.
    pub const fn logical(self) -> u16 {
        self.0 as u16
    }
}

/// Gives out hybrid times, each greater than all before and all observed (Kulkarni et al., "Logical
/// Physical Clocks", 2014). It has no clock of its own: the wall time is passed in.
///
/// ```
/// use dynamokv_vclock::{HybridClock, HybridTime};
///
/// let mut clock = HybridClock::new();
/// assert_eq!(clock.now(1_000), HybridTime::new(1_000, 0));
/// assert_eq!(clock.now(900), HybridTime::new(1_000, 1)); // the wall clock went back
/// assert!(clock.observe(HybridTime::new(2_000, 7), 1_001));
/// assert_eq!(clock.now(1_002), HybridTime::new(2_000, 8));
/// ```
#[derive(Clone, Debug, Default)]
pub struct HybridClock {
    last: HybridTime,
}

impl HybridClock {
    /// How far ahead of the local wall clock an observed time may be, in milliseconds: five
    /// minutes. One node with a wrong clock must not drag all others along for ever.
    pub const AHEAD_MAX_MS: u64 = 5 * 60 * 1_000;

    /// Has given out and observed nothing.
    pub const fn new() -> Self {
        Self {
            last: HybridTime(0),
        }
    }

    /// The time of an event here and now.
    pub fn now(&mut self, wall_ms: u64) -> HybridTime {
        let after_last = HybridTime(self.last.0.saturating_add(1));
        self.last = HybridTime::new(wall_ms, 0).max(after_last);
        self.last
    }

    /// Takes note of a time seen elsewhere, so that later ones given out here are greater. A time
    /// more than [`HybridClock::AHEAD_MAX_MS`] ahead of the wall clock is not taken over: `false`,
    /// worth a warning about that node's clock.
    pub fn observe(&mut self, seen: HybridTime, wall_ms: u64) -> bool {
        let credible = seen.millis() <= wall_ms.saturating_add(Self::AHEAD_MAX_MS);
        if credible {
            self.last = self.last.max(seen);
        }
        credible
    }
}

impl fmt::Display for HybridTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.millis(), self.logical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_given_out_exceed_all_given_out_and_observed(
            steps in proptest::collection::vec((any::<bool>(), 0_u64..2_000, 0_u64..70_000), 1..40),
        ) {
            let mut clock = HybridClock::new();
            let mut greatest = None;
            for (event, wall_ms, seen) in steps {
                if event {
                    let now = clock.now(wall_ms);
                    prop_assert!(Some(now) > greatest && now.millis() >= wall_ms);
                    greatest = Some(now);
                } else {
                    let seen = HybridTime(seen);
                    prop_assert!(clock.observe(seen, wall_ms));
                    greatest = greatest.max(Some(seen));
                }
            }
        }
    }

    #[test]
    fn a_time_from_a_far_future_is_reported_and_not_taken_over() {
        let mut clock = HybridClock::new();
        assert!(!clock.observe(HybridTime::new(1_001 + HybridClock::AHEAD_MAX_MS, 0), 1_000));
        assert_eq!(clock.now(1_000), HybridTime::new(1_000, 0));
    }

    #[test]
    fn a_full_logical_part_carries_into_the_milliseconds() {
        let mut clock = HybridClock::new();
        assert!(clock.observe(HybridTime::new(1_000, u16::MAX), 1_000));
        assert_eq!(clock.now(1_000), HybridTime::new(1_001, 0));
    }
}
