//! A quorum write as a pure state machine: events in, actions out.
//!
//! Each owner of the key (of both rings, while they differ) is a *slot*, and a slot is filled by one
//! durable copy: the owner's own, or, in a sloppy quorum, that of one fallback that holds it as a hint.
//! A slot counts once however many copies it has, and a node is asked on behalf of one slot only, so
//! no node counts twice towards W (Dynamo, section 4.6).

use std::collections::VecDeque;

use dynamokv_ring::NodeId;
#[cfg(feature = "planted-bugs")]
use dynamokv_storage::planted::{self, Bug};
use smallvec::SmallVec;

use crate::{Answer, AnswerKind, Fallbacks, LocalRole, QuorumMode, WritePlan};

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutAction {
    /// Send the delta; `hint_for` makes the receiver hold it for that replica.
    Send {
        /// The receiver.
        to: NodeId,
        /// The replica that it stands in for, if it is none itself.
        hint_for: Option<NodeId>,
    },
    /// No node is left to hold the copy of `target`: keep a durable marker here. It counts for nothing.
    KeepMarker {
        /// The replica that lacks the write.
        target: NodeId,
    },
    /// Answer the client.
    Respond(PutVerdict),
}

/// What is known when the client is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutVerdict {
    /// Whether W durable copies exist in every set.
    pub applied: bool,
    /// Who had answered what.
    pub answers: Vec<Answer>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ask {
    Pending,
    Copied,
    Failed(String),
}

#[derive(Debug, Clone)]
struct Slot {
    owner: NodeId,
    asked: SmallVec<[(NodeId, Ask); 1]>,
    marker_kept: bool,
}

impl Slot {
    fn pending(&self) -> bool {
        self.asked.iter().any(|(_, ask)| *ask == Ask::Pending)
    }

    fn copied(&self) -> bool {
        self.asked.iter().any(|(_, ask)| *ask == Ask::Copied)
    }

    #[cfg(feature = "planted-bugs")]
    fn asks(&self, node: NodeId) -> bool {
        self.asked.iter().any(|(asked, _)| *asked == node)
    }

    fn counts(&self, mode: QuorumMode) -> bool {
        self.asked
            .iter()
            .any(|(node, ask)| *ask == Ask::Copied && may_count(mode, *node, self.owner))
    }

    fn may_still_count(&self, mode: QuorumMode) -> bool {
        self.counts(mode)
            || self
                .asked
                .iter()
                .any(|(node, ask)| *ask == Ask::Pending && may_count(mode, *node, self.owner))
    }
}

/// So many owners have room without an allocation.
const USUAL: usize = 3;

fn may_count(mode: QuorumMode, node: NodeId, owner: NodeId) -> bool {
    mode == QuorumMode::Sloppy || node == owner
}

/// One write, from the local apply (which fixes the dot) to the last slot.
///
/// Feed it [`start`](Self::start), then every reply; drain [`poll_action`](Self::poll_action) after
/// each. O(N) per event.
#[derive(Debug, Clone)]
pub struct PutOp {
    me: NodeId,
    local: LocalRole,
    mode: QuorumMode,
    quorum: usize,
    slots: SmallVec<[Slot; USUAL]>,
    /// Indices into `slots`, one list a set.
    sets: SmallVec<[SmallVec<[usize; USUAL]>; 1]>,
    live: std::sync::Arc<std::collections::BTreeSet<NodeId>>,
    fallbacks: Fallbacks,
    /// How many of the fallbacks have been asked.
    fallbacks_used: usize,
    responded: bool,
    ended: bool,
    actions: VecDeque<PutAction>,
}

impl PutOp {
    /// A write along `plan`, its local apply done but not yet known durable.
    pub fn new(plan: WritePlan) -> Self {
        let mut slots: SmallVec<[Slot; USUAL]> = SmallVec::new();
        let mut place_of = |owner: NodeId| {
            let known = slots.iter().position(|slot| slot.owner == owner);
            known.unwrap_or_else(|| {
                slots.push(Slot {
                    owner,
                    asked: SmallVec::new(),
                    marker_kept: false,
                });
                slots.len() - 1
            })
        };
        let places = |set: &Vec<NodeId>| set.iter().map(|owner| place_of(*owner)).collect();
        let sets = plan.sets.iter().map(places).collect();
        Self {
            me: plan.me,
            local: plan.local,
            mode: plan.mode,
            quorum: plan.quorum,
            slots,
            sets,
            live: plan.live,
            fallbacks: plan.fallbacks,
            fallbacks_used: 0,
            responded: false,
            ended: false,
            actions: VecDeque::new(),
        }
    }

    /// Asks every owner, or the next fallback for those believed down.
    pub fn start(&mut self) {
        let mut stranded = Vec::new();
        for at in 0..self.slots.len() {
            let owner = self.slots[at].owner;
            if self.local == LocalRole::HoldsFor(owner) || owner == self.me {
                self.slots[at].asked.push((self.me, Ask::Pending));
            }
            if owner == self.me {
                continue;
            }
            if self.live.contains(&owner) {
                self.ask(at, owner);
            } else if self.slots[at].asked.is_empty() {
                stranded.push(at);
            }
        }
        // Fallbacks are given out only when every live owner has been asked: they go to the first
        // stranded replicas in ring order.
        for at in stranded {
            self.ask_fallback(at);
        }
        self.decide();
    }

    /// The local write became durable, or its sync failed.
    pub fn on_local(&mut self, result: Result<(), String>) {
        self.on_reply(self.me, result);
    }

    /// `from` has a durable copy, or will have none.
    pub fn on_reply(&mut self, from: NodeId, result: Result<(), String>) {
        for at in 0..self.slots.len() {
            let Some((_, ask)) = self.slots[at]
                .asked
                .iter_mut()
                .find(|(node, _)| *node == from)
            else {
                continue;
            };
            if *ask != Ask::Pending {
                return;
            }
            match &result {
                Ok(()) => *ask = Ask::Copied,
                Err(reason) => {
                    *ask = Ask::Failed(reason.clone());
                    if !self.slots[at].pending() && !self.slots[at].copied() {
                        self.ask_fallback(at);
                    }
                }
            }
            self.decide();
            return;
        }
    }

    /// The patience with slow replicas is over: their slots get a copy on a fallback as well.
    pub fn on_slow(&mut self) {
        for at in 0..self.slots.len() {
            let slot = &self.slots[at];
            if slot.pending() && !slot.copied() && slot.owner != self.me && self.spare().is_some() {
                self.ask_fallback(at);
            }
        }
        self.decide();
    }

    /// The operation's time is over: what has no copy yet gets a marker here.
    pub fn on_deadline(&mut self) {
        self.respond();
        for at in 0..self.slots.len() {
            if !self.slots[at].copied() {
                self.keep_marker(at);
            }
        }
        self.ended = true;
    }

    /// The next thing to do, if any.
    pub fn poll_action(&mut self) -> Option<PutAction> {
        self.actions.pop_front()
    }

    /// Whether the client has its answer.
    pub fn responded(&self) -> bool {
        self.responded
    }

    /// Whether nothing is outstanding: every slot has a copy or a marker, and the client its answer.
    pub fn is_finished(&self) -> bool {
        self.ended
            || (self.responded
                && self
                    .slots
                    .iter()
                    .all(|slot| slot.copied() || slot.marker_kept || !slot.pending()))
    }

    fn ask(&mut self, at: usize, to: NodeId) {
        let owner = self.slots[at].owner;
        self.slots[at].asked.push((to, Ask::Pending));
        let hint_for = (to != owner).then_some(owner);
        self.actions.push_back(PutAction::Send { to, hint_for });
    }

    fn ask_fallback(&mut self, at: usize) {
        match self.spare() {
            Some(node) => {
                self.fallbacks_used += 1;
                self.ask(at, node);
            }
            None => self.keep_marker(at),
        }
    }

    /// The next fallback that was not asked yet.
    fn spare(&self) -> Option<NodeId> {
        self.fallbacks.ranked().get(self.fallbacks_used).copied()
    }

    fn keep_marker(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let local_marker = self.local == LocalRole::HoldsFor(slot.owner);
        if slot.owner == self.me || slot.marker_kept || local_marker {
            return;
        }
        slot.marker_kept = true;
        self.actions
            .push_back(PutAction::KeepMarker { target: slot.owner });
    }

    fn decide(&mut self) {
        if self.responded {
            return;
        }
        let hopeless = !self.enough(|slot| slot.may_still_count(self.mode));
        if self.reached() || hopeless {
            self.respond();
        }
    }

    fn respond(&mut self) {
        if self.responded {
            return;
        }
        self.responded = true;
        let applied = self.reached();
        let answers = self.answers();
        self.actions
            .push_back(PutAction::Respond(PutVerdict { applied, answers }));
    }

    fn reached(&self) -> bool {
        self.enough(|slot| slot.counts(self.mode))
    }

    /// Whether W slots of each set satisfy `counts`.
    fn enough(&self, counts: impl Fn(&Slot) -> bool) -> bool {
        self.sets.iter().all(|set| {
            let counted = || {
                set.iter()
                    .map(|at| &self.slots[*at])
                    .filter(|slot| counts(slot))
            };
            let copies = counted().count();
            #[cfg(feature = "planted-bugs")]
            let copies = if planted::is(Bug::NodeCountedTwice) {
                copies + counted().filter(|slot| slot.asks(self.me)).count()
            } else {
                copies
            };
            copies >= self.quorum
        })
    }

    fn answers(&self) -> Vec<Answer> {
        let mut answers = Vec::new();
        for slot in &self.slots {
            if !slot.asked.iter().any(|(node, _)| *node == slot.owner) {
                answers.push(Answer {
                    node: slot.owner,
                    kind: AnswerKind::Down,
                });
            }
            for (node, ask) in &slot.asked {
                let kind = match ask {
                    Ask::Copied if *node == slot.owner => AnswerKind::Replica,
                    Ask::Copied => AnswerKind::Holder {
                        stands_for: slot.owner,
                    },
                    Ask::Failed(reason) => AnswerKind::Failed(reason.clone()),
                    Ask::Pending => AnswerKind::Silent,
                };
                answers.push(Answer { node: *node, kind });
            }
        }
        answers
    }
}
