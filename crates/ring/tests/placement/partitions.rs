//! How evenly the partitions are spread.

use std::num::NonZeroU32;

use dynamokv_ring::{Balance, Member, NodeId, PartitionRing, TokenRing};
use proptest::prelude::*;

use crate::common::{equal_members, mixed_members, owned};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_node_holds_more_than_its_share_and_the_slack(members in equal_members(1..60), replicas in 1usize..=5) {
        let ring = PartitionRing::new(1024, replicas, members.clone()).unwrap();
        let share = (1024 * replicas.min(members.len())) as f64 / members.len() as f64;
        let bound = (share * 1.04).ceil();
        for member in &members {
            let held = owned(&ring, member.id) as f64;
            prop_assert!(held <= bound, "{} of {}", held, share);
            prop_assert!(held >= share - 4.0 * share.sqrt(), "{} of {}", held, share);
        }
        let balance = Balance::of(&ring);
        prop_assert!(balance.peak() <= bound / share + 1e-9);
        let first = 1024.0 / members.len() as f64;
        prop_assert!(balance.peak_primary() * first <= 1.04 * first + 8.0, "{}", balance.peak_primary());
    }

    #[test]
    fn weights_are_followed(
        weights in prop::collection::vec(prop::sample::select(vec![50u32, 100, 200, 400]), 6..40),
        base: u64,
    ) {
        let members = (0u64..).zip(&weights).map(|(id, &weight)| {
            Member::new(NodeId(base.wrapping_add(id))).with_weight(NonZeroU32::new(weight).unwrap())
        });
        let ring = PartitionRing::new(2048, 3, members).unwrap();
        for node in Balance::of(&ring).nodes {
            let (held, share) = (node.owned * 2048.0, node.share * 2048.0);
            prop_assert!(held <= share * 1.25 + 1.0, "{} of {}", held, share);
            prop_assert!(held >= share * 0.6 - 1.0, "{} of {}", held, share);
        }
    }

    #[test]
    fn the_balance_adds_up(members in mixed_members(1..20), bits in 0u32..=7, replicas in 1usize..=4) {
        let copies = replicas.min(members.len()) as f64;
        for placement in crate::common::placements(bits, replicas, &members) {
            let balance = Balance::of(placement.as_ref());
            let sum = |part: fn(&dynamokv_ring::NodeLoad) -> f64| balance.nodes.iter().map(part).sum::<f64>();
            prop_assert!((sum(|node| node.owned) - copies).abs() < 1e-6);
            prop_assert!((sum(|node| node.share) - copies).abs() < 1e-6);
            prop_assert!((sum(|node| node.primary) - 1.0).abs() < 1e-6);
            prop_assert!(balance.nodes.iter().all(|node| node.owned <= 1.0 + 1e-9 && node.share <= 1.0));
        }
    }
}

#[test]
fn with_as_many_nodes_as_replicas_everybody_holds_everything() {
    let weights = [1, 100, 10_000].map(|weight| NonZeroU32::new(weight).unwrap());
    let members = (1..)
        .zip(weights)
        .map(|(id, weight)| Member::new(NodeId(id)).with_weight(weight));
    let ring = PartitionRing::new(64, 3, members).unwrap();
    assert!((1..=3).all(|id| owned(&ring, NodeId(id)) == 64));
}

#[test]
fn equal_partitions_are_balanced_better_than_random_tokens() {
    let members: Vec<Member> = (1..=20).map(|id| Member::new(NodeId(id))).collect();
    let equal = Balance::of(&PartitionRing::new(1024, 3, members.clone()).unwrap());
    let random = Balance::of(&TokenRing::new(128, 3, members).unwrap());
    assert!(
        equal.peak() < 1.06 && equal.peak() < random.peak(),
        "{} {}",
        equal.peak(),
        random.peak()
    );
    assert_eq!(
        Balance::of(&PartitionRing::new(8, 3, []).unwrap()).peak(),
        0.0
    );
}
