//! What holds for every list of either placement.

use std::collections::{BTreeMap, BTreeSet};

use dynamokv_ring::{Error, Member, NodeId, PartitionRing, Token, TokenRing, Zone};
use proptest::prelude::*;

use crate::common::{mixed_members, placements};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_order_of_the_members_does_not_matter(
        (members, shuffled) in mixed_members(0..30).prop_flat_map(|members| (Just(members.clone()), Just(members).prop_shuffle())),
        bits in 0u32..=8,
        replicas in 1usize..=6,
    ) {
        let ring = |members| PartitionRing::new(1 << bits, replicas, members).unwrap();
        prop_assert_eq!(ring(members.clone()), ring(shuffled.clone()));
        let ring = |members| TokenRing::new(8, replicas, members).unwrap();
        prop_assert_eq!(ring(members), ring(shuffled));
    }

    #[test]
    fn a_list_has_as_many_distinct_members_as_are_wanted_and_there(
        members in mixed_members(0..30),
        bits in 0u32..=8,
        replicas in 1usize..=16,
    ) {
        for placement in placements(bits, replicas, &members) {
            prop_assert_eq!(placement.replicas_wanted(), replicas);
            for partition in placement.partition_ids() {
                let owners = placement.owners_of(partition);
                prop_assert_eq!(owners.len(), replicas.min(members.len()));
                prop_assert!(owners.iter().all(|&owner| placement.contains(owner)));
                let distinct: BTreeSet<&NodeId> = owners.iter().collect();
                prop_assert_eq!(distinct.len(), owners.len());
            }
        }
    }

    #[test]
    fn a_ranking_has_every_member_once_and_the_owners_first(
        members in mixed_members(0..20),
        bits in 0u32..=5,
        replicas in 1usize..=5,
        token: u64,
    ) {
        for placement in placements(bits, replicas, &members) {
            let ranking = placement.ranking(Token(token));
            let owners = placement.owners(Token(token));
            prop_assert_eq!(&ranking[..owners.len()], owners);
            let mut sorted = ranking;
            sorted.sort_unstable();
            let all: Vec<NodeId> = members.iter().map(|member| member.id).collect();
            prop_assert_eq!(sorted, all);
        }
    }

    #[test]
    fn replicas_sit_in_distinct_zones_where_there_are_enough_and_are_dealt_evenly_otherwise(
        members in mixed_members(1..30),
        bits in 0u32..=8,
        replicas in 1usize..=8,
    ) {
        let mut sizes: BTreeMap<&Zone, usize> = BTreeMap::new();
        for member in &members {
            *sizes.entry(&member.zone).or_default() += 1;
        }
        for placement in placements(bits, replicas, &members) {
            for partition in placement.partition_ids() {
                let mut copies: BTreeMap<&Zone, usize> = sizes.keys().map(|&zone| (zone, 0)).collect();
                for &owner in placement.owners_of(partition) {
                    *copies.entry(&placement.member(owner).unwrap().zone).or_default() += 1;
                }
                if sizes.len() >= replicas {
                    prop_assert!(copies.values().all(|&count| count <= 1));
                }
                let most = copies.values().max().unwrap();
                for (zone, count) in &copies {
                    prop_assert!(most <= &(count + 1) || *count == sizes[zone]);
                }
            }
        }
    }

    #[test]
    fn partitions_tile_the_tokens(members in mixed_members(0..10), bits in 0u32..=8, token: u64) {
        for placement in placements(bits, 3, &members) {
            let mut next = Some(0u64);
            for partition in placement.partition_ids() {
                let range = placement.range_of(partition);
                prop_assert_eq!(Some(range.first.0), next);
                prop_assert!(range.first <= range.last);
                for edge in [range.first, range.last] {
                    prop_assert_eq!(placement.partition_of(edge), partition);
                }
                next = range.last.0.checked_add(1);
            }
            prop_assert_eq!(next, None);
            let partition = placement.partition_of(Token(token));
            prop_assert!(placement.range_of(partition).contains(Token(token)));
            prop_assert_eq!(placement.owners(Token(token)), placement.owners_of(partition));
        }
    }

    #[test]
    fn the_fingerprint_tells_any_difference(
        members in mixed_members(1..10),
        bits in 0u32..=4,
        replicas in 1usize..=4,
        at: prop::sample::Index,
    ) {
        let variants = |bits, replicas, members: &[Member]| {
            placements(bits, replicas, members).map(|placement| placement.fingerprint())
        };
        let changed = |change: fn(Member) -> Member| {
            let mut members = members.clone();
            let member = at.get(&members).clone();
            let place = at.index(members.len());
            members[place] = change(member);
            members
        };
        let heavier = changed(|m| { let weight = m.weight.saturating_add(1); m.with_weight(weight) });
        let elsewhere = changed(|m| { let zone = format!("{}'", m.zone); m.with_zone(zone) });
        let renamed = changed(|m| Member { id: NodeId(m.id.0 ^ 1 << 63), ..m });
        let mut fewer = members.clone();
        fewer.remove(at.index(members.len()));
        let mut seen: Vec<u64> = Vec::new();
        for members in [&members, &heavier, &elsewhere, &renamed, &fewer] {
            seen.extend(variants(bits, replicas, members));
        }
        seen.extend(variants(bits, replicas + 1, &members));
        seen.push(variants(bits + 1, replicas, &members)[0]);
        let distinct: BTreeSet<u64> = seen.iter().copied().collect();
        prop_assert_eq!(distinct.len(), seen.len());
        prop_assert_eq!(&variants(bits, replicas, &members), &seen[..3]);
    }
}

#[test]
fn without_members_nobody_owns_anything() {
    for placement in placements(3, 3, &[]) {
        assert_eq!(placement.owners(Token(7)), []);
        assert_eq!(placement.ranking(Token(7)), []);
        assert_eq!(placement.members(), []);
        assert!(!placement.contains(NodeId(1)));
    }
}

#[test]
fn a_partition_that_does_not_exist_has_no_owners() {
    for placement in placements(3, 3, &[Member::new(NodeId(1)), Member::new(NodeId(2))]) {
        let beyond = dynamokv_ring::PartitionId(placement.partitions());
        assert_eq!(placement.owners_of(beyond), []);
        assert_eq!(
            placement.owners_of(dynamokv_ring::PartitionId(u32::MAX)),
            []
        );
        assert_eq!(placement.range_of(beyond).last, Token::MAX);
        assert_eq!(placement.ranking_of(beyond).len(), 2);
    }
}

#[test]
fn bad_input_is_refused_with_the_field_and_the_limit() {
    let twice = [
        Member::new(NodeId(5)),
        Member::new(NodeId(6)),
        Member::new(NodeId(5)).with_zone("b"),
    ];
    for partitions in [0, 3, 100, 1 << 17, u32::MAX] {
        let refused = PartitionRing::new(partitions, 3, []).unwrap_err();
        assert_eq!(refused, Error::Partitions { given: partitions });
        assert!(
            refused.to_string().contains("power of two, 1..=65536"),
            "{refused}"
        );
    }
    for replicas in [0, 17, usize::MAX] {
        let refused = PartitionRing::new(8, replicas, []).unwrap_err();
        assert_eq!(refused, Error::Replicas { given: replicas });
        assert!(refused.to_string().contains("1..=16"), "{refused}");
        assert_eq!(TokenRing::new(8, replicas, []).unwrap_err(), refused);
    }
    let refused = PartitionRing::new(8, 3, twice.clone()).unwrap_err();
    assert_eq!(refused, Error::DuplicateMember { id: NodeId(5) });
    assert_eq!(TokenRing::new(8, 3, twice).unwrap_err(), refused);
    assert_eq!(
        TokenRing::new(0, 3, []).unwrap_err(),
        Error::Tokens {
            vnodes: 0,
            tokens: 0
        }
    );
    let heavy = Member::new(NodeId(1)).with_weight(std::num::NonZeroU32::MAX);
    assert!(matches!(
        TokenRing::new(u32::MAX, 3, [heavy]),
        Err(Error::Tokens { .. })
    ));
}
