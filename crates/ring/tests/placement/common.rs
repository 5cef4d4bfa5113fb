//! Memberships to test with.

use std::num::NonZeroU32;

use dynamokv_ring::{Member, NodeId, PartitionRing, Placement, TokenRing};
use proptest::prelude::*;

/// Members with any ids, uneven weights and several zones.
pub(crate) fn mixed_members(
    count: impl Into<prop::collection::SizeRange>,
) -> impl Strategy<Value = Vec<Member>> {
    prop::collection::btree_map(any::<u64>(), (1u32..=400, 0u8..5), count).prop_map(|nodes| {
        let member = |(id, (weight, zone)): (u64, (u32, u8))| {
            Member::new(NodeId(id))
                .with_weight(NonZeroU32::new(weight).unwrap())
                .with_zone(zone.to_string())
        };
        nodes.into_iter().map(member).collect()
    })
}

/// Members with any ids, equal weights and one zone.
pub(crate) fn equal_members(
    count: impl Into<prop::collection::SizeRange>,
) -> impl Strategy<Value = Vec<Member>> {
    prop::collection::btree_set(any::<u64>(), count)
        .prop_map(|ids| ids.into_iter().map(|id| Member::new(NodeId(id))).collect())
}

/// The placements of the members: from nothing, from a ring of others, and the classic one.
pub(crate) fn placements(
    bits: u32,
    replicas: usize,
    members: &[Member],
) -> [Box<dyn Placement>; 3] {
    let half = members.iter().take(members.len() / 2).cloned();
    let before = PartitionRing::new(1 << bits, 3, half.chain([Member::new(NodeId(42))])).unwrap();
    [
        Box::new(PartitionRing::new(1 << bits, replicas, members.to_vec()).unwrap()),
        Box::new(before.next(replicas, members.to_vec()).unwrap()),
        Box::new(TokenRing::new(4, replicas, members.to_vec()).unwrap()),
    ]
}

/// The number of partitions that the node owns.
pub(crate) fn owned(ring: &PartitionRing, id: NodeId) -> usize {
    ring.partition_ids()
        .filter(|&partition| ring.owns(id, partition))
        .count()
}
