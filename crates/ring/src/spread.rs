//! Keeping the replicas of one partition in distinct zones.

use std::collections::BTreeMap;

use crate::{Member, Zone};

/// The zones of a membership, and how many replicas of one partition each may take.
///
/// Copies are dealt out in rounds, one to each zone that has a node left. All rounds but the last are complete, so
/// every zone takes `even` copies (or all it can); the last round has only `extras` copies, which go to any zones.
/// With N replicas and at least N zones this means: no zone twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    /// The zone of each member, by number.
    pub(crate) zone_of: Vec<u32>,
    /// The number of members of each zone.
    pub(crate) sizes: Vec<u32>,
    /// min(N, members).
    pub(crate) copies: usize,
    /// The copies that a zone takes of every partition, if it has that many nodes.
    pub(crate) even: u32,
    /// How many zones take one more.
    pub(crate) extras: u32,
}

impl Spread {
    pub(crate) fn new(members: &[Member], replicas: usize) -> Spread {
        let mut numbers: BTreeMap<&Zone, u32> = BTreeMap::new();
        let mut sizes: Vec<u32> = Vec::new();
        let mut zone_of = Vec::with_capacity(members.len());
        for member in members {
            let next = sizes.len() as u32;
            let zone = *numbers.entry(&member.zone).or_insert(next);
            if zone == next {
                sizes.push(0);
            }
            sizes[zone as usize] += 1;
            zone_of.push(zone);
        }
        let copies = replicas.min(members.len());
        let dealt = |rounds: u32| sizes.iter().map(|&size| size.min(rounds)).sum::<u32>();
        let even = (0..copies as u32)
            .take_while(|&rounds| dealt(rounds + 1) < copies as u32)
            .count() as u32;
        let extras = copies as u32 - dealt(even);
        Spread {
            zone_of,
            sizes,
            copies,
            even,
            extras,
        }
    }
}

/// The replicas of one partition while they are chosen.
pub(crate) struct Picks<'a> {
    spread: &'a Spread,
    /// Members chosen so far, by number, in the order of preference.
    chosen: Vec<u32>,
    /// The zones that may still take one more than `even`.
    extras: u32,
}

impl<'a> Picks<'a> {
    pub(crate) fn new(spread: &'a Spread) -> Self {
        Picks {
            spread,
            chosen: Vec::with_capacity(spread.copies),
            extras: spread.extras,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.chosen.clear();
        self.extras = self.spread.extras;
    }

    pub(crate) fn chosen(&self) -> &[u32] {
        &self.chosen
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.chosen.len() == self.spread.copies
    }

    /// Whether the member may be added: it is not there yet and its zone has room.
    pub(crate) fn admits(&self, member: u32) -> bool {
        !self.chosen.contains(&member) && self.admits_zone(self.spread.zone_of[member as usize])
    }

    /// Whether the zone has room for another copy.
    pub(crate) fn admits_zone(&self, zone: u32) -> bool {
        let taken = self.taken_in(zone);
        !self.is_complete()
            && (taken < self.spread.even || (taken == self.spread.even && self.extras > 0))
    }

    /// Adds a member that is admitted.
    pub(crate) fn add(&mut self, member: u32) {
        if self.taken_in(self.spread.zone_of[member as usize]) == self.spread.even {
            self.extras = self.extras.saturating_sub(1);
        }
        self.chosen.push(member);
    }

    fn taken_in(&self, zone: u32) -> u32 {
        let of_zone = |&&other: &&u32| self.spread.zone_of[other as usize] == zone;
        self.chosen.iter().filter(of_zone).count() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_order_of_candidates_gives_a_complete_and_even_list(
            zones in prop::collection::vec(0u8..6, 0..20).prop_shuffle(),
            replicas in 1usize..=16,
        ) {
            let members: Vec<Member> = (0..)
                .zip(&zones)
                .map(|(id, zone)| Member::new(NodeId(id)).with_zone(zone.to_string()))
                .collect();
            let spread = Spread::new(&members, replicas);
            let mut picks = Picks::new(&spread);
            for member in 0..members.len() as u32 {
                if picks.admits(member) {
                    picks.add(member);
                }
            }
            prop_assert!(picks.is_complete());
            prop_assert_eq!(picks.chosen().len(), replicas.min(members.len()));
            let count = |zone: usize| {
                let inside = picks.chosen().iter().filter(|&&m| spread.zone_of[m as usize] as usize == zone);
                inside.count() as u32
            };
            for zone in 0..spread.sizes.len() {
                for other in 0..spread.sizes.len() {
                    // No zone has two more than one that could have taken another.
                    prop_assert!(count(zone) <= count(other) + 1 || count(other) == spread.sizes[other]);
                }
            }
        }
    }
}
