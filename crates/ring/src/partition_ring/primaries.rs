//! Evening out who comes first in the lists, without a change of owners.

use std::collections::VecDeque;

/// Makes every member first in its part of the lists it is in, rounded up or down; the lists must be complete.
///
/// First places pass along the shortest chains of partitions. There always are such: each owner being first in an
/// equal part of each list is a flow that fits the bounds, so there is one in whole numbers that does.
pub(super) fn settle(owners: &mut [u32], copies: usize, members: usize) {
    let mut table = Table::new(owners, copies, members);
    while let Some(chain) = table.chain() {
        for step in chain {
            table.pass(step);
        }
    }
}

struct Table<'a> {
    owners: &'a mut [u32],
    copies: usize,
    /// The number of lists that each member is in.
    held: Vec<u32>,
    /// The partitions in which each member is first.
    firsts: Vec<Vec<u32>>,
}

/// `to` becomes the first of the partition in the stead of `from`.
#[derive(Clone, Copy)]
struct Step {
    partition: u32,
    from: u32,
    to: u32,
}

impl<'a> Table<'a> {
    fn new(owners: &'a mut [u32], copies: usize, members: usize) -> Self {
        let mut held = vec![0; members];
        let mut firsts = vec![Vec::new(); members];
        for (list, partition) in owners.chunks_exact(copies).zip(0..) {
            firsts[list[0] as usize].push(partition);
            for &owner in list {
                held[owner as usize] += 1;
            }
        }
        Table {
            owners,
            copies,
            held,
            firsts,
        }
    }

    /// The shortest chain from one who is first too often, or to one who is too rarely; its steps from the end back.
    fn chain(&self) -> Option<Vec<Step>> {
        let members = 0..self.held.len() as u32;
        let above: Vec<u32> = members
            .clone()
            .filter(|&member| self.first(member) > self.most(member))
            .collect();
        if !above.is_empty() {
            return self.shortest(above, |member| self.first(member) < self.most(member));
        }
        let below = |member: u32| self.first(member) < self.least(member);
        if !members.clone().any(below) {
            return None;
        }
        let spare = members.filter(|&member| self.first(member) > self.least(member));
        self.shortest(spare.collect(), below)
    }

    fn shortest(&self, from: Vec<u32>, is_end: impl Fn(u32) -> bool) -> Option<Vec<Step>> {
        let mut step_to: Vec<Option<Step>> = vec![None; self.held.len()];
        let mut reached = vec![false; self.held.len()];
        for &start in &from {
            reached[start as usize] = true;
        }
        let mut queue = VecDeque::from(from);
        while let Some(from) = queue.pop_front() {
            for &partition in &self.firsts[from as usize] {
                for &to in &self.owners[partition as usize * self.copies..][1..self.copies] {
                    if std::mem::replace(&mut reached[to as usize], true) {
                        continue;
                    }
                    step_to[to as usize] = Some(Step {
                        partition,
                        from,
                        to,
                    });
                    if is_end(to) {
                        let step_before = |step: &Step| step_to[step.from as usize];
                        return Some(
                            std::iter::successors(step_to[to as usize], step_before).collect(),
                        );
                    }
                    queue.push_back(to);
                }
            }
        }
        None
    }

    fn pass(&mut self, step: Step) {
        let list = &mut self.owners[step.partition as usize * self.copies..][..self.copies];
        if let Some(place) = list.iter().position(|&owner| owner == step.to) {
            list.swap(0, place);
        }
        self.firsts[step.from as usize].retain(|&partition| partition != step.partition);
        self.firsts[step.to as usize].push(step.partition);
    }

    fn first(&self, member: u32) -> u32 {
        self.firsts[member as usize].len() as u32
    }

    fn least(&self, member: u32) -> u32 {
        self.held[member as usize] / self.copies as u32
    }

    fn most(&self, member: u32) -> u32 {
        self.held[member as usize].div_ceil(self.copies as u32)
    }
}
