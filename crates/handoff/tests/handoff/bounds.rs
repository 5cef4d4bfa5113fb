//! What is bounded: the markers of a target, and the age of what is held.

use std::sync::mpsc;

use dynamokv_handoff::{Held, Place, Shipment, Slice};
use dynamokv_ring::NodeId;
use dynamokv_storage::{Batch, Engine, Family, ObjectKey};
use proptest::prelude::*;

use crate::support::*;

const AWAY: NodeId = NodeId(2);
const ALSO_AWAY: NodeId = NodeId(3);

/// Markers on the disk, of both forms.
fn markers(holder: &Holder) -> usize {
    let snapshot = holder.disk.snapshot();
    let everything = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
    snapshot.range(&Family::HINTS, everything).unwrap().count()
}

fn with_hints(keys: usize, hints_max: u64) -> Holder {
    let holder = Holder::bounded(hints_max);
    for number in 0..keys {
        holder.hint(&numbered(number), &write(1, "v"), AWAY);
    }
    holder.sync();
    holder
}

/// `count` keys of one slice.
fn neighbours(count: usize) -> Vec<ObjectKey> {
    let slice = Slice::of(numbered(0).token());
    let beside = |key: &ObjectKey| Slice::of(key.token()) == slice;
    (0..).map(numbered).filter(beside).take(count).collect()
}

#[test]
fn beyond_the_bound_slices_are_held_and_everything_is_delivered_after_a_restart() {
    let holder = with_hints(300, 10).crash_keeping(0);
    let held = holder.log.held(AWAY).unwrap();
    assert_eq!(held.hints, 10);
    assert!(held.slices > 200 && markers(&holder) == 10 + held.slices);
    let mut sent = holder.deliver(AWAY, None);
    sent.sort();
    let mut all: Vec<ObjectKey> = (0..300).map(numbered).collect();
    all.sort();
    assert_eq!(sent, all);
    assert!(holder.log.held(AWAY).unwrap().is_empty());
    assert_eq!(markers(&holder), 0);
    for key in all {
        assert_eq!(holder.store.get(&key).unwrap(), None, "{key} is let go");
    }
}

#[test]
fn a_key_that_is_marked_already_needs_no_room() {
    let holder = with_hints(3, 3);
    holder.hint(&numbered(1), &write(2, "w"), AWAY);
    let held = holder.log.held(AWAY).unwrap();
    assert_eq!((held.hints, held.slices), (3, 0));
}

#[test]
fn there_is_room_again_after_a_delivery() {
    let holder = with_hints(3, 3);
    holder.deliver(AWAY, None);
    holder.hint(&numbered(7), &write(1, "v"), AWAY);
    let held = holder.log.held(AWAY).unwrap();
    assert_eq!((held.hints, held.slices), (1, 0));
}

#[test]
fn what_is_marked_in_a_slice_during_its_handover_is_handed_over_too() {
    let holder = with_hints(1, 1);
    let keys = neighbours(3);
    holder.hint(&keys[1], &write(1, "v"), AWAY);
    // The slice is on its way, and a key is written behind the reader's back.
    let slice = Slice::of(keys[1].token());
    let shipment = Shipment {
        target: AWAY,
        from: Some(Place::Slice { slice, after: None }),
    };
    let limits = limits(many(), many());
    let page = holder.log.batch(&shipment, &limits).unwrap();
    holder.hint(&keys[2], &write(1, "late"), AWAY);
    let accepted = vec![true; page.page.entries.len()];
    let outcome = holder.log.acknowledge(page.pending, &accepted, |_| false);
    assert_eq!(outcome.unwrap().left, 1, "the slice is not done with");
    assert!(holder.log.is_held_for(&keys[2], AWAY).unwrap());
    assert_eq!(
        holder.deliver(AWAY, None),
        [keys[0].clone(), keys[2].clone()]
    );
    assert!(!holder.log.is_held(&keys[2]).unwrap());
}

#[test]
fn a_page_is_filled_with_as_many_slices_as_it_has_room_for() {
    let holder = with_hints(301, 1);
    let held = holder.log.held(AWAY).unwrap();
    let (mut from, mut pages) = (None, 0);
    loop {
        let shipment = Shipment { target: AWAY, from };
        let page = holder.log.batch(&shipment, &limits(at_most(100), many()));
        let page = page.unwrap();
        assert!(page.page.entries.len() <= 100);
        pages += 1;
        let accepted = vec![true; page.page.entries.len()];
        let outcome = holder.log.acknowledge(page.pending, &accepted, |_| false);
        from = outcome.unwrap().next;
        if from.is_none() {
            break;
        }
    }
    assert!(held.slices > 200 && pages < 8, "{pages} pages");
    assert!(holder.log.held(AWAY).unwrap().is_empty());
}

#[test]
fn of_several_slices_the_one_with_a_refused_object_stays() {
    let holder = with_hints(4, 1);
    let first = holder.log.batch(
        &Shipment {
            target: AWAY,
            from: None,
        },
        &limits(many(), many()),
    );
    let pending = first.unwrap().pending;
    let from = pending.next().cloned();
    let shipment = Shipment { target: AWAY, from };
    let page = holder
        .log
        .batch(&shipment, &limits(many(), many()))
        .unwrap();
    assert_eq!(page.page.entries.len(), 3, "each of a slice of its own");
    let keys: Vec<ObjectKey> = page
        .page
        .entries
        .into_iter()
        .map(|entry| entry.key)
        .collect();
    let outcome = holder
        .log
        .acknowledge(page.pending, &[true, false, true], |_| false)
        .unwrap();
    assert_eq!((outcome.released, outcome.left), (2, 2));
    let held = |key| holder.log.is_held_for(key, AWAY).unwrap();
    assert_eq!(
        keys.iter().map(held).collect::<Vec<_>>(),
        [false, true, false]
    );
}

#[test]
fn a_refused_object_keeps_its_slice() {
    let holder = with_hints(2, 1);
    let slice = Slice::of(numbered(1).token());
    let shipment = Shipment {
        target: AWAY,
        from: Some(Place::Slice { slice, after: None }),
    };
    let page = holder
        .log
        .batch(&shipment, &limits(many(), many()))
        .unwrap();
    let outcome = holder.log.acknowledge(page.pending, &[false], |_| false);
    assert!(outcome.unwrap().left > 0);
    assert!(holder.log.is_held_for(&numbered(1), AWAY).unwrap());
    assert!(holder.store.get(&numbered(1)).unwrap().is_some());
}

#[test]
fn the_state_stays_while_its_slice_is_held_for_another_target() {
    let holder = with_hints(2, 1);
    let key = numbered(1);
    for other in [0, 1] {
        holder.hint(&numbered(other), &write(1, "v"), ALSO_AWAY);
    }
    holder.deliver(AWAY, None);
    assert!(holder.log.is_held_for(&key, ALSO_AWAY).unwrap());
    assert!(holder.store.get(&key).unwrap().is_some());
    holder.deliver(ALSO_AWAY, None);
    assert_eq!(holder.store.get(&key).unwrap(), None);
}

#[test]
fn the_oldest_is_known_across_a_restart_and_moves_on_with_the_deliveries() {
    let mut holder = Holder::bounded(2);
    for (number, now_ms) in [(0, 50), (1, 30), (2, 70)] {
        holder.hint_at(&numbered(number), &write(1, "v"), AWAY, now_ms);
    }
    for _ in 0..2 {
        let held = holder.log.held(AWAY).unwrap();
        let expected = Held {
            hints: 2,
            slices: 1,
            oldest_ms: Some(30),
        };
        assert_eq!(held, expected);
        holder = holder.restart();
    }
    // Only what is old enough goes; a later mark of the same key makes it no younger.
    holder.hint_at(&numbered(1), &write(2, "w"), AWAY, 90);
    assert_eq!(holder.deliver(AWAY, Some(40)), [numbered(1)]);
    assert_eq!(holder.deliver(AWAY, Some(40)), []);
    assert_eq!(holder.log.oldest_ms(AWAY), Some(50));
    assert_eq!(holder.deliver(AWAY, Some(60)), [numbered(0)]);
    assert_eq!(holder.deliver(AWAY, Some(70)), []);
    assert_eq!(holder.deliver(AWAY, Some(71)), [numbered(2)]);
    assert_eq!(holder.log.oldest_ms(AWAY), None);
}

#[test]
fn a_writer_at_work_loses_nothing_to_a_handover_that_overtakes_it() {
    let holder = with_hints(1, 1);
    let keys = neighbours(3);
    holder.hint(&keys[1], &write(1, "v"), AWAY);
    let (at_work, is_at_work) = mpsc::channel();
    let sent = std::thread::scope(|scope| {
        scope.spawn(|| {
            let marks = |batch: &mut Batch| {
                holder.log.mark(batch, &keys[2], AWAY, 0);
                // Noted, and not yet visible: time enough for a whole handover, if it did not wait.
                at_work.send(()).unwrap();
                std::thread::sleep(ms(50));
            };
            holder
                .store
                .join(&keys[2], &write(1, "late"), marks)
                .unwrap();
        });
        is_at_work.recv().unwrap();
        holder.deliver(AWAY, None)
    });
    assert!(sent.contains(&keys[2]) || holder.log.is_held_for(&keys[2], AWAY).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However much is held, markers stay within the bound and the number of slices; the most is as much as was written.
    #[test]
    fn markers_are_bounded(
        keys in prop::collection::vec(0_usize..5_000, 1..200),
        hints_max in 1_u64..50,
    ) {
        let holder = Holder::bounded(hints_max);
        for key in &keys {
            holder.hint(&numbered(*key), &write(1, "v"), AWAY);
        }
        let held = holder.log.held(AWAY).unwrap();
        prop_assert!(held.hints <= hints_max && held.slices <= Slice::COUNT);
        prop_assert_eq!(markers(&holder), held.hints as usize + held.slices);
        for key in keys {
            prop_assert!(holder.log.is_held_for(&numbered(key), AWAY).unwrap());
        }
    }
}
