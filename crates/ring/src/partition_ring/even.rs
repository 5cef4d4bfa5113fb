//! Evening out: partitions pass from members above their quotas to members below, each by the shortest way.

use std::collections::VecDeque;

use super::rendezvous::Contender;
use crate::spread::{Picks, Spread};

/// Makes every member hold its quota; the lists must be complete and the quotas add up to their length. `before` has those
/// who were owners before the change already.
///
/// Nearly always a member above its quota has a partition that one below it can take. Where copies and zones stand
/// in the way others pass on partitions between the two. As long as there are quotas to be met there is such a chain:
/// to hold the quotas is a flow in a network, and a chain one of its augmenting paths (Ford and Fulkerson 1956).
pub(super) fn even_out(
    owners: &mut [u32],
    before: &[u32],
    contenders: &[Contender],
    spread: &Spread,
    quotas: &[u32],
) {
    let mut table = Table::new(owners, before, contenders, spread, quotas);
    for zone in 0..spread.sizes.len() as u32 {
        table.take_directly(zone);
    }
    for giver in 0..quotas.len() as u32 {
        while table.exceeds(giver) {
            let chains = table.chains(giver);
            if !chains.is_some_and(|chains| table.pass_along(&chains)) {
                break;
            }
        }
    }
}

struct Table<'a> {
    owners: &'a mut [u32],
    /// The owners from before the change, each in the list of its partition.
    before: &'a [u32],
    copies: usize,
    contenders: &'a [Contender],
    spread: &'a Spread,
    quotas: &'a [u32],
    /// The partitions of each member.
    held: Vec<Vec<u32>>,
    picks: Picks<'a>,
}

/// Ways from one member to several ends.
struct Chains {
    giver: u32,
    /// From whom each member takes over.
    from: Vec<u32>,
    ends: Vec<u32>,
}

impl Chains {
    /// The pairs of giver and taker, from the end back.
    fn hops_to(&self, end: u32) -> impl Iterator<Item = (u32, u32)> {
        let hop = |to: u32| (to != self.giver).then(|| (self.from[to as usize], to));
        std::iter::successors(hop(end), move |&(from, _)| hop(from))
    }
}

/// `to` takes the partition in the stead of `from`.
#[derive(Clone, Copy)]
struct Step {
    partition: u32,
    from: u32,
    to: u32,
}

impl<'a> Table<'a> {
    fn new(
        owners: &'a mut [u32],
        before: &'a [u32],
        contenders: &'a [Contender],
        spread: &'a Spread,
        quotas: &'a [u32],
    ) -> Self {
        let mut held: Vec<Vec<u32>> = quotas
            .iter()
            .map(|&quota| Vec::with_capacity(quota as usize))
            .collect();
        for (list, partition) in owners.chunks_exact(spread.copies).zip(0..) {
            for &owner in list {
                held[owner as usize].push(partition);
            }
        }
        Table {
            owners,
            before,
            copies: spread.copies,
            contenders,
            spread,
            quotas,
            held,
            picks: Picks::new(spread),
        }
    }

    /// The members of a zone take partitions over from all that are above their quotas, one at a time from each.
    fn take_directly(&mut self, zone: u32) {
        let members = 0..self.quotas.len() as u32;
        let mut givers: Vec<u32> = members
            .clone()
            .filter(|&member| self.exceeds(member))
            .collect();
        for taker in members.filter(|&member| self.spread.zone_of[member as usize] == zone) {
            let mut passed = true;
            while passed {
                passed = false;
                givers.retain(|&giver| {
                    let wanted = self.exceeds(giver) && self.lacks(taker);
                    let step = wanted.then(|| self.best_step(giver, taker)).flatten();
                    match step {
                        Some(step) => self.pass(step),
                        None => {
                            return self.exceeds(giver)
                                && (!wanted || self.may_give_to_zone(giver, zone));
                        }
                    }
                    passed = true;
                    true
                });
            }
        }
    }

    /// The step between the two that moves least: where `from` itself is new, or else where `to` ranks highest.
    fn best_step(&mut self, from: u32, to: u32) -> Option<Step> {
        let contender = &self.contenders[to as usize];
        let mut best = None;
        for at in 0..self.held[from as usize].len() {
            let partition = self.held[from as usize][at];
            let cost = (self.is_settled(from, partition), contender.cost(partition));
            let step = Step {
                partition,
                from,
                to,
            };
            if best.is_none_or(|(least, _)| cost < least) && self.may_pass(step) {
                best = Some((cost, step));
            }
        }
        best.map(|(_, step)| step)
    }

    /// The shortest chains of steps from a member above its quota to the nearest that are below.
    fn chains(&mut self, giver: u32) -> Option<Chains> {
        let mut rest: Vec<Vec<u32>> = vec![Vec::new(); self.spread.sizes.len()];
        for (&zone, member) in self.spread.zone_of.iter().zip(0..) {
            if member != giver {
                rest[zone as usize].push(member);
            }
        }
        let mut from = vec![giver; self.quotas.len()];
        let mut queue = VecDeque::from([giver]);
        while let Some(member) = queue.pop_front() {
            let mut reached = Vec::new();
            for at in 0..self.held[member as usize].len() {
                self.pick_all_but(member, self.held[member as usize][at]);
                let open = rest
                    .iter_mut()
                    .zip(0..)
                    .filter(|(zone, _)| !zone.is_empty());
                for (zone, _) in open.filter(|&(_, zone)| self.picks.admits_zone(zone)) {
                    reached.extend(zone.extract_if(.., |member| self.picks.admits(*member)));
                }
            }
            for &other in &reached {
                from[other as usize] = member;
            }
            queue.extend(&reached);
            reached.retain(|&other| self.lacks(other));
            if !reached.is_empty() {
                return Some(Chains {
                    giver,
                    from,
                    ends: reached,
                });
            }
        }
        None
    }

    /// Passes partitions along the chains as long as that leads to the quotas; says whether it did so at all.
    fn pass_along(&mut self, chains: &Chains) -> bool {
        let before = self.held[chains.giver as usize].len();
        for &end in &chains.ends {
            while self.exceeds(chains.giver) && self.lacks(end) {
                let hops = chains.hops_to(end);
                let steps: Option<Vec<Step>> =
                    hops.map(|(from, to)| self.best_step(from, to)).collect();
                let Some(steps) = steps else { break };
                for step in steps {
                    if self.may_pass(step) {
                        self.pass(step);
                    }
                }
            }
        }
        self.held[chains.giver as usize].len() < before
    }

    /// Whether the owner had the partition before the change, so that to take it over costs a move.
    fn is_settled(&self, owner: u32, partition: u32) -> bool {
        let start = partition as usize * self.copies;
        self.before[start..start + self.copies].contains(&owner)
    }

    /// Whether the partition's list stays a good one.
    fn may_pass(&mut self, step: Step) -> bool {
        let start = step.partition as usize * self.copies;
        let list = &self.owners[start..start + self.copies];
        if list.contains(&step.to) {
            return false;
        }
        self.pick_all_but(step.from, step.partition);
        self.picks.admits(step.to)
    }

    /// Whether the member has a partition that some node of the zone could take.
    fn may_give_to_zone(&mut self, giver: u32, zone: u32) -> bool {
        (0..self.held[giver as usize].len()).any(|at| {
            self.pick_all_but(giver, self.held[giver as usize][at]);
            self.picks.admits_zone(zone)
        })
    }

    /// Picks the owners of the partition but one.
    fn pick_all_but(&mut self, owner: u32, partition: u32) {
        let start = partition as usize * self.copies;
        self.picks.clear();
        for &other in &self.owners[start..start + self.copies] {
            if other != owner {
                self.picks.add(other);
            }
        }
    }

    fn pass(&mut self, step: Step) {
        let start = step.partition as usize * self.copies;
        for owner in &mut self.owners[start..start + self.copies] {
            if *owner == step.from {
                *owner = step.to;
            }
        }
        self.held[step.from as usize].retain(|&partition| partition != step.partition);
        self.held[step.to as usize].push(step.partition);
    }

    fn exceeds(&self, member: u32) -> bool {
        self.held[member as usize].len() > self.quotas[member as usize] as usize
    }

    fn lacks(&self, member: u32) -> bool {
        self.held[member as usize].len() < self.quotas[member as usize] as usize
    }
}
