//! From costs to owners: the cheapest nodes that are not full take each partition.

use super::rendezvous::{Contender, Permutation};
use crate::shares::SHARE_BITS;
use crate::spread::{Picks, Spread};

/// The owners of each partition by the numbers of the members, flattened: the table of a ring that has no past.
pub(super) fn assign(
    contenders: &[Contender],
    spread: &Spread,
    shares: &[u64],
    bits: u32,
) -> Vec<u32> {
    let copies = spread.copies;
    let mut owners = vec![0; copies << bits];
    if copies == 0 {
        return owners;
    }
    let candidates = Candidates::cheapest(contenders, CANDIDATES_PER_COPY * copies, bits);
    let mut replicas = Loads::with_slack(shares, 1, slack_percent(bits));
    let mut primaries = Loads::with_slack(shares, copies as u64, SLACK_PERCENT);
    let mut picks = Picks::new(spread);
    for partition in order(bits) {
        picks.clear();
        candidates.pick(partition, &mut picks, &replicas);
        complete(&mut picks, contenders, partition, &replicas);
        let list = &mut owners[partition as usize * copies..][..copies];
        list.copy_from_slice(picks.chosen());
        for &owner in list.iter() {
            replicas.add(owner);
        }
        let first = primaries.first_with_room(list);
        list[..=first].rotate_right(1);
        primaries.add(list[0]);
    }
    owners
}

/// Fills the [`VACANT`] places of all lists, in which nobody may hold more than its quota as long as others can take it.
pub(super) fn fill(
    owners: &mut [u32],
    contenders: &[Contender],
    spread: &Spread,
    quotas: &[u32],
    bits: u32,
) {
    let copies = spread.copies;
    let mut loads = Loads::new(quotas.to_vec());
    let mut vacancies = 0;
    for &owner in owners.iter() {
        if owner == VACANT {
            vacancies += 1;
        } else {
            loads.add(owner);
        }
    }
    // The result is the same; only for many vacancies is it worth while to prepare candidates for all partitions.
    let candidates = (vacancies > owners.len() / PREPARED_PART)
        .then(|| Candidates::cheapest(contenders, CANDIDATES_PER_COPY * copies, bits));
    let mut picks = Picks::new(spread);
    for partition in order(bits) {
        let list = &mut owners[partition as usize * copies..][..copies];
        if !list.contains(&VACANT) {
            continue;
        }
        picks.clear();
        for &owner in list.iter().filter(|&&owner| owner != VACANT) {
            picks.add(owner);
        }
        let kept = picks.chosen().len();
        if let Some(candidates) = &candidates {
            candidates.pick(partition, &mut picks, &loads);
        }
        complete(&mut picks, contenders, partition, &loads);
        let vacant = list.iter_mut().filter(|owner| **owner == VACANT);
        for (place, &owner) in vacant.zip(&picks.chosen()[kept..]) {
            *place = owner;
            loads.add(owner);
        }
    }
}

/// The number of partitions never changes, so no change of membership meets a jump.
fn slack_percent(bits: u32) -> u64 {
    if bits > BITS_OF_MANY {
        SLACK_PERCENT_OF_MANY
    } else {
        SLACK_PERCENT
    }
}

/// The fixed pseudo-random order in which the partitions choose.
fn order(bits: u32) -> impl Iterator<Item = u32> {
    let order = Permutation::new(ORDER_SEED, bits);
    (0..1 << bits).map(move |turn| order.apply(turn))
}

/// Fills up a list for which the candidates at hand did not do: by the whole order of costs and then, as copies and
/// zones go before balance, by the emptiest of the full nodes.
fn complete(picks: &mut Picks<'_>, contenders: &[Contender], partition: u32, loads: &Loads) {
    let cost = |member: u32| (contenders[member as usize].cost(partition), member);
    let members = 0..contenders.len() as u32;
    while !picks.is_complete() {
        let eligible = || members.clone().filter(|&member| picks.admits(member));
        let cheapest = eligible()
            .filter(|&member| loads.has_room(member))
            .min_by_key(|&member| cost(member));
        let emptiest = || eligible().min_by_key(|&member| (loads.fullness(member), cost(member)));
        let Some(member) = cheapest.or_else(emptiest) else {
            break;
        };
        picks.add(member);
    }
}

/// How much each member has, and may have.
struct Loads {
    taken: Vec<u32>,
    room: Vec<u32>,
}

impl Loads {
    fn new(room: Vec<u32>) -> Self {
        Loads {
            taken: vec![0; room.len()],
            room,
        }
    }

    /// The bound is the share, divided by `part`, and so many percent more.
    fn with_slack(shares: &[u64], part: u64, percent: u64) -> Self {
        let bound = |&share: &u64| {
            let scaled = u128::from(share) * u128::from(100 + percent);
            scaled.div_ceil(u128::from(part * 100) << SHARE_BITS) as u32
        };
        Loads::new(shares.iter().map(bound).collect())
    }

    fn has_room(&self, member: u32) -> bool {
        self.taken[member as usize] < self.room[member as usize]
    }

    fn add(&mut self, member: u32) {
        self.taken[member as usize] += 1;
    }

    /// What is taken per what may be taken, as a number to compare.
    fn fullness(&self, member: u32) -> u64 {
        let (taken, room) = (self.taken[member as usize], self.room[member as usize]);
        (u64::from(taken) << 32) / u64::from(room.max(1))
    }

    /// The place in the list of the first member with room, or else of the least full.
    fn first_with_room(&self, list: &[u32]) -> usize {
        let place = list.iter().position(|&member| self.has_room(member));
        let emptiest = || (0..list.len()).min_by_key(|&place| self.fullness(list[place]));
        place.or_else(emptiest).unwrap_or(0)
    }
}

/// The cheapest members of each partition, the cheapest first.
struct Candidates {
    entries: Vec<Candidate>,
    /// Where the entries of each partition start, and one more for the end.
    starts: Vec<u32>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    cost: u64,
    member: u32,
}

impl Candidates {
    /// At least about `wanted` for each partition, on average, without computing all costs: O(partitions x wanted).
    fn cheapest(contenders: &[Contender], wanted: usize, bits: u32) -> Self {
        let limit = cost_limit(contenders, wanted);
        let found: Vec<(u32, Candidate)> = contenders
            .iter()
            .zip(0..)
            .flat_map(|(contender, member)| {
                contender
                    .within(limit)
                    .map(move |(partition, cost)| (partition, Candidate { cost, member }))
            })
            .collect();
        let mut starts = vec![0u32; (1 << bits) + 1];
        for (partition, _) in &found {
            starts[*partition as usize + 1] += 1;
        }
        for partition in 0..1 << bits {
            starts[partition + 1] += starts[partition];
        }
        let mut next = starts.clone();
        let mut entries = vec![Candidate::default(); found.len()];
        for (partition, candidate) in found {
            let slot = &mut next[partition as usize];
            entries[*slot as usize] = candidate;
            *slot += 1;
        }
        for bounds in starts.windows(2) {
            entries[bounds[0] as usize..bounds[1] as usize].sort_unstable();
        }
        Candidates { entries, starts }
    }

    /// Adds those that are admitted and have room, the cheapest first.
    fn pick(&self, partition: u32, picks: &mut Picks<'_>, loads: &Loads) {
        for candidate in self.of(partition) {
            if loads.has_room(candidate.member) && picks.admits(candidate.member) {
                picks.add(candidate.member);
            }
        }
    }

    fn of(&self, partition: u32) -> &[Candidate] {
        let (start, end) = (
            self.starts[partition as usize],
            self.starts[partition as usize + 1],
        );
        &self.entries[start as usize..end as usize]
    }
}

/// Computed in floats whose last digits may differ between machines: only speed depends on them, no result.
/// A cost that at least about `wanted` members of a partition do not exceed, on average.
fn cost_limit(contenders: &[Contender], wanted: usize) -> u64 {
    if contenders.len() <= 2 * wanted {
        return u64::MAX;
    }
    let mut limit = 1u64;
    let within = |limit: u64| {
        let fractions = contenders
            .iter()
            .map(|contender| contender.fraction_within(limit));
        fractions.sum::<f64>()
    };
    while limit < u64::MAX / 2 && within(limit) < wanted as f64 {
        limit += limit.div_ceil(8);
    }
    limit
}

/// A place in a list that nobody has yet.
pub(super) const VACANT: u32 = u32::MAX;
/// A node may hold this much more than its share, and be first of this much more.
const SLACK_PERCENT: u64 = 4;
/// The same in rings for many hundreds of nodes, where a tight bound moves much.
const SLACK_PERCENT_OF_MANY: u64 = 9;
/// log2 of the partitions above which a ring is for so many.
const BITS_OF_MANY: u32 = 14;
/// A fixed order in which the partitions choose.
const ORDER_SEED: u64 = 0x6479_6e61_6d6f_6b76;
const CANDIDATES_PER_COPY: usize = 5;
/// Above this part of all places, vacancies count as many.
const PREPARED_PART: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shares;
    use crate::{Member, NodeId};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn owners_are_those_of_a_search_through_all_costs(
            nodes in prop::collection::vec((1u32..500, 0u8..6), 1..90),
            replicas in 1usize..=4,
            bits in 0u32..=7,
        ) {
            let members: Vec<Member> = (0u64..)
                .zip(nodes)
                .filter_map(|(id, (weight, zone))| {
                    let weight = NonZeroU32::new(weight)?;
                    Some(Member::new(NodeId(id)).with_weight(weight).with_zone(zone.to_string()))
                })
                .collect();
            let spread = Spread::new(&members, replicas);
            let shares = shares::shares(&members, &spread, bits);
            let contenders: Vec<Contender> = members
                .iter()
                .zip(shares::rates(&members, &spread, &shares, bits))
                .map(|(member, rate)| Contender::new(member.id, rate, bits))
                .collect();
            let table = assign(&contenders, &spread, &shares, bits);
            let naive = naive(&contenders, &spread, &shares, bits);
            for (partition, expected) in naive {
                let mut list = table[partition as usize * spread.copies..][..spread.copies].to_vec();
                // Which owner comes first is a matter of the balance of primaries.
                list.sort_unstable();
                prop_assert_eq!(list, expected, "partition {}", partition);
            }
        }
    }

    /// The rule in the plainest words: sorted owners of each partition.
    fn naive(
        contenders: &[Contender],
        spread: &Spread,
        shares: &[u64],
        bits: u32,
    ) -> BTreeMap<u32, Vec<u32>> {
        let bound = |member: u32| {
            let share = shares[member as usize] as f64 / f64::from(1 << SHARE_BITS);
            // A share is exact in a float, and its bound is compared exactly in hundredths.
            (share * (100 + slack_percent(bits)) as f64 / 100.0).ceil() as usize
        };
        let order = Permutation::new(ORDER_SEED, bits);
        let mut taken = vec![0usize; contenders.len()];
        let mut lists = BTreeMap::new();
        for turn in 0..1 << bits {
            let partition = order.apply(turn);
            let mut by_cost: Vec<u32> = (0..contenders.len() as u32).collect();
            by_cost.sort_by_key(|&member| (contenders[member as usize].cost(partition), member));
            let mut list: Vec<u32> = Vec::new();
            let admitted = |list: &[u32], member: u32| {
                let in_zone = |zone: usize| {
                    list.iter()
                        .filter(|&&other| spread.zone_of[other as usize] as usize == zone)
                        .count()
                };
                let beyond = (0..spread.sizes.len())
                    .filter(|&zone| in_zone(zone) > spread.even as usize)
                    .count();
                let here = in_zone(spread.zone_of[member as usize] as usize);
                !list.contains(&member)
                    && (here < spread.even as usize
                        || here == spread.even as usize && beyond < spread.extras as usize)
            };
            for &member in &by_cost {
                if taken[member as usize] < bound(member) && admitted(&list, member) {
                    list.push(member);
                }
            }
            while list.len() < spread.copies {
                let emptiest = by_cost
                    .iter()
                    .copied()
                    .filter(|&member| admitted(&list, member))
                    .min_by(|&a, &b| {
                        let (of_a, of_b) =
                            (taken[a as usize] * bound(b), taken[b as usize] * bound(a));
                        of_a.cmp(&of_b)
                    });
                list.extend(emptiest);
            }
            for &owner in &list {
                taken[owner as usize] += 1;
            }
            list.sort_unstable();
            lists.insert(partition, list);
        }
        lists
    }
}
