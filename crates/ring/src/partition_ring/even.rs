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
    for taker in 0..quotas.len() as u32 {
        table.take_directly(taker);
    }
    while let Some(chain) = table.chain() {
        for step in chain {
            table.pass(step);
        }
    }
}

struct Table<'a> {
    owners: &'a mut [u32],
    /// The owners from before the change, each in the list of its partition.
    before: &'a [u32],
    copies: usize,
    contenders: &'a [Contender],
    quotas: &'a [u32],
    /// The partitions of each member.
    held: Vec<Vec<u32>>,
    picks: Picks<'a>,
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
            quotas,
            held,
            picks: Picks::new(spread),
        }
    }

    /// Takes partitions over from all that are above their quotas, one at a time from each.
    fn take_directly(&mut self, taker: u32) {
        let mut givers: Vec<u32> = (0..self.quotas.len() as u32).collect();
        while self.lacks(taker) && !givers.is_empty() {
            givers.retain(|&giver| {
                let possible = self.exceeds(giver) && self.lacks(taker);
                let step = possible.then(|| self.best_step(giver, taker)).flatten();
                step.inspect(|&step| self.pass(step)).is_some()
            });
        }
    }

    /// The step between the two that moves least: where `from` itself is new, or else where `to` ranks highest.
    fn best_step(&mut self, from: u32, to: u32) -> Option<Step> {
        let contender = &self.contenders[to as usize];
        let mut best = None;
        for at in 0..self.held[from as usize].len() {
            let partition = self.held[from as usize][at];
            let cost = (self.is_settled(from, partition), contender.cost(partition));
            if best.is_none_or(|(least, _)| cost < least)
                && self.may_pass(Step {
                    partition,
                    from,
                    to,
                })
            {
                best = Some((
                    cost,
                    Step {
                        partition,
                        from,
                        to,
                    },
                ));
            }
        }
        best.map(|(_, step)| step)
    }

    /// The shortest chain of steps from a member above its quota to one below.
    fn chain(&mut self) -> Option<Vec<Step>> {
        let members = self.quotas.len() as u32;
        let mut reached: VecDeque<u32> = (0..members)
            .filter(|&member| self.exceeds(member))
            .collect();
        let mut rest: Vec<u32> = (0..members)
            .filter(|&member| !self.exceeds(member))
            .collect();
        let mut step_to: Vec<Option<Step>> = vec![None; members as usize];
        while let Some(from) = reached.pop_front() {
            for at in 0..self.held[from as usize].len() {
                let partition = self.held[from as usize][at];
                rest.retain(|&to| {
                    let step = Step {
                        partition,
                        from,
                        to,
                    };
                    let passes = self.may_pass(step);
                    if passes {
                        step_to[to as usize] = Some(step);
                        reached.push_back(to);
                    }
                    !passes
                });
            }
            let end = reached.iter().find(|&&member| self.lacks(member));
            if let Some(&end) = end {
                let step_before = |step: &Step| step_to[step.from as usize];
                return Some(std::iter::successors(step_to[end as usize], step_before).collect());
            }
        }
        None
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
        self.picks.clear();
        for &owner in list.iter().filter(|&&owner| owner != step.from) {
            self.picks.add(owner);
        }
        self.picks.admits(step.to)
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
