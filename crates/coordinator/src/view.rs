//! The cluster as one operation sees it: an immutable snapshot of rings, phases and liveness.

use std::collections::BTreeSet;
use std::sync::Arc;

use dynamokv_ring::{NodeId, PartitionId, Placement, Token};

/// Which ring's owners must have a write (the stages of a membership change, see
/// `docs/architecture.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WritePhase {
    /// The current ring alone.
    Current,
    /// Both rings, with W copies in each of them separately.
    Both,
    /// The next ring alone.
    Next,
}

/// Which ring's owners are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadPhase {
    /// The current ring.
    Current,
    /// The next ring.
    Next,
}

/// What a request says about the sender's knowledge of the cluster, so that a replica can refuse
/// a coordinator whose view is too old to be safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// The cluster's random id.
    pub cluster: u64,
    /// Number of the last finished membership change.
    pub number: u64,
    /// Fingerprint of the ring that this change made.
    pub fingerprint: u64,
    /// The greatest change number that the sender has acknowledged, finished or open.
    pub seen: u64,
}

impl Fence {
    /// Whether a node with this fence may serve a request that carries `theirs`.
    ///
    /// `required` is the change number that every sender must have seen: from the stage on in
    /// which writes double, an unaware coordinator would miss a ring.
    ///
    /// # Errors
    /// [`Refusal::OtherCluster`] or [`Refusal::StaleRing`].
    pub fn admit(&self, theirs: &Fence, required: u64) -> Result<(), Refusal> {
        if self.cluster != theirs.cluster {
            return Err(Refusal::OtherCluster);
        }
        let rings_differ = self.number == theirs.number && self.fingerprint != theirs.fingerprint;
        if theirs.seen < required || rings_differ {
            return Err(Refusal::StaleRing { required });
        }
        Ok(())
    }
}

/// Why a replica would not serve a request; nothing was changed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The sender has not seen a change that it must know: it gossips, then retries.
    #[error("the sender's ring is stale: change {required} must be seen first; gossip, then retry")]
    StaleRing {
        /// The change number that the sender must have seen.
        required: u64,
    },
    /// The replica is no owner of the key's partition: the sender gossips, then retries.
    #[error("this node is not a replica of the key; gossip, then retry")]
    NotOwner,
    /// The sender belongs to another cluster: its address list is wrong.
    #[error("this node belongs to another cluster; check the addresses")]
    OtherCluster,
}

/// An immutable snapshot of the cluster: who owns what, who must be written and read, and who is
/// believed alive. Cheap to share; replaced as a whole when anything changes.
#[derive(Clone)]
pub struct View {
    /// The node whose view this is.
    pub me: NodeId,
    /// The ring of the last finished change.
    pub current: Arc<dyn Placement>,
    /// The ring of the open change, if one is open.
    pub next: Option<Arc<dyn Placement>>,
    /// Whether this node's copies of what it gains in the next ring are complete.
    pub next_complete: bool,
    /// Partitions of which this node may have forgotten what it acknowledged: its copies there are no answers.
    pub forgotten: Arc<BTreeSet<PartitionId>>,
    /// Where writes go.
    pub writes: WritePhase,
    /// Where reads go.
    pub reads: ReadPhase,
    /// Counts the phases that this node went through; operations begun under an earlier phase
    /// can be waited for ([`Drain`](crate::Drain)).
    pub phase: u64,
    /// What this node's requests say of its knowledge.
    pub fence: Fence,
    /// The change number that requests to this node must have seen.
    pub required: u64,
    /// The nodes believed alive, this one among them.
    pub live: Arc<BTreeSet<NodeId>>,
}

impl View {
    /// The owner sets that must each get W copies: one, or two while rings differ for the token.
    pub fn write_sets(&self, token: Token) -> Vec<&[NodeId]> {
        let current = self.current.owners(token);
        let next = self.next.as_ref().map(|ring| ring.owners(token));
        match (self.writes, next) {
            (WritePhase::Both, Some(next)) if next != current => vec![current, next],
            (WritePhase::Next, Some(next)) => vec![next],
            _ => vec![current],
        }
    }

    /// The ring that reads go to.
    pub fn read_ring(&self) -> &dyn Placement {
        match (self.reads, &self.next) {
            (ReadPhase::Next, Some(next)) => next.as_ref(),
            _ => self.current.as_ref(),
        }
    }

    /// Whether `node` must accept copies of the token as its owner.
    pub fn stores(&self, node: NodeId, token: Token) -> bool {
        self.current.owners(token).contains(&node)
            || self
                .next
                .as_ref()
                .is_some_and(|ring| ring.owners(token).contains(&node))
    }

    /// Whether this node may answer reads of the token as an owner: its copies of a range that it gains
    /// must be complete first.
    pub fn answers(&self, token: Token) -> bool {
        let mine = |ring: &dyn Placement| ring.owners(token).contains(&self.me);
        mine(self.current.as_ref())
            || (self.next_complete && self.next.as_ref().is_some_and(|next| mine(next.as_ref())))
    }

    /// Whether this node may have forgotten what it acknowledged of the token's partition.
    pub fn may_have_forgotten(&self, token: Token) -> bool {
        !self.forgotten.is_empty() && self.forgotten.contains(&self.current.partition_of(token))
    }

    /// Every member in the order of the sloppy quorum, without the owners in `sets`.
    pub fn fallbacks(&self, token: Token, sets: &[&[NodeId]]) -> Vec<NodeId> {
        let ring = match (self.writes, &self.next) {
            (WritePhase::Current, _) | (_, None) => &self.current,
            (_, Some(next)) => next,
        };
        let owned = |node: &NodeId| sets.iter().any(|set| set.contains(node));
        ring.ranking(token)
            .into_iter()
            .filter(|node| !owned(node))
            .collect()
    }

    /// Whether `node` is a member of the current or the next ring: only members coordinate, since only they
    /// are waited for when a change goes on.
    pub fn has_member(&self, node: NodeId) -> bool {
        self.current.contains(node) || self.next.as_ref().is_some_and(|ring| ring.contains(node))
    }
}

/// The live view of the cluster, as the coordinator asks for it.
pub trait Membership: Send + Sync + 'static {
    /// The present snapshot; constant time.
    fn view(&self) -> Arc<View>;

    /// Tells the failure detector how a request to `node` went.
    fn report(&self, node: NodeId, reached: bool);

    /// A peer refused a request because our view was stale: gossip with it soon. Completes when
    /// the view has changed, or never; the caller keeps its own deadline.
    fn catch_up(&self, with: NodeId, seen: Fence) -> impl Future<Output = ()> + Send;
}
