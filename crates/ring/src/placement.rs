use std::fmt;
use std::iter::Map;
use std::ops::Range;

use crate::members;
use crate::{Member, NodeId, Token, TokenRange};

/// The greatest number of replicas of a partition.
pub(crate) const REPLICAS_MAX: usize = 16;

/// A contiguous range of tokens that is placed, moved and repaired as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u32);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which nodes keep which keys. An immutable value: a change of membership makes a new one.
///
/// Partitions are numbered `0..partitions()` in the order of their tokens and cover every token exactly once. Share a
/// placement as `Arc<dyn Placement>` (or `Arc<PartitionRing>`) and swap the `Arc` at a change: readers need no lock.
pub trait Placement: Send + Sync {
    /// N: how many replicas a partition should have. Lists are shorter only where there are fewer members.
    fn replicas_wanted(&self) -> usize;

    /// The number of partitions.
    fn partitions(&self) -> u32;

    /// The partition of a token.
    fn partition_of(&self, token: Token) -> PartitionId;

    /// The tokens of a partition. An id from `partitions()` upwards gives the range of the last partition: check ids
    /// that come from outside.
    fn range_of(&self, partition: PartitionId) -> TokenRange;

    /// The preference list of a partition: min(N, members) distinct nodes, best first. Empty where there are no
    /// members, and for an id from `partitions()` upwards. Does not allocate.
    fn owners_of(&self, partition: PartitionId) -> &[NodeId];

    /// Every member once: the owners of the partition first, then the others in the order in which they stand in for
    /// owners that cannot be reached. Allocates; O(members x log members).
    fn ranking_of(&self, partition: PartitionId) -> Vec<NodeId>;

    /// The members in the order of their ids.
    fn members(&self) -> &[Member];

    /// A stable hash of all that the placement depends on: equal placements have equal fingerprints on every machine
    /// and in every release, different ones differ but for chance (2^-64).
    fn fingerprint(&self) -> u64;

    /// The preference list of a token, as [`owners_of`](Self::owners_of).
    fn owners(&self, token: Token) -> &[NodeId] {
        self.owners_of(self.partition_of(token))
    }

    /// The ranking of a token, as [`ranking_of`](Self::ranking_of).
    fn ranking(&self, token: Token) -> Vec<NodeId> {
        self.ranking_of(self.partition_of(token))
    }

    /// Every partition, in order.
    fn partition_ids(&self) -> Map<Range<u32>, fn(u32) -> PartitionId> {
        (0..self.partitions()).map(PartitionId)
    }

    /// The member of that id. O(log members).
    fn member(&self, id: NodeId) -> Option<&Member> {
        members::find(self.members(), id)
    }

    /// Whether the node is a member. O(log members).
    fn contains(&self, id: NodeId) -> bool {
        self.member(id).is_some()
    }

    /// Whether the node is in the preference list of the partition. O(N).
    fn owns(&self, id: NodeId, partition: PartitionId) -> bool {
        self.owners_of(partition).contains(&id)
    }
}
