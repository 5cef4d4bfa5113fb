//! What a node gains by a membership change, and from whom it must be read.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use dynamokv_ring::{NodeId, PartitionId, PartitionRing, Placement, diff};

/// A partition that a node will own, and the sources that it must be read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gain {
    partition: PartitionId,
    sources: Vec<NodeId>,
    needed: usize,
}

impl Gain {
    /// The partition is taken over from `replaced`, which still holds it: reading that owner in full, and only
    /// that, keeps each write on as many owners as before.
    pub fn of_replaced(partition: PartitionId, replaced: NodeId) -> Self {
        Self {
            partition,
            sources: vec![replaced],
            needed: 1,
        }
    }

    /// Nobody hands the partition over: the list of owners grows, or the replaced owner is gone for good. Then a
    /// write that `write_quorum` of the `owners` acknowledged is found for certain only in any
    /// `owners - write_quorum + 1` of them. Those in `gone` are not read; where fewer
    /// remain, all of them are, and where none remains nothing is needed.
    pub fn of_quorum(
        partition: PartitionId,
        owners: &[NodeId],
        write_quorum: NonZeroUsize,
        gone: &BTreeSet<NodeId>,
    ) -> Self {
        let remaining = owners.iter().copied().filter(|owner| !gone.contains(owner));
        let sources: Vec<NodeId> = remaining.collect();
        let covering = owners.len().saturating_sub(write_quorum.get()) + 1;
        let needed = covering.min(sources.len());
        Self {
            partition,
            sources,
            needed,
        }
    }

    /// The partition.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// Whom to read, the preferred ones first.
    pub fn sources(&self) -> &[NodeId] {
        &self.sources
    }

    /// How many distinct sources must be read to their end. At most as many as there are.
    pub fn needed(&self) -> usize {
        self.needed
    }
}

/// What `node` gains on the way from one ring to the next. `gone` are the nodes whose data cannot be had any more
/// (those being removed). O(partitions x N^2).
///
/// # Errors
/// [`dynamokv_ring::Error::PartitionsDiffer`] if the rings have different numbers of partitions.
pub fn gains(
    current: &PartitionRing,
    next: &PartitionRing,
    node: NodeId,
    write_quorum: NonZeroUsize,
    gone: &BTreeSet<NodeId>,
) -> Result<Vec<Gain>, dynamokv_ring::Error> {
    let mine = diff(current, next)?.into_iter().filter(|mv| mv.to == node);
    let gain = |partition, from: Option<NodeId>| match from.filter(|from| !gone.contains(from)) {
        Some(replaced) => Gain::of_replaced(partition, replaced),
        None => Gain::of_quorum(partition, current.owners_of(partition), write_quorum, gone),
    };
    Ok(mine.map(|mv| gain(mv.partition, mv.from)).collect())
}
