//! Whom one operation involves: pure functions of a view and the request's settings.

use std::collections::BTreeSet;
use std::sync::Arc;

use dynamokv_ring::{NodeId, Token};

use crate::{Answer, AnswerKind, Error, QuorumMode, View};

/// What the coordinating node's own copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalRole {
    /// It is a replica of the key.
    Owner,
    /// It is a fallback: its copy is a hint for this replica.
    HoldsFor(NodeId),
}

/// Whom a write involves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WritePlan {
    /// The coordinating node.
    pub me: NodeId,
    /// What its own copy is.
    pub local: LocalRole,
    /// The owner sets; each needs `quorum` copies.
    pub sets: Vec<Vec<NodeId>>,
    /// Live nodes beyond the owners, in the order of the sloppy quorum, without `me`.
    pub fallbacks: Vec<NodeId>,
    /// The nodes believed alive.
    pub live: Arc<BTreeSet<NodeId>>,
    /// W.
    pub quorum: usize,
    /// Whose copies count.
    pub mode: QuorumMode,
}

impl WritePlan {
    /// Plans a write of `token` with W = `quorum`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when too few live nodes are known to reach W in every set: nothing has
    /// been written then.
    pub fn new(view: &View, token: Token, quorum: usize, mode: QuorumMode) -> Result<Self, Error> {
        let sets = view.write_sets(token);
        let fallbacks: Vec<NodeId> = view
            .fallbacks(token, &sets)
            .into_iter()
            .filter(|node| *node != view.me && view.live.contains(node))
            .collect();
        let sets: Vec<Vec<NodeId>> = sets.into_iter().map(<[NodeId]>::to_vec).collect();
        let owners = || sets.iter().flatten();
        let local = if owners().any(|owner| *owner == view.me) {
            LocalRole::Owner
        } else {
            let dead = owners().find(|owner| !view.live.contains(owner));
            LocalRole::HoldsFor(*dead.or_else(|| owners().next()).ok_or(Error::NotMember)?)
        };
        let plan = Self {
            me: view.me,
            local,
            sets,
            fallbacks,
            live: Arc::clone(&view.live),
            quorum,
            mode,
        };
        plan.check_reachable()?;
        Ok(plan)
    }

    fn check_reachable(&self) -> Result<(), Error> {
        let holders = match self.mode {
            QuorumMode::Strict => 0,
            QuorumMode::Sloppy => {
                self.fallbacks.len() + usize::from(matches!(self.local, LocalRole::HoldsFor(_)))
            }
        };
        for set in &self.sets {
            let live = set.iter().filter(|owner| self.live.contains(owner)).count();
            let reachable = live + holders.min(set.len() - live);
            if reachable < self.quorum {
                let answers = set
                    .iter()
                    .filter(|owner| !self.live.contains(owner))
                    .map(|owner| Answer {
                        node: *owner,
                        kind: AnswerKind::Down,
                    })
                    .collect();
                return Err(Error::Unavailable {
                    needed: self.quorum,
                    reachable,
                    answers,
                });
            }
        }
        Ok(())
    }
}

/// Whom a read involves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPlan {
    /// The coordinating node.
    pub me: NodeId,
    /// Whom to ask, best first: this node where it is an owner, the live owners in ring order, live
    /// fallbacks (sloppy mode), at last the owners believed down, since liveness is an opinion.
    pub candidates: Vec<NodeId>,
    /// The owners: their answers count always.
    pub owners: Vec<NodeId>,
    /// R.
    pub quorum: usize,
    /// Whether the answer of a fallback counts that holds the key for an owner.
    pub mode: QuorumMode,
}

impl ReadPlan {
    /// Plans a read of `token` with R = `quorum`.
    pub fn new(view: &View, token: Token, quorum: usize, mode: QuorumMode) -> Self {
        let owners = view.read_ring().owners(token).to_vec();
        let mut candidates: Vec<NodeId> = owners
            .iter()
            .copied()
            .filter(|owner| view.live.contains(owner))
            .collect();
        candidates.sort_by_key(|owner| *owner != view.me);
        if mode == QuorumMode::Sloppy {
            let fallbacks = view.fallbacks(token, &[&owners]);
            candidates.extend(
                fallbacks
                    .into_iter()
                    .filter(|node| view.live.contains(node)),
            );
        }
        candidates.extend(owners.iter().filter(|owner| !view.live.contains(owner)));
        Self {
            me: view.me,
            candidates,
            owners,
            quorum,
            mode,
        }
    }
}
