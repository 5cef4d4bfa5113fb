//! Weighted rendezvous with stratified draws, in integers only, so that every machine computes the same.
//!
//! Each node has a cost for each partition, drawn from an exponential distribution whose rate grows with the node's
//! weight; the cheapest nodes take the partition. The draws of one node are not independent: a permutation of the
//! partitions that only the node's id determines gives each partition a stratum of its own, so every node has exactly
//! one draw in each Q-th of the distribution. Nobody is lucky or unlucky with the draws as such; what is left
//! is whom they compete with. With three replicas the variance of what a node holds is a third of that with independent
//! draws. As a draw still depends on one node and one partition alone, a newcomer takes partitions from the others and
//! moves nothing among them.

use crate::NodeId;

/// A node as it competes for partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contender {
    permutation: Permutation,
    seed: u64,
    /// 2^63 / rate.
    inverse_rate: u64,
}

impl Contender {
    /// `rate` has [`RATE_BITS`] fractional bits; `bits` is log2 of the number of partitions.
    pub(super) fn new(id: NodeId, rate: u64, bits: u32) -> Self {
        let seed = mix(id.0);
        Contender {
            permutation: Permutation::new(seed, bits),
            seed,
            inverse_rate: (1 << 63) / rate.max(1),
        }
    }

    /// What the partition costs at this node. Lower is better.
    pub(super) fn cost(&self, partition: u32) -> u64 {
        self.cost_of(self.draw(self.permutation.apply(partition), partition))
    }

    /// All partitions that cost at most `limit` here, with their costs, without a look at the others.
    pub(super) fn within(&self, limit: u64) -> impl Iterator<Item = (u32, u64)> + '_ {
        let strata = 1u32 << self.permutation.bits;
        (0..strata)
            .rev()
            .take_while(move |&stratum| {
                let best = self.draw_in(stratum, u64::MAX);
                self.cost_of(best) <= limit
            })
            .map(move |stratum| {
                let partition = self.permutation.invert(stratum);
                (partition, self.cost_of(self.draw(stratum, partition)))
            })
            .filter(move |&(_, cost)| cost <= limit)
    }

    /// About how many draws of the node are below `limit`, as a fraction of all.
    pub(super) fn fraction_within(&self, limit: u64) -> f64 {
        let rate = (1u64 << 63) as f64 / self.inverse_rate as f64 / (1u64 << RATE_BITS) as f64;
        let limit = limit as f64 / (1u64 << COST_BITS) as f64;
        1.0 - (-limit * rate).exp2()
    }

    /// A draw from the stratum; where in the stratum, the pair of node and partition decides.
    fn draw(&self, stratum: u32, partition: u32) -> u64 {
        self.draw_in(stratum, mix(self.seed ^ mix(u64::from(partition))))
    }

    fn draw_in(&self, stratum: u32, random: u64) -> u64 {
        let bits = self.permutation.bits;
        let upper = u64::from(stratum)
            .checked_shl(u64::BITS - bits)
            .unwrap_or(0);
        upper | random.checked_shr(bits).unwrap_or(0)
    }

    /// -log2(draw) / rate with [`COST_BITS`] fractional bits.
    fn cost_of(&self, draw: u64) -> u64 {
        let cost = (u128::from(neg_log2(draw)) * u128::from(self.inverse_rate)) >> COST_SHIFT;
        u64::try_from(cost).unwrap_or(u64::MAX)
    }
}

/// A bijection of 0..2^bits, drawn by a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Permutation {
    bits: u32,
    rounds: [Round; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Round {
    factor: u32,
    /// factor x inverse = 1 modulo 2^32.
    inverse: u32,
    summand: u32,
}

impl Permutation {
    /// `bits` is at most 16.
    pub(super) fn new(seed: u64, bits: u32) -> Self {
        let round = |number: u64| {
            let drawn = mix(seed.wrapping_add(number));
            let factor = drawn as u32 | 1;
            // Newton's iteration doubles the right bits: 3, 6, 12, 24, 48.
            let inverse = (0..4).fold(factor, |inverse, _| {
                inverse.wrapping_mul(2u32.wrapping_sub(factor.wrapping_mul(inverse)))
            });
            Round {
                factor,
                inverse,
                summand: (drawn >> 32) as u32,
            }
        };
        Permutation {
            bits,
            rounds: [round(1), round(2), round(3)],
        }
    }

    pub(super) fn apply(&self, value: u32) -> u32 {
        self.rounds.iter().fold(value, |value, round| {
            let value = value.wrapping_mul(round.factor).wrapping_add(round.summand);
            self.fold_down(value & self.mask())
        })
    }

    pub(super) fn invert(&self, value: u32) -> u32 {
        self.rounds.iter().rev().fold(value, |value, round| {
            let value = self.fold_down(value).wrapping_sub(round.summand);
            value.wrapping_mul(round.inverse) & self.mask()
        })
    }

    /// Its own inverse, as it shifts by half of the bits at least.
    fn fold_down(&self, value: u32) -> u32 {
        value ^ (value >> self.bits.div_ceil(2).max(1))
    }

    fn mask(&self) -> u32 {
        (1 << self.bits) - 1
    }
}

/// The finaliser of SplitMix64 behind its increment: a bijection of 64 bits without visible structure.
pub(super) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// -log2(value / 2^64) with [`LOG_BITS`] fractional bits, by linear interpolation in a table: it falls strictly as far
/// as its resolution goes and is wrong by less than 3e-6. Zero counts as one.
pub(crate) fn neg_log2(value: u64) -> u64 {
    let value = value.max(1);
    let zeros = value.leading_zeros();
    let mantissa = value << zeros;
    let step = ((mantissa >> 55) & 0xff) as usize;
    let rest = mantissa & ((1 << 55) - 1);
    let (low, high) = (LOG2[step], LOG2[step + 1]);
    let fraction = low + ((u128::from(high - low) * u128::from(rest)) >> 55) as u64;
    (u64::from(zeros + 1) << LOG_BITS) - fraction
}

/// log2(1 + i/256) with [`LOG_BITS`] fractional bits.
const LOG2: [u64; 257] = {
    let mut table = [0; 257];
    let mut step = 0;
    while step < 256 {
        // Squaring doubles the logarithm: each time its next binary digit appears.
        let mut power = (256 + step as u128) << 55;
        let mut bit = LOG_BITS;
        while bit > 0 {
            bit -= 1;
            power = (power * power) >> 63;
            if power >= 1 << 64 {
                table[step] |= 1 << bit;
                power >>= 1;
            }
        }
        step += 1;
    }
    table[256] = 1 << LOG_BITS;
    table
};

pub(crate) const LOG_BITS: u32 = 57;
/// Fractional bits of a rate.
pub(crate) const RATE_BITS: u32 = 40;
/// Fractional bits of a cost.
const COST_BITS: u32 = 24;
/// The product of a logarithm and an inverse rate has more.
const COST_SHIFT: u32 = LOG_BITS + 63 - RATE_BITS - COST_BITS;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_permutation_is_a_bijection_with_its_inverse(seed: u64, bits in 0u32..=10) {
            let permutation = Permutation::new(seed, bits);
            let images: BTreeSet<u32> = (0..1 << bits).map(|value| permutation.apply(value)).collect();
            prop_assert_eq!(images.len(), 1 << bits);
            prop_assert!(images.iter().all(|&image| image < 1 << bits));
            for value in 0..1 << bits {
                prop_assert_eq!(permutation.invert(permutation.apply(value)), value);
            }
        }

        #[test]
        fn the_logarithm_is_close_and_never_rises(value: u64, more: u32) {
            let exact = 64.0 - (value.max(1) as f64).log2();
            let ours = neg_log2(value) as f64 / (1u64 << LOG_BITS) as f64;
            prop_assert!((exact - ours).abs() < 3e-6, "{} for {}", ours, exact);
            prop_assert!(neg_log2(value.saturating_add(more.into())) <= neg_log2(value));
        }

        #[test]
        fn the_partitions_within_a_limit_are_found_without_looking_at_all(
            id: u64,
            rate in 1u64..1 << 45,
            bits in 0u32..=10,
            limit: u64,
            scale in 0u32..64,
        ) {
            let (contender, limit) = (Contender::new(NodeId(id), rate, bits), limit >> scale);
            let found: BTreeSet<(u32, u64)> = contender.within(limit).collect();
            let expected: BTreeSet<(u32, u64)> = (0..1 << bits)
                .map(|partition| (partition, contender.cost(partition)))
                .filter(|&(_, cost)| cost <= limit)
                .collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn every_node_has_one_draw_in_each_stratum(id: u64, bits in 0u32..=10) {
            let contender = Contender::new(NodeId(id), 1 << RATE_BITS, bits);
            let mut costs: Vec<u64> = (0..1 << bits).map(|partition| contender.cost(partition)).collect();
            costs.sort_unstable();
            for (place, cost) in costs.into_iter().enumerate() {
                let least = -(1.0 - place as f64 / (1u64 << bits) as f64).log2();
                let most = -(1.0 - (place + 1) as f64 / (1u64 << bits) as f64).log2();
                let cost = cost as f64 / (1u64 << COST_BITS) as f64;
                prop_assert!(least - 1e-5 <= cost && cost <= most + 1e-5, "{} {} {}", least, cost, most);
            }
        }
    }
}
