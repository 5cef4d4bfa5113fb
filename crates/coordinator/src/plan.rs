//! Whom one operation involves: pure functions of a view and the request's settings.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

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

/// The live nodes beyond the owners, in the order of the sloppy quorum, without the coordinator.
///
/// Ranked only when one is needed: that walks all members, and an operation whose owners answer never does it.
#[derive(Clone)]
pub struct Fallbacks(Arc<LazyLock<Vec<NodeId>, Rank>>);

type Rank = Box<dyn FnOnce() -> Vec<NodeId> + Send>;

impl Fallbacks {
    fn of(view: &Arc<View>, token: Token, owners: Vec<NodeId>) -> Self {
        let view = Arc::clone(view);
        Self(Arc::new(LazyLock::new(Box::new(move || {
            let mut ranked = view.fallbacks(token, &[&owners]);
            ranked.retain(|node| *node != view.me && view.live.contains(node));
            ranked
        }))))
    }

    /// The ranking, made at the first call. O(members x log members) then.
    pub fn ranked(&self) -> &[NodeId] {
        &self.0
    }
}

impl From<Vec<NodeId>> for Fallbacks {
    fn from(ranked: Vec<NodeId>) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(move || ranked))))
    }
}

impl fmt::Debug for Fallbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whom a write involves.
#[derive(Debug, Clone)]
pub struct WritePlan {
    /// The coordinating node.
    pub me: NodeId,
    /// What its own copy is.
    pub local: LocalRole,
    /// The owner sets; each needs `quorum` copies.
    pub sets: Vec<Vec<NodeId>>,
    /// Who stands in for owners that cannot be reached.
    pub fallbacks: Fallbacks,
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
    pub fn new(
        view: &Arc<View>,
        token: Token,
        quorum: usize,
        mode: QuorumMode,
    ) -> Result<Self, Error> {
        let sets = view.write_sets(token);
        let fallbacks = Fallbacks::of(view, token, sets.concat());
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
        let holds = usize::from(matches!(self.local, LocalRole::HoldsFor(_)));
        for set in &self.sets {
            let live = set.iter().filter(|owner| self.live.contains(owner)).count();
            if live >= self.quorum {
                continue;
            }
            let holders = match self.mode {
                QuorumMode::Strict => 0,
                QuorumMode::Sloppy => self.fallbacks.ranked().len() + holds,
            };
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
#[derive(Debug, Clone)]
pub struct ReadPlan {
    /// The coordinating node.
    pub me: NodeId,
    /// Whom to ask, best first: this node where it is an owner, then the live owners in ring order.
    pub first: Vec<NodeId>,
    /// Whom to ask when these are not enough; nobody in strict mode.
    pub fallbacks: Fallbacks,
    /// The owners believed down: asked at last, since liveness is an opinion.
    pub last: Vec<NodeId>,
    /// The owners: their answers count always.
    pub owners: Vec<NodeId>,
    /// R.
    pub quorum: usize,
    /// Whether the answer of a fallback counts that holds the key for an owner.
    pub mode: QuorumMode,
}

impl ReadPlan {
    /// Plans a read of `token` with R = `quorum`.
    pub fn new(view: &Arc<View>, token: Token, quorum: usize, mode: QuorumMode) -> Self {
        let owners = view.read_ring().owners(token).to_vec();
        let (mut first, last): (Vec<NodeId>, Vec<NodeId>) =
            owners.iter().partition(|owner| view.live.contains(owner));
        first.sort_by_key(|owner| *owner != view.me);
        let fallbacks = match mode {
            QuorumMode::Sloppy => Fallbacks::of(view, token, owners.clone()),
            QuorumMode::Strict => Vec::new().into(),
        };
        Self {
            me: view.me,
            first,
            fallbacks,
            last,
            owners,
            quorum,
            mode,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use dynamokv_ring::{Member, PartitionId, PartitionRing, Placement, TokenRange};

    use super::*;
    use crate::{Fence, ReadPhase, WritePhase};

    /// A ring that must not be ranked.
    struct Unranked(PartitionRing);

    impl Placement for Unranked {
        fn replicas_wanted(&self) -> usize {
            self.0.replicas_wanted()
        }
        fn partitions(&self) -> u32 {
            self.0.partitions()
        }
        fn partition_of(&self, token: Token) -> PartitionId {
            self.0.partition_of(token)
        }
        fn range_of(&self, partition: PartitionId) -> TokenRange {
            self.0.range_of(partition)
        }
        fn owners_of(&self, partition: PartitionId) -> &[NodeId] {
            self.0.owners_of(partition)
        }
        fn ranking_of(&self, _: PartitionId) -> Vec<NodeId> {
            panic!("the whole ring is walked")
        }
        fn members(&self) -> &[Member] {
            self.0.members()
        }
        fn fingerprint(&self) -> u64 {
            self.0.fingerprint()
        }
    }

    #[test]
    fn no_put_or_get_walks_the_ring_while_the_owners_answer() {
        // The prototype asked the ring for all nodes at every request.
        let ring =
            PartitionRing::new(64, 3, (1..=1_000).map(|id| Member::new(NodeId(id)))).unwrap();
        let token = Token(7);
        let owners = ring.owners(token).to_vec();
        let view = Arc::new(View {
            me: owners[0],
            current: Arc::new(Unranked(ring)),
            next: None,
            next_complete: false,
            forgotten: Arc::default(),
            writes: WritePhase::Current,
            reads: ReadPhase::Current,
            phase: 0,
            fence: Fence {
                cluster: 1,
                number: 1,
                fingerprint: 1,
                seen: 1,
            },
            required: 1,
            live: Arc::new(owners.iter().copied().collect::<BTreeSet<_>>()),
        });
        let plan = WritePlan::new(&view, token, 2, QuorumMode::Sloppy).unwrap();
        let mut put = crate::PutOp::new(plan);
        put.start();
        put.on_local(Ok(()));
        put.on_reply(owners[1], Ok(()));
        put.on_reply(owners[2], Ok(()));
        assert!(put.is_finished());
        let mut get = crate::GetOp::new(ReadPlan::new(&view, token, 2, QuorumMode::Sloppy));
        get.start();
        get.on_reply(owners[0], Ok(crate::ReplicaState::default()));
        get.on_reply(owners[1], Ok(crate::ReplicaState::default()));
        assert!(get.is_finished());
    }
}
