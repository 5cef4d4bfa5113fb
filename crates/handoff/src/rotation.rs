//! Which two owners compare their copies next.

use std::collections::BTreeSet;

use dynamokv_ring::{NodeId, PartitionId, Placement};

/// A partition, and another owner of it to compare copies with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// The partition.
    pub partition: PartitionId,
    /// The other owner.
    pub peer: NodeId,
}

/// A node's way round all that it owns and all who own it too: ring and liveness in, [`Pair`]s out, no I/O.
///
/// It remembers one place and nothing else. The ring and who is live may change between any two steps: a pair that is
/// there all the time still comes exactly once a rotation, any other at most once.
#[derive(Debug, Clone)]
pub struct Rotation {
    me: NodeId,
    last: Option<Pair>,
}

impl Rotation {
    /// The way of node `me`, at its beginning.
    pub fn new(me: NodeId) -> Self {
        Self { me, last: None }
    }

    /// The next pair whose partition this node owns and whose peer is a live owner of it. `None` ends a rotation; the
    /// call after it begins another. O(partitions) at most, and O(partitions x N) for a whole rotation.
    pub fn next_pair(&mut self, ring: &dyn Placement, live: &BTreeSet<NodeId>) -> Option<Pair> {
        let (me, last) = (self.me, self.last);
        let from = last.map_or(0, |last| last.partition.0);
        self.last = (from..ring.partitions())
            .map(PartitionId)
            .filter(|partition| ring.owns(me, *partition))
            .find_map(|partition| {
                let peers = ring.owners_of(partition).iter().copied();
                peers
                    .filter(|peer| *peer != me && live.contains(peer))
                    .map(|peer| Pair { partition, peer })
                    .filter(|pair| last.is_none_or(|last| *pair > last))
                    .min()
            });
        self.last
    }
}
