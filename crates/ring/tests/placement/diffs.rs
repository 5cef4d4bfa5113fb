//! Differences are exact.

use std::collections::BTreeSet;

use dynamokv_ring::{Error, NodeId, PartitionId, PartitionRing, Placement, diff, releases};
use proptest::prelude::*;

use crate::common::mixed_members;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn releases_and_moves_turn_the_current_table_into_the_next_one(
        (before, after) in mixed_members(0..20).prop_flat_map(|all| {
            (prop::sample::subsequence(all.clone(), 0..=all.len()), prop::sample::subsequence(all.clone(), 0..=all.len()))
        }),
        bits in 0u32..=7,
        replicas_before in 1usize..=4,
        replicas_after in 1usize..=4,
        successive: bool,
    ) {
        let current = PartitionRing::new(1 << bits, replicas_before, before).unwrap();
        let next = if successive {
            current.next(replicas_after, after).unwrap()
        } else {
            PartitionRing::new(1 << bits, replicas_after, after).unwrap()
        };
        let (moves, released) = (diff(&current, &next).unwrap(), releases(&current, &next).unwrap());

        let mut table = owned(&current);
        for release in &released {
            prop_assert!(table.remove(&(release.partition, release.node)), "was no owner: {:?}", release);
        }
        for step in &moves {
            prop_assert!(table.insert((step.partition, step.to)), "was an owner: {:?}", step);
        }
        prop_assert_eq!(table, owned(&next));

        // Each loser is replaced at most once, and left without an heir only if there is no other gainer.
        let replaced: BTreeSet<_> = moves.iter().filter_map(|step| Some((step.partition, step.from?))).collect();
        let losers: BTreeSet<_> = released.iter().map(|release| (release.partition, release.node)).collect();
        prop_assert!(replaced.is_subset(&losers));
        for partition in current.partition_ids() {
            let lost = losers.iter().filter(|loser| loser.0 == partition).count();
            let gained = moves.iter().filter(|step| step.partition == partition).count();
            let paired = moves.iter().filter(|step| step.partition == partition && step.from.is_some()).count();
            prop_assert_eq!(paired, lost.min(gained));
        }
    }

    #[test]
    fn a_ring_does_not_differ_from_itself(members in mixed_members(0..10), bits in 0u32..=5) {
        let ring = PartitionRing::new(1 << bits, 3, members).unwrap();
        prop_assert_eq!(diff(&ring, &ring).unwrap(), []);
        prop_assert_eq!(releases(&ring, &ring).unwrap(), []);
    }
}

#[test]
fn rings_with_different_numbers_of_partitions_are_not_compared() {
    let ring = |partitions| PartitionRing::new(partitions, 3, []).unwrap();
    let refused = Error::PartitionsDiffer {
        current: 8,
        next: 16,
    };
    assert_eq!(diff(&ring(8), &ring(16)), Err(refused.clone()));
    assert_eq!(releases(&ring(8), &ring(16)), Err(refused));
}

fn owned(ring: &PartitionRing) -> BTreeSet<(PartitionId, NodeId)> {
    ring.partition_ids()
        .flat_map(|partition| {
            ring.owners_of(partition)
                .iter()
                .map(move |&owner| (partition, owner))
        })
        .collect()
}
