//! How many replicas each node should hold, and how hard it must compete to get them.

use crate::Member;
use crate::partition_ring::rendezvous::{LOG_BITS, RATE_BITS, neg_log2};
use crate::spread::Spread;

/// The replicas that each member should hold, with [`SHARE_BITS`] fractional bits: in proportion to the weights as far as
/// one copy of a partition a node, and the copies that a zone may take, allow.
pub(crate) fn shares(members: &[Member], spread: &Spread, bits: u32) -> Vec<u64> {
    let whole = 1u64 << (bits + SHARE_BITS);
    let mut zones: Vec<Vec<usize>> = vec![Vec::new(); spread.sizes.len()];
    for (member, &zone) in spread.zone_of.iter().enumerate() {
        zones[zone as usize].push(member);
    }
    let weight = |member: usize| u64::from(members[member].weight.get());
    let bounds: Vec<Bounds> = zones
        .iter()
        .zip(&spread.sizes)
        .map(|(zone, &size)| Bounds {
            weight: zone.iter().map(|&member| weight(member)).sum(),
            least: whole * u64::from(size.min(spread.even)),
            most: whole * u64::from(size.min(spread.even + 1)),
        })
        .collect();
    let mut shares = vec![0; members.len()];
    for (zone, share) in zones
        .iter()
        .zip(deal(&bounds, whole * spread.copies as u64))
    {
        let bounds: Vec<Bounds> = zone
            .iter()
            .map(|&member| Bounds {
                weight: weight(member),
                least: 0,
                most: whole,
            })
            .collect();
        for (&member, share) in zone.iter().zip(deal(&bounds, share)) {
            shares[member] = share;
        }
    }
    shares
}

/// The rate of each member with [`RATE_BITS`] fractional bits, such that the draws alone give it about its share.
///
/// A zone that gives one copy of a partition at most competes as one, and its nodes divide its rate by weight.
pub(crate) fn rates(members: &[Member], spread: &Spread, shares: &[u64], bits: u32) -> Vec<u64> {
    let whole = 1u64 << (bits + SHARE_BITS);
    if spread.even > 0 {
        return shares.iter().map(|&share| rate(share, whole)).collect();
    }
    let zones = spread.sizes.len();
    let (mut zone_share, mut zone_weight) = (vec![0u64; zones], vec![0u64; zones]);
    for ((member, share), &zone) in members.iter().zip(shares).zip(&spread.zone_of) {
        zone_share[zone as usize] += share;
        zone_weight[zone as usize] += u64::from(member.weight.get());
    }
    let part = |(member, &zone): (&Member, &u32)| {
        let zone_rate = u128::from(rate(zone_share[zone as usize], whole));
        let weight = u128::from(member.weight.get());
        (zone_rate * weight / u128::from(zone_weight[zone as usize])) as u64
    };
    members.iter().zip(&spread.zone_of).map(part).collect()
}

/// The rate of what should be among the N cheapest with the probability p = share / whole.
///
/// Rates of -ln(1 - p) would hit the shares closely (order sampling, Rosén 1997), but so steep a curve makes the old
/// nodes trade places whenever a node joins. Shares that differ little are served as well by rates in proportion to
/// them, the bound seeing to the rest. So: p up to 3/4, which N of N + 1 equal zones have, and only then the logarithm.
fn rate(share: u64, whole: u64) -> u64 {
    let bend = whole - whole / 4;
    let one = 1u64 << RATE_BITS;
    if share <= bend {
        return (u128::from(share) * u128::from(one) / u128::from(whole)) as u64;
    }
    let left = whole.saturating_sub(share);
    if left <= whole >> ALWAYS_BITS {
        return one * u64::from(ALWAYS_BITS);
    }
    let left = ((u128::from(left) << u64::BITS) / u128::from(whole)) as u64;
    let doublings = (neg_log2(left) >> (LOG_BITS - RATE_BITS)) - 2 * one;
    (one - one / 4) + ((u128::from(doublings) * LN_2_QUARTER) >> RATE_BITS) as u64
}

struct Bounds {
    weight: u64,
    least: u64,
    most: u64,
}

/// Divides `total` in proportion to the weights, within the bounds.
fn deal(parties: &[Bounds], total: u64) -> Vec<u64> {
    let part = |party: &Bounds, level: u128| {
        let part = level.saturating_mul(u128::from(party.weight)) >> LEVEL_BITS;
        u64::try_from(part)
            .unwrap_or(u64::MAX)
            .clamp(party.least, party.most)
    };
    let dealt = |level: u128| parties.iter().map(|party| part(party, level)).sum::<u64>();
    // The greatest level per unit of weight that does not deal more than there is.
    let (mut low, mut high) = (0u128, 1u128 << 90);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if dealt(middle) <= total {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    parties.iter().map(|party| part(party, low)).collect()
}

/// Fractional bits of a share.
pub(crate) const SHARE_BITS: u32 = 16;
/// Fractional bits of the level up to which shares are filled.
const LEVEL_BITS: u32 = 48;
/// What lacks less than 2^-16 to be in every list competes as always in.
const ALWAYS_BITS: u32 = 16;
/// ln 2 / 4 with [`RATE_BITS`] fractional bits.
const LN_2_QUARTER: u128 = 190_530_846_196;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    proptest! {
        #[test]
        fn shares_follow_the_weights_as_far_as_the_bounds_allow(
            nodes in prop::collection::vec((1u32..1_000_000, 0u8..5), 1..20),
            replicas in 1usize..=16,
            bits in 0u32..=16,
        ) {
            let members: Vec<Member> = (0..)
                .zip(&nodes)
                .filter_map(|(id, &(weight, zone))| {
                    let weight = NonZeroU32::new(weight)?;
                    Some(Member::new(NodeId(id)).with_weight(weight).with_zone(zone.to_string()))
                })
                .collect();
            let spread = Spread::new(&members, replicas);
            let shares = shares(&members, &spread, bits);
            let whole = 1u64 << (bits + SHARE_BITS);
            let total: u64 = shares.iter().sum();
            let wanted = whole * spread.copies as u64;
            prop_assert!(total <= wanted && wanted - total <= 2 * members.len() as u64);
            for (a, &share) in shares.iter().enumerate() {
                prop_assert!(share <= whole);
                for (b, &other) in shares.iter().enumerate() {
                    let same_zone = spread.zone_of[a] == spread.zone_of[b];
                    // Within a zone the heavier never has less, and only one that is full has less per weight.
                    if same_zone && share < whole {
                        let fair = u128::from(other) * u128::from(nodes[a].0) / u128::from(nodes[b].0);
                        prop_assert!(u128::from(share) + 1 + u128::from(nodes[a].0 / nodes[b].0) >= fair);
                    }
                }
            }
        }

        #[test]
        fn a_greater_share_never_competes_less(share in 0u64..1 << 32, more in 0u64..1 << 20) {
            let whole = 1 << 32;
            let greater = (share + more).min(whole);
            prop_assert!(rate(share, whole) <= rate(greater, whole));
        }
    }

    #[test]
    fn the_bend_of_the_rates_has_no_step() {
        let whole = 1u64 << 32;
        let bend = whole - whole / 4;
        let step = rate(bend + 16, whole) - rate(bend, whole);
        assert!(step < (1 << RATE_BITS) / 1_000_000, "{step}");
    }
}
