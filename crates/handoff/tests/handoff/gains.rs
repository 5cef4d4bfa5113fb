//! Which sources a gained partition needs.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use dynamokv_handoff::{Gain, gains};
use dynamokv_ring::{Member, NodeId, PartitionId, PartitionRing, Placement, diff};
use proptest::prelude::*;
use proptest::sample::subsequence;

const PARTITION: PartitionId = PartitionId(0);

fn nodes(count: usize) -> Vec<NodeId> {
    (1..=count as u64).map(NodeId).collect()
}

fn quorum(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

#[test]
fn a_replaced_owner_that_is_there_is_the_only_source() {
    let gain = Gain::of_replaced(PARTITION, NodeId(9));
    assert_eq!((gain.sources(), gain.needed()), ([NodeId(9)].as_slice(), 1));
}

#[test]
fn where_nobody_remains_nothing_is_needed() {
    let gone = nodes(3).into_iter().collect();
    let gain = Gain::of_quorum(PARTITION, &nodes(3), quorum(2), &gone);
    assert_eq!((gain.sources(), gain.needed()), ([].as_slice(), 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any W owners that acknowledged a write and any choice of `needed` sources have a node in common, unless W owners or
    /// more are gone; and one source less would not do.
    #[test]
    fn every_acknowledged_write_is_at_one_of_the_needed_sources(
        (owners, w, gone) in (1_usize..6).prop_flat_map(|n| {
            (Just(nodes(n)), 1..=n, subsequence(nodes(n), 0..=n))
        })
    ) {
        let gone: BTreeSet<NodeId> = gone.into_iter().collect();
        let gain = Gain::of_quorum(PARTITION, &owners, quorum(w), &gone);
        prop_assert!(gain.sources().iter().all(|source| !gone.contains(source)));
        prop_assert!(gain.needed() <= gain.sources().len());
        let misses = |read: usize| {
            subsets(&owners, w).into_iter().any(|acknowledged| {
                subsets(gain.sources(), read).into_iter().any(|read| {
                    read.iter().all(|source| !acknowledged.contains(source))
                })
            })
        };
        if gone.len() < w {
            prop_assert!(!misses(gain.needed()));
            prop_assert!(gain.needed() == 0 || misses(gain.needed() - 1));
        } else {
            prop_assert_eq!(gain.needed(), gain.sources().len());
        }
    }

    /// A node gains what the rings' difference says, from the owner that it replaces where that one is there.
    #[test]
    fn gains_follow_the_difference_of_the_rings(
        before in 1_usize..7, after in 1_usize..7, gone in 0_u64..8, node in 1_u64..8,
    ) {
        let ring = |count| {
            PartitionRing::new(16, 3, nodes(count).into_iter().map(Member::new)).unwrap()
        };
        let (current, next, node) = (ring(before), ring(after), NodeId(node));
        let gone = BTreeSet::from([NodeId(gone)]);
        let found = gains(&current, &next, node, quorum(2), &gone).unwrap();
        let moves: Vec<_> = diff(&current, &next).unwrap().into_iter().filter(|mv| mv.to == node).collect();
        prop_assert_eq!(found.len(), moves.len());
        for (gain, mv) in found.iter().zip(moves) {
            let expected = match mv.from {
                Some(from) if !gone.contains(&from) => Gain::of_replaced(mv.partition, from),
                _ => Gain::of_quorum(mv.partition, current.owners_of(mv.partition), quorum(2), &gone),
            };
            prop_assert_eq!(gain, &expected);
        }
    }
}

fn subsets(nodes: &[NodeId], size: usize) -> Vec<Vec<NodeId>> {
    let chosen = |mask: u32| {
        let picked = nodes
            .iter()
            .enumerate()
            .filter(|(index, _)| mask & (1 << index) != 0);
        picked.map(|(_, node)| *node).collect::<Vec<_>>()
    };
    (0..1 << nodes.len())
        .map(chosen)
        .filter(|subset| subset.len() == size)
        .collect()
}
