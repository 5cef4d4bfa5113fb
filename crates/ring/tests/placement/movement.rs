//! How little a change of membership moves.

use dynamokv_ring::{Member, NodeId, PartitionRing, Placement, Token, TokenRing, diff};
use proptest::prelude::*;

use crate::common::{equal_members, mixed_members, owned};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_join_or_leave_moves_little_more_than_the_joining_or_leaving_node_holds(
        members in equal_members(4..40),
        at: prop::sample::Index,
    ) {
        let one = at.get(&members).id;
        let rest = members.iter().filter(|member| member.id != one).cloned();
        let without = PartitionRing::new(1024, 3, rest).unwrap();
        let with = PartitionRing::new(1024, 3, members.clone()).unwrap();

        let least = owned(&with, one);
        let fair = 3 * 1024 / members.len();
        prop_assert!(least.abs_diff(fair) * 10 <= fair * 3, "{} for {}", least, fair);
        for (current, next) in [(&without, &with), (&with, &without)] {
            let moved = diff(current, next).unwrap().len();
            prop_assert!(moved <= least + least / 2, "{} for {}", moved, least);
        }
        // A list that had nothing to do with the node changes only where the bound on the load asks for it.
        let others = with.partition_ids().filter(|&partition| {
            let set = |ring: &PartitionRing| {
                let mut owners = ring.owners_of(partition).to_vec();
                owners.sort_unstable();
                owners
            };
            !with.owns(one, partition) && set(&with) != set(&without)
        });
        prop_assert!(others.count() <= least / 2);
    }

    #[test]
    fn weights_and_zones_do_not_let_a_change_avalanche(
        members in mixed_members(5..40),
        at: prop::sample::Index,
    ) {
        let one = at.get(&members).clone();
        let rest = members.iter().filter(|member| member.id != one.id).cloned();
        let without = PartitionRing::new(1024, 3, rest).unwrap();
        let with = PartitionRing::new(1024, 3, members.clone()).unwrap();
        let moved = diff(&without, &with).unwrap().len();
        // Shares shift between the zones as well: an eighth of all replicas is more than that ever takes.
        let bound = 2 * owned(&with, one.id) + 3 * 1024 / 8;
        prop_assert!(moved <= bound, "{} for {}", moved, owned(&with, one.id));
    }

    #[test]
    fn on_the_classic_ring_only_the_lists_of_the_node_itself_change(
        members in equal_members(2..20),
        at: prop::sample::Index,
        tokens in prop::collection::vec(any::<u64>(), 100),
    ) {
        let one = at.get(&members).id;
        let rest = members.iter().filter(|member| member.id != one).cloned();
        let without = TokenRing::new(16, 3, rest).unwrap();
        let with = TokenRing::new(16, 3, members.clone()).unwrap();
        for token in tokens.into_iter().map(Token) {
            let ranking = with.ranking(token).into_iter().filter(|&id| id != one);
            prop_assert_eq!(ranking.collect::<Vec<NodeId>>(), without.ranking(token));
        }
    }
}

#[test]
fn growing_node_by_node_moves_close_to_the_least_on_the_whole() {
    let ring = |nodes: u64| {
        PartitionRing::new(1024, 3, (1..=nodes).map(|id| Member::new(NodeId(id)))).unwrap()
    };
    let (mut moved, mut least) = (0, 0);
    for nodes in 3..24 {
        let (current, next) = (ring(nodes), ring(nodes + 1));
        moved += diff(&current, &next).unwrap().len();
        least += owned(&next, NodeId(nodes + 1));
    }
    assert!(moved * 100 <= least * 105, "{moved} for {least}");
}
