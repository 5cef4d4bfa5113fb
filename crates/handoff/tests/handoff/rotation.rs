//! The way round all pairs of owners, whatever changes on it.

use std::collections::BTreeSet;

use dynamokv_handoff::{Pair, Rotation};
use dynamokv_ring::{Member, NodeId, PartitionRing, Placement};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;

const ME: NodeId = NodeId(3);

/// A ring of some of the nodes, and who of all is live.
type World = (PartitionRing, BTreeSet<NodeId>);

fn world() -> impl Strategy<Value = World> {
    let nodes: Vec<u64> = (1..=6).collect();
    (
        subsequence(nodes.clone(), 0..=6),
        1..4_usize,
        subsequence(nodes, 0..=6),
    )
        .prop_map(|(members, replicas, live)| {
            let members = members.into_iter().map(|id| Member::new(NodeId(id)));
            let ring = PartitionRing::new(8, replicas, members).unwrap();
            (ring, live.into_iter().map(NodeId).collect())
        })
}

/// All pairs by definition.
fn pairs((ring, live): &World) -> BTreeSet<Pair> {
    let owned = ring
        .partition_ids()
        .filter(|partition| ring.owns(ME, *partition));
    owned
        .flat_map(|partition| {
            let peers = ring.owners_of(partition).iter().copied();
            peers.map(move |peer| Pair { partition, peer })
        })
        .filter(|pair| pair.peer != ME && live.contains(&pair.peer))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_pair_comes_exactly_once_in_each_rotation(world in world()) {
        let mut rotation = Rotation::new(ME);
        for _ in 0..2 {
            let mut visited = Vec::new();
            while let Some(pair) = rotation.next_pair(&world.0, &world.1) {
                visited.push(pair);
            }
            prop_assert_eq!(visited, Vec::from_iter(pairs(&world)));
        }
    }

    /// The world changes before every step; each world of the list is met once, then the last one stays.
    #[test]
    fn what_is_there_all_the_time_comes_once_and_nobody_is_asked_who_is_no_live_owner(
        worlds in vec(world(), 1..20),
    ) {
        let mut rotation = Rotation::new(ME);
        let mut throughout = pairs(&worlds[0]);
        let mut visited = BTreeSet::new();
        for step in 0.. {
            let world = worlds.get(step).unwrap_or(&worlds[worlds.len() - 1]);
            let present = pairs(world);
            throughout.retain(|pair| present.contains(pair));
            let Some(pair) = rotation.next_pair(&world.0, &world.1) else { break };
            prop_assert!(present.contains(&pair), "{:?} does not own it here, or is down", pair);
            prop_assert!(visited.insert(pair), "{:?} came twice", pair);
        }
        prop_assert!(throughout.is_subset(&visited), "{:?} left out", throughout.difference(&visited));
    }
}
