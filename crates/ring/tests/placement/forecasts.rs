//! What is said of a change before it is made.

use std::collections::{BTreeMap, BTreeSet};

use dynamokv_ring::{
    Forecast, Member, NodeId, PartitionId, PartitionRing, Placement, Zone, diff, releases,
};
use proptest::prelude::*;

use crate::common::{mixed_members, owned};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_forecast_counts_what_a_plain_walk_over_both_rings_finds(
        before in mixed_members(1..12),
        after in mixed_members(1..12),
        replicas in 1usize..=4,
        kept in 0usize..12,
        from_nothing: bool,
    ) {
        // Some stay, with other weights and zones perhaps.
        let mut members: BTreeMap<NodeId, Member> =
            after.into_iter().map(|member| (member.id, member)).collect();
        members.extend(before.iter().take(kept).map(|member| (member.id, member.clone())));
        let current = PartitionRing::new(64, replicas, before).unwrap();
        let next = if from_nothing {
            PartitionRing::new(64, replicas, members.into_values()).unwrap()
        } else {
            current.next(replicas, members.into_values()).unwrap()
        };
        let forecast = Forecast::of(&current, &next).unwrap();
        prop_assert_eq!(&forecast.moves, &diff(&current, &next).unwrap());
        prop_assert_eq!(&forecast.releases, &releases(&current, &next).unwrap());
        let (gained, lost) = (forecast.gained(), forecast.lost());
        for id in current.members().iter().chain(next.members()).map(|member| member.id) {
            let of = |counts: &BTreeMap<NodeId, usize>| counts.get(&id).copied().unwrap_or(0);
            prop_assert_eq!(owned(&current, id) + of(&gained), owned(&next, id) + of(&lost));
        }
        let few = next.members().len() < replicas;
        prop_assert_eq!(forecast.short, if few { 64 } else { 0 });
        for partition in next.partition_ids() {
            let zones: Vec<&Zone> =
                next.owners_of(partition).iter().map(|id| &next.member(*id).unwrap().zone).collect();
            for zone in BTreeSet::from_iter(next.members().iter().map(|member| &member.zone)) {
                let copies = zones.iter().filter(|other| **other == zone).count();
                let crowded = forecast.crowded.get(zone).is_some_and(|of| of.contains(&partition));
                prop_assert_eq!(crowded, copies > 1);
            }
        }
        // A table from the one before holds everybody to its share, so it cannot do with less.
        prop_assert!(from_nothing || forecast.least <= forecast.moves.len());
    }

    #[test]
    fn without_zones_and_weights_the_least_is_what_a_table_from_the_one_before_moves(
        nodes in 3u64..20,
        gone in 0u64..3,
        come in 0u64..3,
    ) {
        let members = |ids: std::ops::Range<u64>| ids.map(|id| Member::new(NodeId(id)));
        let nobody = PartitionRing::new(256, 3, []).unwrap();
        let current = nobody.next(3, members(0..nodes)).unwrap();
        let next = current.next(3, members(gone..nodes + come)).unwrap();
        let forecast = Forecast::of(&current, &next).unwrap();
        // Each share may be rounded either way.
        let slack = next.members().len();
        prop_assert!(
            forecast.moves.len() <= forecast.least + slack,
            "{} for {}", forecast.moves.len(), forecast.least
        );
        prop_assert!(forecast.least <= forecast.moves.len());
    }
}

#[test]
fn zones_that_lie_too_close_are_named() {
    let member = |(id, zone): (u64, &str)| Member::new(NodeId(id)).with_zone(zone);
    let ring = |members: &[(u64, &str)]| {
        PartitionRing::new(8, 3, members.iter().copied().map(member)).unwrap()
    };
    let spread = ring(&[(1, "a"), (2, "b"), (3, "c"), (4, "c")]);
    assert!(Forecast::of(&spread, &spread).unwrap().crowded.is_empty());
    let without_b = ring(&[(1, "a"), (3, "c"), (4, "c")]);
    let forecast = Forecast::of(&spread, &without_b).unwrap();
    let all: BTreeSet<PartitionId> = (0..8).map(PartitionId).collect();
    assert_eq!(forecast.crowded, BTreeMap::from([(Zone::new("c"), all)]));
    let two = ring(&[(1, "a"), (3, "c")]);
    assert_eq!(Forecast::of(&spread, &two).unwrap().short, 8);
}

#[test]
fn a_change_of_nothing_forecasts_nothing() {
    let ring = PartitionRing::new(64, 3, (0..5).map(|id| Member::new(NodeId(id)))).unwrap();
    let forecast = Forecast::of(&ring, &ring).unwrap();
    assert_eq!((forecast.moves.len(), forecast.releases.len()), (0, 0));
    assert!(forecast.excess < 1.05, "{}", forecast.excess);
}
