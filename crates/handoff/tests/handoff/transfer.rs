//! The transfer schedule in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Instant;

use dynamokv_handoff::{Gain, Positions, Progress, Pull, Stream, Transfer, TransferConfig};
use dynamokv_ring::{NodeId, PartitionId};
use proptest::prelude::*;

use crate::support::*;

const P: PartitionId = PartitionId(5);

fn config() -> TransferConfig {
    TransferConfig {
        partitions_max: at_most(2),
        page_bytes: at_most(100),
        bytes_per_second: NonZeroU64::MAX,
        backoff_min: ms(100),
        backoff_max: ms(1_000),
    }
}

/// A gain that needs `needed` of the sources.
fn gain(partition: PartitionId, sources: &[u64], needed: usize) -> Gain {
    let sources: Vec<NodeId> = sources.iter().copied().map(NodeId).collect();
    let write_quorum = NonZeroUsize::new(sources.len() + 1 - needed).unwrap();
    Gain::of_quorum(partition, &sources, write_quorum, &BTreeSet::new())
}

fn pull(source: u64, after: Option<&str>) -> Option<Pull> {
    Some(Pull {
        partition: P,
        source: NodeId(source),
        after: after.map(key),
    })
}

#[test]
fn a_partition_is_complete_when_its_replaced_owner_was_read_to_the_end() {
    let now = Instant::now();
    let mut transfer = Transfer::new(config(), [Gain::of_replaced(P, NodeId(1))]);
    assert_eq!(transfer.poll(now), pull(1, None));
    assert_eq!(
        transfer.poll(now),
        None,
        "a partition is read by one page at a time"
    );
    assert!(!transfer.on_page(P, NodeId(1), Some(key("m")), 7, 70, now));
    assert_eq!(transfer.poll(now), pull(1, Some("m")));
    assert!(!transfer.is_complete());
    assert!(transfer.on_page(P, NodeId(1), None, 3, 30, now));
    assert!(transfer.is_complete());
    assert_eq!(
        (transfer.poll(now), transfer.next_wakeup(now)),
        (None, None)
    );
    let expected = Progress {
        partitions: 1,
        complete: 1,
        items: 10,
        bytes: 100,
        bytes_per_second: 100_000,
        ..Progress::default()
    };
    assert_eq!(transfer.progress(), expected);
}

#[test]
fn a_replaced_owner_is_waited_for_and_resumed_where_it_stopped() {
    let mut now = Instant::now();
    let mut transfer = Transfer::new(config(), [Gain::of_replaced(P, NodeId(1))]);
    transfer.poll(now);
    transfer.on_page(P, NodeId(1), Some(key("m")), 1, 1, now);
    for wait in [100, 200, 400, 800, 1_000, 1_000] {
        assert_eq!(transfer.poll(now), pull(1, Some("m")));
        transfer.on_failed(P, NodeId(1), now);
        assert_eq!(
            (transfer.poll(now), transfer.next_wakeup(now)),
            (None, Some(now + ms(wait)))
        );
        now += ms(wait);
    }
    assert_eq!(transfer.progress().failures, 6);
}

#[test]
fn a_failing_source_gives_way_to_another_and_is_resumed_if_it_is_needed() {
    let now = Instant::now();
    let mut transfer = Transfer::new(config(), [gain(P, &[1, 2, 3], 2)]);
    assert_eq!(transfer.poll(now), pull(1, None));
    transfer.on_page(P, NodeId(1), Some(key("m")), 1, 1, now);
    transfer.poll(now);
    transfer.on_failed(P, NodeId(1), now);
    assert_eq!(transfer.poll(now), pull(2, None));
    assert!(!transfer.on_page(P, NodeId(2), None, 1, 1, now));
    assert_eq!(transfer.poll(now), pull(3, None));
    transfer.on_failed(P, NodeId(3), now);
    assert_eq!(transfer.poll(now), None);
    assert_eq!(transfer.poll(now + ms(100)), pull(1, Some("m")));
    assert!(transfer.on_page(P, NodeId(1), None, 1, 1, now));
}

#[test]
fn a_partition_whose_sources_all_fail_does_not_hold_up_another() {
    let now = Instant::now();
    let other = PartitionId(6);
    let one = TransferConfig {
        partitions_max: at_most(1),
        ..config()
    };
    let mut transfer = Transfer::new(one, [gain(P, &[1], 1), gain(other, &[1], 1)]);
    assert_eq!(transfer.poll(now), pull(1, None));
    transfer.on_failed(P, NodeId(1), now);
    assert_eq!(transfer.poll(now).map(|pull| pull.partition), Some(other));
}

#[test]
fn a_transfer_of_nothing_is_complete() {
    let mut transfer = Transfer::new(config(), [gain(P, &[], 0)]);
    assert!(transfer.is_complete());
    assert_eq!(transfer.poll(Instant::now()), None);
    assert!(Transfer::new(config(), []).is_complete());
}

#[test]
fn a_report_that_nobody_waits_for_changes_nothing() {
    let now = Instant::now();
    let mut transfer = Transfer::new(config(), [gain(P, &[1, 2], 1)]);
    assert!(!transfer.on_page(P, NodeId(1), None, 1, 1, now));
    transfer.poll(now);
    assert!(
        !transfer.on_page(P, NodeId(2), None, 1, 1, now),
        "node 1 was asked"
    );
    transfer.on_failed(PartitionId(9), NodeId(1), now);
    assert_eq!(
        transfer.progress(),
        Progress {
            partitions: 1,
            under_way: 1,
            ..Progress::default()
        }
    );
}

#[test]
fn the_rate_is_kept_by_the_true_size_of_the_pages() {
    let begin = Instant::now();
    let mut now = begin;
    let bytes_per_second = NonZeroU64::new(1_000).unwrap();
    let slow = TransferConfig {
        bytes_per_second,
        ..config()
    };
    let mut transfer = Transfer::new(slow, [gain(P, &[1], 1)]);
    // Smaller and larger than a page should be.
    for bytes in [50, 400, 100, 100] {
        assert_eq!(transfer.next_wakeup(now), Some(now));
        assert!(transfer.poll(now).is_some());
        transfer.on_page(P, NodeId(1), Some(key("m")), 1, bytes, now);
        now = transfer.next_wakeup(now).unwrap();
    }
    assert_eq!(now - begin, ms(650));
}

#[test]
fn a_transfer_goes_on_where_the_one_before_was_and_pulls_nothing_twice() {
    let now = Instant::now();
    let gains = || [gain(P, &[1, 2, 3], 2), gain(PartitionId(6), &[1], 1)];
    let mut first = Transfer::new(config(), gains());
    first.poll(now);
    first.on_page(P, NodeId(1), None, 1, 1, now);
    first.poll(now);
    first.on_page(P, NodeId(2), Some(key("m")), 1, 1, now);
    let positions = first.positions(P);
    assert_eq!(first.positions(PartitionId(6)), Positions::default());

    let mut second = Transfer::new(config(), gains());
    second.resume(P, &positions);
    second.resume(PartitionId(9), &positions);
    assert_eq!(second.positions(P), positions);
    assert_eq!(second.progress().complete, 0);
    assert_eq!(second.poll(now), pull(2, Some("m")));
    assert!(second.on_page(P, NodeId(2), None, 1, 1, now));

    // All that is there already is nothing to pull.
    let mut third = Transfer::new(config(), gains());
    third.resume(P, &second.positions(P));
    assert_eq!(third.progress().complete, 1);
    assert_eq!(
        third.poll(now).map(|pull| pull.partition),
        Some(PartitionId(6))
    );
    // A source that is none any more counts for nothing.
    let mut fourth = Transfer::new(config(), [gain(P, &[2, 3], 2)]);
    fourth.resume(P, &second.positions(P));
    assert_eq!(fourth.progress().complete, 0);
    assert_eq!(fourth.poll(now), pull(3, None));
}

#[test]
fn what_is_on_its_way_and_what_fails_is_shown() {
    let now = Instant::now();
    let mut transfer = Transfer::new(config(), [gain(P, &[1], 1), gain(PartitionId(6), &[1], 1)]);
    assert_eq!(transfer.streams(9), []);
    transfer.poll(now);
    transfer.on_page(P, NodeId(1), Some(key("m")), 3, 70, now);
    transfer.poll(now);
    let shown = Stream {
        partition: P,
        source: NodeId(1),
        under_way: true,
        items: 3,
        bytes: 70,
        failures: 0,
    };
    assert_eq!(transfer.streams(9), [shown]);
    transfer.on_failed(P, NodeId(1), now);
    let failed = Stream {
        under_way: false,
        failures: 1,
        ..shown
    };
    assert_eq!(transfer.streams(9), [failed]);
    assert_eq!(transfer.streams(0), []);
}

/// What a source does with each pull in turn: a page of so many objects, or a failure.
type Script = Vec<Option<usize>>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever fails in between, whenever the node restarts, and in whatever order the answers come: never more than K pulls, each source is read in
    /// order and from where it stopped, and a partition is complete exactly when enough sources were read to the end.
    #[test]
    fn every_partition_is_read_to_the_end_of_enough_sources(
        partitions in prop::collection::vec((prop::collection::vec(1_usize..5, 1..4), 0_usize..3), 0..8),
        script in prop::collection::vec(prop::option::weighted(0.6, 0_usize..9), 0..60),
        partitions_max in 1_usize..4,
        restarts in prop::collection::vec(0_u8..9, 0..60),
        order in any::<prop::sample::Index>(),
    ) {
        let sizes: BTreeMap<(PartitionId, NodeId), usize> = (0..).zip(&partitions)
            .flat_map(|(id, (sizes, _))| (1..).zip(sizes).map(move |(node, size)| ((PartitionId(id), NodeId(node)), *size)))
            .collect();
        let gains: Vec<Gain> = (0..).zip(&partitions).map(|(id, (sizes, needed))| {
            let sources: Vec<u64> = (1..).take(sizes.len()).collect();
            gain(PartitionId(id), &sources, 1 + needed % sizes.len())
        }).collect();
        let needed: BTreeMap<PartitionId, usize> =
            gains.iter().map(|gain| (gain.partition(), gain.needed())).collect();

        let begin = || Transfer::new(
            TransferConfig { partitions_max: at_most(partitions_max), ..config() },
            gains.clone(),
        );
        let mut transfer = begin();
        // As a node keeps them on its disk.
        let mut kept: BTreeMap<PartitionId, Positions> = BTreeMap::new();
        let mut now = Instant::now();
        let (mut script, mut restarts): (Script, Vec<u8>) = (script, restarts);
        let mut read: BTreeMap<(PartitionId, NodeId), usize> = BTreeMap::new();
        let mut under_way: Vec<Pull> = Vec::new();
        for _ in 0..1_000 {
            let promised = transfer.next_wakeup(now);
            let pulled = transfer.poll(now);
            prop_assert_eq!(promised == Some(now), pulled.is_some());
            if let Some(pull) = pulled {
                prop_assert!(under_way.iter().all(|other| other.partition != pull.partition));
                let position = read.get(&(pull.partition, pull.source)).map(|at| numbered(*at));
                prop_assert_eq!(&pull.after, &position);
                under_way.push(pull);
                prop_assert!(under_way.len() <= partitions_max);
                continue;
            }
            if under_way.is_empty() {
                match promised {
                    Some(at) => now = at,
                    None => break,
                }
                continue;
            }
            let Pull { partition, source, .. } = under_way.swap_remove(order.index(under_way.len()));
            if restarts.pop() == Some(0) {
                transfer = begin();
                kept.iter().for_each(|(partition, positions)| transfer.resume(*partition, positions));
                under_way.clear();
                continue;
            }
            // The script done, everything succeeds.
            let Some(pages) = script.pop().unwrap_or(Some(8)) else {
                transfer.on_failed(partition, source, now);
                continue;
            };
            let size = sizes[&(partition, source)];
            let at = read.entry((partition, source)).or_default();
            *at = (*at + 1 + pages % 3).min(size);
            let next = (*at < size).then(|| numbered(*at));
            let complete = transfer.on_page(partition, source, next, 1, 1, now);
            kept.insert(partition, transfer.positions(partition));
            let full = sizes.keys().filter(|id| id.0 == partition && read.get(id) == sizes.get(id)).count();
            prop_assert_eq!(complete, full == needed[&partition]);
        }
        prop_assert!(transfer.is_complete());
        prop_assert!(under_way.is_empty());
        for (partition, needed) in needed {
            let full = sizes.keys().filter(|id| id.0 == partition && read.get(id) == sizes.get(id)).count();
            prop_assert_eq!(full, needed);
        }
    }
}
