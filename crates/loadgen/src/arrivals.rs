//! When actions of an open loop begin, fixed before the store is asked anything.

use std::time::Duration;

use crate::dice::Dice;
use crate::plan::Arrivals;

/// The times after the start at which actions begin, ascending, without end.
#[derive(Debug, Clone)]
pub struct Schedule {
    interval_s: f64,
    arrivals: Arrivals,
    dice: Dice,
    /// Seconds, as the sum of rounded intervals would drift.
    next_s: f64,
    count: u64,
}

impl Schedule {
    /// `rate` a second, more than 0.
    pub fn new(rate: f64, arrivals: Arrivals, dice: Dice) -> Self {
        Self {
            interval_s: rate.recip(),
            arrivals,
            dice,
            next_s: 0.0,
            count: 0,
        }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let at = Duration::try_from_secs_f64(self.next_s).ok()?;
        self.count += 1;
        self.next_s = match self.arrivals {
            Arrivals::Even => self.count as f64 * self.interval_s,
            // The inverse of the exponential distribution; 1 - u is never 0.
            Arrivals::Poisson => self.next_s - (1.0 - self.dice.unit()).ln() * self.interval_s,
        };
        Some(at)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_ascend_and_keep_the_rate(rate in 0.1..100_000.0_f64, seed: u64, poisson: bool) {
            const ACTIONS: usize = 10_000;
            let arrivals = if poisson { Arrivals::Poisson } else { Arrivals::Even };
            let times: Vec<Duration> = Schedule::new(rate, arrivals, Dice::new(seed, 0)).take(ACTIONS).collect();
            prop_assert!(times.is_sorted());
            let took = times.last().unwrap().as_secs_f64() * rate / (ACTIONS - 1) as f64;
            // Even: exact but for nanoseconds. Poisson: the mean of 10,000 intervals is off by more than 6 % once in 10^9 runs.
            let tolerance = if poisson { 0.06 } else { 1e-6 };
            prop_assert!((took - 1.0).abs() < tolerance, "{took}");
        }
    }

    #[test]
    fn poisson_intervals_vary_as_much_as_their_mean() {
        let times: Vec<f64> = Schedule::new(1.0, Arrivals::Poisson, Dice::new(5, 0))
            .take(20_001)
            .map(|at| at.as_secs_f64())
            .collect();
        let intervals = times.windows(2).map(|pair| pair[1] - pair[0]);
        let variance = intervals
            .map(|interval| (interval - 1.0).powi(2))
            .sum::<f64>()
            / 20_000.0;
        assert!((variance - 1.0).abs() < 0.1, "{variance}");
    }
}
