use crate::{Error, NodeId, PartitionId, PartitionRing, Placement, Result};

/// A replica that must be brought to a node: `to` owns the partition in the next ring and not in the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Move {
    /// The partition.
    pub partition: PartitionId,
    /// The owner that `to` replaces; `None` where the list grows.
    pub from: Option<NodeId>,
    /// The new owner.
    pub to: NodeId,
}

/// A replica that is let go: the node owns the partition in the current ring and not in the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    /// The partition.
    pub partition: PartitionId,
    /// The owner that it loses.
    pub node: NodeId,
}

/// The replicas that must be brought to new owners to get from one ring to the next: exactly those, in the order of the
/// partitions. Where a partition loses and gains owners they are paired one to one, in the order of preference.
///
/// `next = current - releases + moves`, for each partition, as sets: a change of order within a list moves no data.
/// O(partitions x N^2).
///
/// # Errors
/// [`Error::PartitionsDiffer`] if the rings have different numbers of partitions.
pub fn diff(current: &PartitionRing, next: &PartitionRing) -> Result<Vec<Move>> {
    comparable(current, next)?;
    let moves = current.partition_ids().flat_map(|partition| {
        let before = current.owners_of(partition);
        let after = next.owners_of(partition);
        let mut losers = without(before, after);
        without(after, before).map(move |to| Move {
            partition,
            from: losers.next(),
            to,
        })
    });
    Ok(moves.collect())
}

/// The replicas that are let go on the way from one ring to the next, in the order of the partitions: every `from` of
/// [`diff`], and the owners that nobody replaces because the list shrinks. O(partitions x N^2).
///
/// # Errors
/// [`Error::PartitionsDiffer`] if the rings have different numbers of partitions.
pub fn releases(current: &PartitionRing, next: &PartitionRing) -> Result<Vec<Release>> {
    comparable(current, next)?;
    let released = current.partition_ids().flat_map(|partition| {
        without(current.owners_of(partition), next.owners_of(partition))
            .map(move |node| Release { partition, node })
    });
    Ok(released.collect())
}

fn comparable(current: &PartitionRing, next: &PartitionRing) -> Result<()> {
    let (current, next) = (current.partitions(), next.partitions());
    if current == next {
        Ok(())
    } else {
        Err(Error::PartitionsDiffer { current, next })
    }
}

/// The nodes of `list` that are not in `other`, in order.
fn without<'a>(list: &'a [NodeId], other: &'a [NodeId]) -> impl Iterator<Item = NodeId> + 'a {
    list.iter().copied().filter(|node| !other.contains(node))
}
