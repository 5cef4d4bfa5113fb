//! Which keys are asked for.

use bytes::Bytes;
use rand_distr::{Distribution, Zipf};
use serde::{Deserialize, Serialize};

use crate::dice::Dice;
use crate::{Error, Result};

/// The key of a record: `user` and 16 digits, 20 bytes.
pub fn key(index: u64) -> Bytes {
    Bytes::from(format!("user{index:016}"))
}

/// How often which record is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Pattern {
    /// Each equally often.
    Uniform,
    /// A few very often: the nth most popular with a weight of 1 / n^exponent. Popularity is spread over the key space by a permutation,
    /// so that popular keys are no neighbours (YCSB's "scrambled zipfian", without its collisions).
    Zipfian {
        /// YCSB uses 0.99.
        exponent: f64,
    },
    /// Zipfian by age: the newest record is the most popular.
    Latest {
        /// YCSB uses 0.99.
        exponent: f64,
    },
    /// Each once, in order; then the run ends.
    Sequential,
}

impl Pattern {
    /// The exponent of the YCSB workloads.
    pub const YCSB_EXPONENT: f64 = 0.99;

    /// Checks the parameters.
    ///
    /// # Errors
    /// [`Error::Plan`] if an exponent is not in 0..=10.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Zipfian { exponent } | Self::Latest { exponent }
                if !(0.0..=10.0).contains(exponent) =>
            {
                Err(Error::plan(
                    "exponent",
                    format!("is {exponent}, but must be in 0..=10"),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Draws one of `records` records, 0 being the oldest; none where there are none. Not for [`Sequential`](Self::Sequential), which
    /// needs no dice: it draws as [`Uniform`](Self::Uniform) does. O(1).
    pub fn draw(&self, records: u64, dice: &mut Dice) -> Option<u64> {
        let newest = records.checked_sub(1)?;
        Some(match *self {
            Self::Uniform | Self::Sequential => dice.below(records),
            Self::Zipfian { exponent } => scatter(rank(records, exponent, dice), records),
            Self::Latest { exponent } => newest - rank(records, exponent, dice),
        })
    }
}

/// A rank, 0 being the most popular.
fn rank(records: u64, exponent: f64, dice: &mut Dice) -> u64 {
    // Beyond 2^53 records neighbours would merge; no store here has so many.
    match Zipf::new(records as f64, exponent) {
        Ok(zipf) => (zipf.sample(dice.rng()) as u64).clamp(1, records) - 1,
        Err(_) => dice.below(records),
    }
}

/// A fixed permutation of 0..`size`: a bijection on the next power of two, walked until it lands inside (fewer than two steps on the
/// average).
fn scatter(index: u64, size: u64) -> u64 {
    let bits = u64::BITS - (size - 1).leading_zeros();
    let mask = u64::MAX.checked_shr(u64::BITS - bits).unwrap_or(0);
    let mut at = index;
    loop {
        // Sums, odd factors and shifts to the right are bijections of the low bits.
        at = at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask;
        at ^= at >> (bits / 2).max(1);
        at = at.wrapping_mul(0xbf58_476d_1ce4_e5b9) & mask;
        at ^= at >> (bits / 2).max(1);
        if at < size {
            return at;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn the_permutation_meets_each_record_once(size in 1_u64..3_000) {
            let met: BTreeSet<u64> = (0..size).map(|index| scatter(index, size)).collect();
            prop_assert_eq!(met.len() as u64, size);
            prop_assert_eq!(met.last().copied(), Some(size - 1));
        }

        #[test]
        fn what_is_drawn_exists(records in 1_u64..1 << 40, exponent in 0.0..3.0_f64, seed: u64) {
            let mut dice = Dice::new(seed, 0);
            let patterns = [
                Pattern::Uniform,
                Pattern::Zipfian { exponent },
                Pattern::Latest { exponent },
            ];
            for pattern in patterns {
                prop_assert!(pattern.draw(records, &mut dice).unwrap() < records);
                prop_assert_eq!(pattern.draw(0, &mut dice), None);
            }
        }
    }

    /// The chance of each rank, by the definition.
    fn exact(records: u64, exponent: f64) -> Vec<f64> {
        let weights: Vec<f64> = (1..=records)
            .map(|rank| (rank as f64).powf(-exponent))
            .collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / sum).collect()
    }

    /// Pearson's statistic of the counts of `draws` drawings against exact chances.
    fn chi_square(chances: &[f64], draws: u64, mut draw: impl FnMut() -> u64) -> f64 {
        let mut counts = vec![0_u64; chances.len()];
        for _ in 0..draws {
            counts[usize::try_from(draw()).unwrap()] += 1;
        }
        let terms = counts.iter().zip(chances).map(|(count, chance)| {
            let expected = chance * draws as f64;
            (*count as f64 - expected).powi(2) / expected
        });
        terms.sum()
    }

    #[test]
    fn zipfian_draws_follow_the_exact_distribution() {
        const RECORDS: u64 = 100;
        // The 99.99th percentile of chi-square with 99 degrees of freedom is 160.1. The seed is fixed.
        for exponent in [0.0, 0.5, 0.99, 1.0, 1.5] {
            let mut dice = Dice::new(7, 0);
            let chances = exact(RECORDS, exponent);
            let off = chi_square(&chances, 200_000, || rank(RECORDS, exponent, &mut dice));
            assert!(off < 160.1, "exponent {exponent}: {off}");
            let wrong = exact(RECORDS, exponent + 0.05);
            let off = chi_square(&wrong, 200_000, || rank(RECORDS, exponent, &mut dice));
            assert!(
                off > 160.1,
                "a slightly different exponent than {exponent} shows: {off}"
            );
        }
    }

    #[test]
    fn popularity_goes_where_the_pattern_says() {
        let mut dice = Dice::new(3, 0);
        let mut most = |pattern: Pattern| {
            let mut counts = [0; 64];
            for _ in 0..20_000 {
                counts[usize::try_from(pattern.draw(64, &mut dice).unwrap()).unwrap()] += 1;
            }
            (0..64).max_by_key(|at| counts[*at]).unwrap()
        };
        assert_eq!(most(Pattern::Latest { exponent: 0.99 }), 63);
        assert_eq!(
            most(Pattern::Zipfian { exponent: 0.99 }) as u64,
            scatter(0, 64)
        );
    }

    #[test]
    fn keys_have_twenty_bytes() {
        assert_eq!(key(0).as_ref(), b"user0000000000000000");
        assert_eq!(key(12_345).as_ref(), b"user0000000000012345");
    }
}
