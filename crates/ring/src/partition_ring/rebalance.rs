//! The table after a change of membership, made from the one before it with the fewest moves.

use super::assign::{VACANT, fill};
use super::quotas::quotas;
use super::rendezvous::Contender;
use super::{even, primaries};
use crate::spread::{Picks, Spread};

/// The owners of each partition by the numbers of the members, flattened. `previous` has the owners of each partition
/// before, in the same numbers, and [`VACANT`] for those that are gone.
///
/// 1. Owners stay where they are and in their places, as far as they are still there and the zones allow.
/// 2. Each member gets a quota: its share, rounded.
/// 3. Vacant places go to the first in the ranking of the partition who is below its quota.
/// 4. Partitions pass from those above their quotas to those below.
/// 5. The first places are evened out among the owners.
pub(super) fn rebalance<'a>(
    previous: impl Iterator<Item = &'a [u32]>,
    contenders: &[Contender],
    spread: &Spread,
    shares: &[u64],
    bits: u32,
) -> Vec<u32> {
    if spread.copies == 0 {
        return Vec::new();
    }
    let kept = keep(previous, spread, bits);
    let mut held = vec![0; shares.len()];
    for &owner in kept.iter().filter(|&&owner| owner != VACANT) {
        held[owner as usize] += 1;
    }
    let quotas = quotas(shares, &held, spread, bits);
    let mut owners = kept.clone();
    fill(&mut owners, contenders, spread, &quotas, bits);
    even::even_out(&mut owners, &kept, contenders, spread, &quotas);
    primaries::settle(&mut owners, spread.copies, shares.len());
    owners
}

/// The lists with the owners that may stay, in their places as far as there are as many.
fn keep<'a>(previous: impl Iterator<Item = &'a [u32]>, spread: &Spread, bits: u32) -> Vec<u32> {
    let mut owners = vec![VACANT; spread.copies << bits];
    let mut picks = Picks::new(spread);
    for (list, before) in owners.chunks_exact_mut(spread.copies).zip(previous) {
        picks.clear();
        for (place, &owner) in before.iter().enumerate() {
            if owner == VACANT || !picks.admits(owner) {
                continue;
            }
            picks.add(owner);
            let vacant = || list.iter().position(|&other| other == VACANT);
            let place = if place < list.len() {
                Some(place)
            } else {
                vacant()
            };
            if let Some(place) = place {
                list[place] = owner;
            }
        }
    }
    owners
}
