//! When the schedulers may act again: rate limits and back-offs, on instants passed in.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// No wait is longer, so that sums of instants cannot overflow.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// `now` plus `wait`, or a day, whichever is less.
pub(crate) fn later(now: Instant, wait: Duration) -> Instant {
    now + wait.min(WAIT_MAX)
}

/// Doubling waits between `min` and `max`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

impl Backoff {
    /// The wait after so many failures in a row.
    pub(crate) fn after(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.min.saturating_mul(1 << doublings).min(self.max)
    }
}

/// A rate limit: work is reserved before it begins, and corrected when its true size is known.
///
/// Over any time `t` no more than `per_second * t` and one reservation are begun; idle time earns
/// nothing, so there are no bursts after a pause.
#[derive(Debug)]
pub struct Pace {
    per_second: NonZeroU64,
    free_at: Option<Instant>,
}

impl Pace {
    /// A limit of so many units a second.
    pub fn new(per_second: NonZeroU64) -> Self {
        Self {
            per_second,
            free_at: None,
        }
    }

    /// When the next reservation may be made, at the earliest.
    pub fn free_at(&self, now: Instant) -> Instant {
        self.free_at.map_or(now, |at| at.max(now))
    }

    /// Begins work of so many units; whoever waits until [`free_at`](Self::free_at) keeps the limit.
    pub fn reserve(&mut self, units: u64, now: Instant) {
        self.free_at = Some(later(self.free_at(now), self.cost(units)));
    }

    /// Replaces a reservation of `reserved` units by what was used.
    pub fn correct(&mut self, reserved: u64, used: u64) {
        let Some(at) = self.free_at else { return };
        self.free_at = if used <= reserved {
            at.checked_sub(self.cost(reserved - used))
        } else {
            Some(later(at, self.cost(used - reserved)))
        };
    }

    fn cost(&self, units: u64) -> Duration {
        let nanos = u128::from(units) * 1_000_000_000 / u128::from(self.per_second.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// How much came in a second of late: over the last whole window and what came since.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    began: Option<Instant>,
    units: u64,
    /// Of the window before.
    last: Option<u64>,
}

impl Rate {
    /// Counts, and gives the rate now: that of the last whole window once there was one.
    pub(crate) fn add(&mut self, units: u64, now: Instant) -> u64 {
        let began = *self.began.get_or_insert(now);
        self.units += units;
        let passed = now.saturating_duration_since(began);
        let so_far = u128::from(self.units) * 1_000 / passed.as_millis().max(1);
        let so_far = u64::try_from(so_far).unwrap_or(u64::MAX);
        if passed >= RATE_WINDOW {
            self.last = Some(so_far);
            self.began = Some(now);
            self.units = 0;
        }
        self.last.unwrap_or(so_far)
    }
}

const RATE_WINDOW: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_window() {
        let begin = Instant::now();
        let mut rate = Rate::default();
        let at = |ms| begin + Duration::from_millis(ms);
        rate.add(0, begin);
        assert_eq!(rate.add(500, at(1_000)), 500);
        assert_eq!(rate.add(1_500, at(2_000)), 1_000);
        assert_eq!(rate.add(9_000, at(3_000)), 1_000, "not yet a window");
        assert_eq!(rate.add(1_000, at(4_000)), 5_000);
    }

    #[test]
    fn waits_double_from_the_least_to_the_greatest() {
        let backoff = Backoff {
            min: Duration::from_millis(100),
            max: Duration::from_millis(1_000),
        };
        let waits: Vec<u128> = (1..=6).map(|n| backoff.after(n).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(backoff.after(u32::MAX).as_millis(), 1_000);
    }

    #[test]
    fn a_correction_gives_back_what_was_not_used_and_takes_what_was_used_beyond() {
        let now = Instant::now();
        let mut pace = Pace::new(NonZeroU64::new(100).unwrap_or(NonZeroU64::MIN));
        pace.reserve(50, now);
        assert_eq!(pace.free_at(now), now + Duration::from_millis(500));
        pace.correct(50, 10);
        assert_eq!(pace.free_at(now), now + Duration::from_millis(100));
        pace.correct(0, 90);
        assert_eq!(pace.free_at(now), now + Duration::from_secs(1));
    }

    #[test]
    fn idle_time_earns_no_burst() {
        let now = Instant::now();
        let mut pace = Pace::new(NonZeroU64::MIN);
        pace.reserve(1, now);
        let idle = now + Duration::from_secs(60);
        pace.reserve(1, idle);
        assert_eq!(pace.free_at(idle), idle + Duration::from_secs(1));
    }
}
