//! All chance of a run, from its one seed.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A stream of chance. Each concern draws from a stream of its own, so that one that draws more does not change the luck
/// of the others: a run with fewer operations or without a fault stays like the run that it was made from.
#[derive(Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream of the given name within the run of `seed`.
    pub fn new(seed: u64, stream: &str) -> Self {
        Self(ChaCha8Rng::seed_from_u64(xxh3_64_with_seed(
            stream.as_bytes(),
            seed,
        )))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Scaling instead of a remainder; the bias is below 2^-32 for the bounds of a simulation.
        let wide = u128::from(self.number()) * u128::from(bound);
        (wide >> 64) as u64
    }

    /// An index into something of this length.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// A number of the range, both ends included.
    pub fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// True so many times of a thousand.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < u64::from(per_mille)
    }

    /// A duration of the range, in microseconds.
    pub fn duration(&mut self, least: Duration, most: Duration) -> Duration {
        let micros = |duration: Duration| duration.as_micros() as u64;
        Duration::from_micros(self.within(micros(least), micros(most)))
    }

    /// One of these; `None` where there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.index(from.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_are_apart() {
        let draw = |stream| {
            let mut dice = Dice::new(7, stream);
            [dice.number(), dice.below(10), dice.within(3, 5)]
        };
        assert_eq!(draw("network"), draw("network"));
        assert_ne!(draw("network"), draw("disk"));
    }

    #[test]
    fn draws_stay_within_their_bounds() {
        let mut dice = Dice::new(1, "bounds");
        let (mut low, mut high) = (false, false);
        for _ in 0..1_000 {
            let number = dice.within(3, 5);
            assert!((3..=5).contains(&number));
            low |= number == 3;
            high |= number == 5;
            assert_eq!(dice.below(1), 0);
            assert!(!dice.chance(0) && dice.chance(1_000));
        }
        assert!(low && high, "both ends are drawn");
    }
}
