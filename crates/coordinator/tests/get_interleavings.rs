//! Every interleaving of answers, failures, hedges and the deadline of a read.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use dynamokv_coordinator::{GetAction, GetOp, GetVerdict, QuorumMode, ReadPlan, ReplicaState};
use dynamokv_ring::NodeId;
use dynamokv_storage::{State, Value};
use dynamokv_vclock::{ActorId, CausalContext, Dot, Epoch, HybridTime};

fn write(counter: u64, context: &CausalContext) -> State {
    let dot = Dot {
        actor: ActorId {
            node: 1,
            epoch: Epoch(1),
        },
        counter,
    };
    let body = Some(format!("v{counter}").into());
    State::delta(
        dot,
        Value {
            time: HybridTime(counter),
            body,
            content_type: None,
        },
        context,
    )
}

#[derive(Clone)]
struct World {
    op: GetOp,
    owners: Vec<NodeId>,
    quorum: usize,
    mode: QuorumMode,
    content: BTreeMap<NodeId, ReplicaState>,
    outstanding: BTreeSet<NodeId>,
    asked: BTreeSet<NodeId>,
    answered: BTreeSet<NodeId>,
    verdict: Option<GetVerdict>,
    repaired: BTreeMap<NodeId, State>,
    slow_left: usize,
}

impl World {
    fn joined(&self) -> State {
        let mut joined = State::default();
        for node in &self.answered {
            joined.join_ref(&self.content[node].state);
        }
        joined
    }

    fn counted(&self) -> usize {
        let owners = self
            .answered
            .iter()
            .filter(|node| self.owners.contains(node))
            .count();
        let holders = self
            .answered
            .iter()
            .filter(|node| !self.owners.contains(node) && self.content[node].marked)
            .count();
        match self.mode {
            QuorumMode::Strict => owners,
            QuorumMode::Sloppy => (owners + holders).min(self.owners.len()),
        }
    }

    fn drain(&mut self) {
        while let Some(action) = self.op.poll_action() {
            match action {
                GetAction::Ask { node, as_fallback } => {
                    assert!(self.asked.insert(node), "{node} is asked twice");
                    assert_eq!(as_fallback, !self.owners.contains(&node));
                    self.outstanding.insert(node);
                }
                GetAction::Respond(verdict) => {
                    assert!(self.verdict.is_none(), "answered twice");
                    assert_eq!(verdict.state.is_some(), self.counted() >= self.quorum);
                    if let Some(state) = &verdict.state {
                        assert_eq!(
                            *state,
                            self.joined(),
                            "the answer is the join of all that came"
                        );
                    }
                    self.verdict = Some(verdict);
                }
                GetAction::Repair { to, delta } => {
                    assert!(self.answered.contains(&to) && self.owners.contains(&to));
                    let mut mended = self.content[&to].state.clone();
                    assert!(mended.join_ref(&delta), "nothing to repair at {to}");
                    self.repaired.insert(to, mended);
                }
            }
        }
        if self.counted() >= self.quorum {
            assert!(
                self.verdict.is_some(),
                "R answers are there and the client still waits"
            );
        }
    }

    fn explore(&self, seen: &mut u64) {
        *seen += 1;
        if self.op.is_finished() {
            assert!(self.verdict.is_some());
            let joined = self.joined();
            for node in self
                .answered
                .iter()
                .filter(|node| self.owners.contains(node))
            {
                let equal = self.content[node].state == joined;
                assert_eq!(equal, !self.repaired.contains_key(node), "{node}");
            }
            return;
        }
        for from in &self.outstanding {
            for good in [true, false] {
                let mut next = self.clone();
                next.outstanding.remove(from);
                let answer = if good {
                    next.answered.insert(*from);
                    Ok(next.content[from].clone())
                } else {
                    Err("refused".to_owned())
                };
                next.op.on_reply(*from, answer);
                next.drain();
                next.explore(seen);
            }
        }
        if self.slow_left > 0 {
            let mut next = self.clone();
            next.slow_left -= 1;
            next.op.on_slow();
            next.drain();
            next.explore(seen);
        }
        let mut next = self.clone();
        next.op.on_deadline();
        next.drain();
        assert!(next.op.is_finished());
        next.explore(seen);
    }
}

#[test]
fn every_interleaving_answers_with_the_join_and_repairs_what_is_behind() {
    let first = write(1, &CausalContext::new());
    let second = write(2, first.context());
    let sibling = write(3, first.context());
    let owners: Vec<NodeId> = (1..=3).map(NodeId).collect();
    let mut seen = 0;
    for mode in [QuorumMode::Sloppy, QuorumMode::Strict] {
        for quorum in 1..=3 {
            for marked in [false, true] {
                let content = BTreeMap::from([
                    (
                        NodeId(1),
                        ReplicaState {
                            state: first.clone(),
                            marked: false,
                        },
                    ),
                    (
                        NodeId(2),
                        ReplicaState {
                            state: second.clone(),
                            marked: false,
                        },
                    ),
                    (
                        NodeId(3),
                        ReplicaState {
                            state: State::default(),
                            marked: false,
                        },
                    ),
                    (
                        NodeId(4),
                        ReplicaState {
                            state: sibling.clone(),
                            marked,
                        },
                    ),
                ]);
                let plan = ReadPlan {
                    me: NodeId(1),
                    first: owners[..2].to_vec(),
                    fallbacks: vec![NodeId(4)].into(),
                    last: owners[2..].to_vec(),
                    owners: owners.clone(),
                    quorum,
                    mode,
                };
                let mut world = World {
                    op: GetOp::new(plan),
                    owners: owners.clone(),
                    quorum,
                    mode,
                    content,
                    outstanding: BTreeSet::new(),
                    asked: BTreeSet::new(),
                    answered: BTreeSet::new(),
                    verdict: None,
                    repaired: BTreeMap::new(),
                    slow_left: 2,
                };
                world.op.start();
                world.drain();
                world.explore(&mut seen);
            }
        }
    }
    assert!(seen > 1_000, "only {seen} states were explored");
}
