//! Every interleaving of replies, failures, impatience and the deadline of a write, against a plain count of who has a copy.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dynamokv_coordinator::{
    AnswerKind, LocalRole, PutAction, PutOp, PutVerdict, QuorumMode, WritePlan,
};
use dynamokv_ring::NodeId;

const fn node(id: u64) -> NodeId {
    NodeId(id)
}

/// What an onlooker knows who sees only messages.
#[derive(Clone)]
struct World {
    op: PutOp,
    me: NodeId,
    sets: Vec<Vec<NodeId>>,
    quorum: usize,
    mode: QuorumMode,
    /// Who was asked and has not answered, and for whom.
    outstanding: BTreeMap<NodeId, NodeId>,
    asked: BTreeSet<NodeId>,
    /// Durable copies: node -> the owner that it stands for.
    copies: BTreeMap<NodeId, NodeId>,
    markers: BTreeSet<NodeId>,
    verdict: Option<PutVerdict>,
    slow_left: bool,
    deadline_left: bool,
}

impl World {
    fn new(plan: WritePlan) -> Self {
        let mut world = Self {
            me: plan.me,
            sets: plan.sets.clone(),
            quorum: plan.quorum,
            mode: plan.mode,
            outstanding: BTreeMap::new(),
            asked: BTreeSet::from([plan.me]),
            copies: BTreeMap::new(),
            markers: BTreeSet::new(),
            verdict: None,
            slow_left: true,
            deadline_left: true,
            op: PutOp::new(plan.clone()),
        };
        let stands_for = match plan.local {
            LocalRole::Owner => plan.me,
            LocalRole::HoldsFor(owner) => {
                world.markers.insert(owner);
                owner
            }
        };
        world.outstanding.insert(plan.me, stands_for);
        world.op.start();
        world.drain();
        world
    }

    fn reached(&self) -> bool {
        self.sets.iter().all(|set| {
            let owners: BTreeSet<NodeId> = self
                .copies
                .iter()
                .filter(|(holder, owner)| {
                    set.contains(owner) && (self.mode == QuorumMode::Sloppy || holder == owner)
                })
                .map(|(_, owner)| *owner)
                .collect();
            owners.len() >= self.quorum
        })
    }

    fn drain(&mut self) {
        while let Some(action) = self.op.poll_action() {
            match action {
                PutAction::Send { to, hint_for } => {
                    assert!(self.asked.insert(to), "{to} is asked twice");
                    self.outstanding.insert(to, hint_for.unwrap_or(to));
                }
                PutAction::KeepMarker { target } => {
                    assert_ne!(target, self.me);
                    assert!(
                        self.markers.insert(target),
                        "the marker for {target} is kept twice"
                    );
                }
                PutAction::Respond(verdict) => {
                    assert!(self.verdict.is_none(), "answered twice");
                    assert_eq!(
                        verdict.applied,
                        self.reached(),
                        "{verdict:?}\n{:?}",
                        self.copies
                    );
                    let said: BTreeMap<NodeId, NodeId> = verdict
                        .answers
                        .iter()
                        .filter_map(|answer| match answer.kind {
                            AnswerKind::Replica => Some((answer.node, answer.node)),
                            AnswerKind::Holder { stands_for } => Some((answer.node, stands_for)),
                            _ => None,
                        })
                        .collect();
                    assert_eq!(said, self.copies, "the answer names who has a copy");
                    self.verdict = Some(verdict);
                }
            }
        }
        if self.reached() {
            assert!(
                self.verdict.is_some(),
                "W copies exist and the client still waits"
            );
        }
    }

    fn check_end(&self) {
        assert!(self.verdict.is_some());
        for owner in self
            .sets
            .iter()
            .flatten()
            .filter(|owner| **owner != self.me)
        {
            let covered = self.copies.values().any(|covered| covered == owner);
            assert!(
                covered || self.markers.contains(owner),
                "{owner} is forgotten"
            );
        }
    }

    fn explore(&self, seen: &mut u64) {
        *seen += 1;
        if self.op.is_finished() {
            self.check_end();
            return;
        }
        assert!(self.deadline_left, "the deadline always ends the operation");
        for (from, stands_for) in &self.outstanding {
            for good in [true, false] {
                let mut next = self.clone();
                next.outstanding.remove(from);
                let result = if good {
                    Ok(())
                } else {
                    Err("refused".to_owned())
                };
                if good {
                    next.copies.insert(*from, *stands_for);
                }
                if *from == next.me {
                    next.op.on_local(result)
                } else {
                    next.op.on_reply(*from, result)
                }
                next.drain();
                next.explore(seen);
            }
        }
        if self.slow_left {
            let mut next = self.clone();
            next.slow_left = false;
            next.op.on_slow();
            next.drain();
            next.explore(seen);
        }
        let mut next = self.clone();
        next.deadline_left = false;
        next.op.on_deadline();
        next.drain();
        assert!(next.op.is_finished());
        next.explore(seen);
    }
}

fn plan(
    sets: &[&[u64]],
    fallbacks: &[u64],
    down: &[u64],
    me: u64,
    w: usize,
    mode: QuorumMode,
) -> WritePlan {
    let sets: Vec<Vec<NodeId>> = sets
        .iter()
        .map(|set| set.iter().copied().map(NodeId).collect())
        .collect();
    let local = if sets.iter().flatten().any(|owner| *owner == node(me)) {
        LocalRole::Owner
    } else {
        let dead = sets.iter().flatten().find(|owner| down.contains(&owner.0));
        LocalRole::HoldsFor(*dead.unwrap_or(&sets[0][0]))
    };
    let live: BTreeSet<NodeId> = (1..=9)
        .filter(|id| !down.contains(id))
        .map(NodeId)
        .collect();
    let fallbacks = fallbacks
        .iter()
        .filter(|id| !down.contains(id))
        .copied()
        .map(NodeId)
        .collect::<Vec<_>>()
        .into();
    WritePlan {
        me: node(me),
        local,
        sets,
        fallbacks,
        live: Arc::new(live),
        quorum: w,
        mode,
    }
}

#[test]
fn every_interleaving_of_one_ring_counts_each_replica_once_and_forgets_none() {
    let mut seen = 0;
    for mode in [QuorumMode::Sloppy, QuorumMode::Strict] {
        for w in 1..=3 {
            for fallbacks in [&[][..], &[4], &[4, 5]] {
                for down in [&[][..], &[2], &[2, 3]] {
                    World::new(plan(&[&[1, 2, 3]], fallbacks, down, 1, w, mode)).explore(&mut seen);
                    if !fallbacks.is_empty() {
                        // The coordinator is a fallback itself.
                        let me = 6;
                        World::new(plan(&[&[1, 2, 3]], &[4], down, me, w, mode)).explore(&mut seen);
                    }
                }
            }
        }
    }
    assert!(seen > 100_000, "only {seen} states were explored");
}

#[test]
fn while_rings_differ_each_needs_its_own_quorum() {
    let mut seen = 0;
    for mode in [QuorumMode::Sloppy, QuorumMode::Strict] {
        for down in [&[][..], &[2], &[4]] {
            World::new(plan(&[&[1, 2], &[1, 4]], &[5], down, 1, 2, mode)).explore(&mut seen);
        }
        World::new(plan(&[&[1, 2, 3], &[1, 2, 4]], &[], &[], 1, 2, mode)).explore(&mut seen);
    }
    assert!(seen > 10_000, "only {seen} states were explored");
}

#[test]
fn with_two_of_three_nodes_down_w2_is_not_reached_on_one_machine() {
    // The prototype counted the primary and its own hint.
    let mut op = PutOp::new(plan(&[&[1, 2, 3]], &[], &[2, 3], 1, 2, QuorumMode::Sloppy));
    op.start();
    op.on_local(Ok(()));
    let mut verdicts = Vec::new();
    let mut markers = Vec::new();
    while let Some(action) = op.poll_action() {
        match action {
            PutAction::Respond(verdict) => verdicts.push(verdict.applied),
            PutAction::KeepMarker { target } => markers.push(target),
            PutAction::Send { to, .. } => panic!("{to} is down"),
        }
    }
    assert_eq!(verdicts, [false]);
    assert_eq!(
        markers,
        [node(2), node(3)],
        "both are told of the write later"
    );
}

#[test]
fn one_stalled_replica_delays_nobody() {
    // The prototype awaited all N.
    let mut op = PutOp::new(plan(&[&[1, 2, 3]], &[4], &[], 1, 2, QuorumMode::Sloppy));
    op.start();
    op.on_local(Ok(()));
    op.on_reply(node(2), Ok(()));
    assert!(op.responded(), "two of three are enough");
    assert!(
        !op.is_finished(),
        "the third is still awaited in the background"
    );
    op.on_slow();
    op.on_reply(node(4), Ok(()));
    assert!(op.is_finished(), "a hint for the third is durable");
}
