//! Shares rounded to whole partitions, such that little moves.

use crate::shares::SHARE_BITS;
use crate::spread::Spread;

/// How many replicas each member is to hold: its share, rounded up or down, so that all add up and the zones do too.
///
/// Who has more than its share already is the first to be rounded up, as nothing moves for it.
pub(super) fn quotas(shares: &[u64], held: &[u32], spread: &Spread, bits: u32) -> Vec<u32> {
    let mut zones: Vec<Vec<usize>> = vec![Vec::new(); spread.sizes.len()];
    for (member, &zone) in spread.zone_of.iter().enumerate() {
        zones[zone as usize].push(member);
    }
    let parties: Vec<Party> = zones
        .iter()
        .zip(&spread.sizes)
        .map(|(zone, &size)| Party {
            share: zone.iter().map(|&member| shares[member]).sum(),
            held: zone.iter().map(|&member| held[member]).sum(),
            least: size.min(spread.even) << bits,
            most: size.min(spread.even + 1) << bits,
        })
        .collect();
    let mut quotas = vec![0; shares.len()];
    let totals = round(&parties, (spread.copies as u32) << bits);
    for (zone, total) in zones.iter().zip(totals) {
        let parties: Vec<Party> = zone
            .iter()
            .map(|&member| Party {
                share: shares[member],
                held: held[member],
                least: 0,
                most: 1 << bits,
            })
            .collect();
        for (&member, quota) in zone.iter().zip(round(&parties, total)) {
            quotas[member] = quota;
        }
    }
    quotas
}

struct Party {
    /// With [`SHARE_BITS`] fractional bits.
    share: u64,
    held: u32,
    least: u32,
    most: u32,
}

/// Whole numbers close to the shares that make `total`, which the bounds allow.
fn round(parties: &[Party], total: u32) -> Vec<u32> {
    let whole = |party: &Party| ((party.share >> SHARE_BITS) as u32).clamp(party.least, party.most);
    let mut rounded: Vec<u32> = parties.iter().map(whole).collect();
    let mut left = total.saturating_sub(rounded.iter().sum());
    let mut order: Vec<usize> = (0..parties.len()).collect();
    order.sort_by_key(|&place| {
        let party = &parties[place];
        let fraction = party.share & ((1 << SHARE_BITS) - 1);
        (party.held <= whole(party), std::cmp::Reverse(fraction))
    });
    // Shares are known to 2^-16 of a partition: once around is enough but for what that leaves over.
    while left > 0
        && rounded
            .iter()
            .zip(parties)
            .any(|(&quota, party)| quota < party.most)
    {
        for &place in &order {
            if left > 0 && rounded[place] < parties[place].most {
                rounded[place] += 1;
                left -= 1;
            }
        }
    }
    rounded
}
