//! A quorum read as a pure state machine: events in, actions out.
//!
//! It asks the first R candidates, one more whenever somebody fails or is slow (a hedge), joins what
//! comes back, answers at R, and then repairs the replicas that lack something of the join.

use std::collections::VecDeque;
use std::sync::Arc;

use dynamokv_ring::NodeId;
use dynamokv_storage::State;
use smallvec::SmallVec;

use crate::{Answer, AnswerKind, Fallbacks, QuorumMode, ReadPlan, ReplicaState};

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GetAction {
    /// Ask for the node's own copy.
    Ask {
        /// Whom to ask.
        node: NodeId,
        /// Whether it is asked for what it holds for others.
        as_fallback: bool,
    },
    /// Answer the client.
    Respond(GetVerdict),
    /// A replica answered with less than the join of all.
    Repair {
        /// The replica.
        to: NodeId,
        /// What its answer lacked of the join of all answers.
        delta: Arc<State>,
    },
}

/// What is known when the client is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetVerdict {
    /// The join of the answers, or `None` where fewer than R counted.
    pub state: Option<State>,
    /// Who had answered what.
    pub answers: Vec<Answer>,
}

#[derive(Debug, Clone)]
enum Ask {
    Pending,
    Answered(ReplicaState),
    Failed(String),
}

/// One read, from the first question to the last repair. O(R) per event, plus the joins.
#[derive(Debug, Clone)]
pub struct GetOp {
    owners: Vec<NodeId>,
    quorum: usize,
    mode: QuorumMode,
    first: Vec<NodeId>,
    fallbacks: Fallbacks,
    last: Vec<NodeId>,
    asked: SmallVec<[(NodeId, Ask); 2]>,
    responded: bool,
    ended: bool,
    actions: VecDeque<GetAction>,
}

impl GetOp {
    /// A read along `plan`.
    pub fn new(plan: ReadPlan) -> Self {
        Self {
            owners: plan.owners,
            quorum: plan.quorum,
            mode: plan.mode,
            first: plan.first,
            fallbacks: plan.fallbacks,
            last: plan.last,
            asked: SmallVec::new(),
            responded: false,
            ended: false,
            actions: VecDeque::new(),
        }
    }

    /// Asks the first R candidates.
    pub fn start(&mut self) {
        self.proceed();
    }

    /// `from` answered or failed.
    pub fn on_reply(&mut self, from: NodeId, result: Result<ReplicaState, String>) {
        let Some((_, ask)) = self.asked.iter_mut().find(|(node, _)| *node == from) else {
            return;
        };
        if !matches!(ask, Ask::Pending) {
            return;
        }
        *ask = match result {
            Ok(state) => Ask::Answered(state),
            Err(reason) => Ask::Failed(reason),
        };
        self.proceed();
    }

    /// Somebody is slow: one more candidate is asked.
    pub fn on_slow(&mut self) {
        if !self.responded {
            self.ask_next();
        }
    }

    /// The operation's time is over.
    pub fn on_deadline(&mut self) {
        self.respond();
        self.end();
    }

    /// The next thing to do, if any.
    pub fn poll_action(&mut self) -> Option<GetAction> {
        self.actions.pop_front()
    }

    /// Whether the client has its answer.
    pub fn responded(&self) -> bool {
        self.responded
    }

    /// Whether nothing is outstanding.
    pub fn is_finished(&self) -> bool {
        self.ended
    }

    fn proceed(&mut self) {
        if !self.responded {
            while self.counted() + self.pending() < self.quorum && self.ask_next() {}
            if self.counted() >= self.quorum || self.pending() == 0 {
                self.respond();
            }
        }
        if self.responded && self.pending() == 0 {
            self.end();
        }
    }

    fn ask_next(&mut self) -> bool {
        let Some(node) = self.next_candidate() else {
            return false;
        };
        self.asked.push((node, Ask::Pending));
        self.actions.push_back(GetAction::Ask {
            node,
            as_fallback: !self.owners.contains(&node),
        });
        true
    }

    /// Each candidate is asked once, in order: as many as were asked are behind us.
    fn next_candidate(&self) -> Option<NodeId> {
        let asked = self.asked.len();
        if let Some(node) = self.first.get(asked) {
            return Some(*node);
        }
        let beyond = asked - self.first.len();
        let fallbacks = self.fallbacks.ranked();
        let last = || self.last.get(beyond - fallbacks.len());
        fallbacks.get(beyond).or_else(last).copied()
    }

    fn pending(&self) -> usize {
        self.asked
            .iter()
            .filter(|(_, ask)| matches!(ask, Ask::Pending))
            .count()
    }

    fn counted(&self) -> usize {
        let owners = self
            .answered()
            .filter(|(node, _)| self.owners.contains(node))
            .count();
        // A fallback stands for an owner that could not be reached; more of them than absent owners
        // would let one owner's copy be counted twice.
        let holders = match self.mode {
            QuorumMode::Strict => 0,
            QuorumMode::Sloppy => self
                .answered()
                .filter(|(node, answer)| !self.owners.contains(node) && answer.marked)
                .count(),
        };
        owners + holders.min(self.owners.len().saturating_sub(owners))
    }

    fn answered(&self) -> impl Iterator<Item = (NodeId, &ReplicaState)> {
        self.asked.iter().filter_map(|(node, ask)| match ask {
            Ask::Answered(state) => Some((*node, state)),
            Ask::Pending | Ask::Failed(_) => None,
        })
    }

    fn joined(&self) -> State {
        let mut joined = State::default();
        for (_, answer) in self.answered() {
            joined.join_ref(&answer.state);
        }
        joined
    }

    fn respond(&mut self) {
        if self.responded {
            return;
        }
        self.responded = true;
        let state = (self.counted() >= self.quorum).then(|| self.joined());
        let answers = self.answers();
        self.actions
            .push_back(GetAction::Respond(GetVerdict { state, answers }));
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let joined = self.joined();
        let stale = self
            .answered()
            .filter(|(node, answer)| self.owners.contains(node) && answer.state != joined);
        let repairs: Vec<_> = stale
            .map(|(to, answer)| GetAction::Repair {
                to,
                delta: Arc::new(joined.missing_in(&answer.state)),
            })
            .collect();
        self.actions.extend(repairs);
    }

    fn answers(&self) -> Vec<Answer> {
        self.asked
            .iter()
            .map(|(node, ask)| {
                let kind = match ask {
                    Ask::Answered(_) if self.owners.contains(node) => AnswerKind::Replica,
                    Ask::Answered(answer) if answer.marked => AnswerKind::Fallback,
                    Ask::Answered(_) => AnswerKind::Failed("holds nothing for the key".to_owned()),
                    Ask::Failed(reason) => AnswerKind::Failed(reason.clone()),
                    Ask::Pending => AnswerKind::Silent,
                };
                Answer { node: *node, kind }
            })
            .collect()
    }
}
