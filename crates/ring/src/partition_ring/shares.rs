//! How many replicas each node should hold, and how hard it must compete to get them.

use super::rendezvous::{LOG_BITS, RATE_BITS, neg_log2};
use crate::Member;
use crate::spread::Spread;

/// The replicas that each member should hold, with [`SHARE_BITS`] fractional bits: in proportion to the weights as far as
/// one copy of a partition a node, and the copies that a zone may take, allow.
pub(super) fn shares(members: &[Member], spread: &Spread, bits: u32) -> Vec<u64> {
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
/// The k cheapest of many exponential draws include one of rate -log(1 - p) with a probability near p (order sampling,
/// Rosén 1997), so this is the rate of whatever is chosen with probability p: a node, or a zone that gives one copy
/// at most, whose rate its nodes then divide by weight.
pub(super) fn rates(members: &[Member], spread: &Spread, shares: &[u64], bits: u32) -> Vec<u64> {
    let whole = 1u64 << (bits + SHARE_BITS);
    let zones = spread.sizes.len();
    let (mut zone_share, mut zone_weight) = (vec![0u64; zones], vec![0u64; zones]);
    for ((member, &share), &zone) in members.iter().zip(shares).zip(&spread.zone_of) {
        zone_share[zone as usize] += share;
        zone_weight[zone as usize] += u64::from(member.weight.get());
    }
    let rate = |member: usize| {
        let zone = spread.zone_of[member] as usize;
        if spread.even > 0 {
            return rate_of(shares[member], whole);
        }
        let weight = u128::from(members[member].weight.get());
        let part = u128::from(rate_of(zone_share[zone], whole)) * weight;
        (part / u128::from(zone_weight[zone])) as u64
    };
    (0..members.len()).map(rate).collect()
}

/// -log2(1 - share / whole), at most 16.
fn rate_of(share: u64, whole: u64) -> u64 {
    let left = u128::from(whole.saturating_sub(share)) << 64;
    let left = u64::try_from(left / u128::from(whole)).unwrap_or(u64::MAX);
    neg_log2(left.max(1 << 48)) >> (LOG_BITS - RATE_BITS)
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
pub(super) const SHARE_BITS: u32 = 16;
/// Fractional bits of the level up to which shares are filled.
const LEVEL_BITS: u32 = 48;
