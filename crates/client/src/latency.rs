//! How long is long: after what time a read is sent to a second replica.

use std::time::Duration;

/// Follows the 95th percentile of the latencies of reads with one number: each sample above it raises it by 19 parts where each
/// below lowers it by one, so that it rests where one sample in twenty is above.
#[derive(Debug, Clone)]
pub(crate) struct Percentile {
    micros: f64,
    least: f64,
    greatest: f64,
}

impl Percentile {
    /// Between these bounds, beginning at the greatest: nothing is hedged before something is known.
    pub(crate) fn new(least: Duration, greatest: Duration) -> Self {
        let least = least.as_micros() as f64;
        let greatest = (greatest.as_micros() as f64).max(least);
        Self {
            micros: greatest,
            least,
            greatest,
        }
    }

    /// A read was answered.
    pub(crate) fn sample(&mut self, latency: Duration) {
        let above = latency.as_micros() as f64 > self.micros;
        let change = if above {
            STEP * RANK
        } else {
            STEP * (RANK - 1.0)
        };
        self.micros = (self.micros * (1.0 + change)).clamp(self.least, self.greatest);
    }

    pub(crate) fn get(&self) -> Duration {
        Duration::from_micros(self.micros as u64)
    }
}

const RANK: f64 = 0.95;
const STEP: f64 = 0.1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn about_one_sample_in_twenty_is_above(seed in any::<u64>(), scale in 100..20_000_u64) {
            let mut dice = fastrand::Rng::with_seed(seed);
            let mut percentile = Percentile::new(Duration::ZERO, Duration::from_secs(1));
            // Exponentially distributed, as queues are.
            let mut draw = || Duration::from_micros((-(1.0 - dice.f64()).ln() * scale as f64) as u64);
            for _ in 0..5_000 {
                percentile.sample(draw());
            }
            let mut above = 0;
            for _ in 0..5_000 {
                let sample = draw();
                above += u32::from(sample > percentile.get());
                percentile.sample(sample);
            }
            prop_assert!((150..400).contains(&above), "{} of 5,000", above);
        }

        #[test]
        fn stays_within_its_bounds(samples in prop::collection::vec(0..10_000_000_u64, 0..500)) {
            let (least, greatest) = (Duration::from_millis(5), Duration::from_millis(200));
            let mut percentile = Percentile::new(least, greatest);
            prop_assert_eq!(percentile.get(), greatest);
            for micros in samples {
                percentile.sample(Duration::from_micros(micros));
                prop_assert!((least..=greatest).contains(&percentile.get()));
            }
        }
    }
}
