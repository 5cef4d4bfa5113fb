//! Hint, recovery, replay, batches.

use dynamokv_handoff::Delivered;
use dynamokv_ring::NodeId;
use dynamokv_storage::{Batch, Engine, Failing, Family, FaultPoint, ObjectKey, StateHash};
use proptest::prelude::*;

use crate::support::*;

const AWAY: NodeId = NodeId(2);
const ALSO_AWAY: NodeId = NodeId(3);

const OWNED: fn(&ObjectKey) -> bool = |_| true;
const FOREIGN: fn(&ObjectKey) -> bool = |_| false;

fn hash_of(holder: &Holder, key: &ObjectKey) -> StateHash {
    StateHash::of(key, &holder.store.get(key).unwrap().unwrap())
}

fn corrupt_record(holder: &Holder, key: &ObjectKey) {
    let mut batch = Batch::new();
    batch.put(&Family::OBJECTS, key.encode(), "no record");
    holder.disk.write(batch).unwrap();
}

#[test]
fn a_hint_is_never_removed_before_its_delivery_was_acknowledged() {
    let mut holder = Holder::new();
    holder.hint(&key("a"), &write(1, "1"), AWAY);
    holder.sync();

    // Sent, and the delivery fails: whoever read the hint does not have it alone.
    assert_eq!(holder.all(AWAY).page.entries.len(), 1);
    assert_eq!(holder.count(AWAY), 1);
    holder = holder.crash_keeping(0);
    assert_eq!(holder.log.targets(), [AWAY]);
    assert_eq!(
        holder.log.take_marked(),
        [AWAY],
        "the deliveries resume after a restart"
    );

    // Sent again, and answered.
    let batch = holder.all(AWAY);
    assert_eq!(batch.page.entries[0].state, write(1, "1"));
    let outcome = holder
        .log
        .acknowledge(batch.pending, &[true], FOREIGN)
        .unwrap();
    assert_eq!(
        outcome,
        Delivered {
            released: 1,
            left: 0,
            next: None
        }
    );
    assert_eq!(holder.count(AWAY), 0);
    assert_eq!(holder.store.get(&key("a")).unwrap(), None);
}

#[test]
fn an_entry_that_was_refused_or_not_answered_stays() {
    let holder = Holder::new();
    for number in 0..3 {
        holder.hint(&numbered(number), &write(1, "v"), AWAY);
    }
    let batch = holder.all(AWAY);
    let order: Vec<_> = batch
        .pending
        .hints()
        .iter()
        .map(|(key, _)| key.clone())
        .collect();
    let outcome = holder
        .log
        .acknowledge(batch.pending, &[true, false], FOREIGN)
        .unwrap();
    assert_eq!(
        outcome,
        Delivered {
            released: 1,
            left: 2,
            next: None
        }
    );
    let marked: Vec<_> = order
        .iter()
        .map(|key| holder.log.is_marked_for(key, AWAY).unwrap())
        .collect();
    assert_eq!(marked, [false, true, true]);
}

#[test]
fn several_hints_of_a_key_fold_into_one() {
    let holder = Holder::new();
    let mut all = write(1, "1");
    for counter in 1..=5 {
        let delta = write(counter, &counter.to_string());
        holder.hint(&key("a"), &delta, AWAY);
        all.join_ref(&delta);
    }
    assert_eq!(holder.count(AWAY), 1);
    let page = holder.all(AWAY).page;
    assert_eq!(page.entries.len(), 1);
    assert_eq!(page.entries[0].state, all);
}

#[test]
fn a_marker_stays_when_the_state_is_not_the_one_that_was_acknowledged() {
    let holder = Holder::new();
    holder.hint(&key("a"), &write(1, "1"), AWAY);
    let batch = holder.all(AWAY);
    holder.hint(&key("a"), &write(2, "2"), AWAY);
    let outcome = holder
        .log
        .acknowledge(batch.pending, &[true], FOREIGN)
        .unwrap();
    assert_eq!(
        outcome,
        Delivered {
            released: 0,
            left: 1,
            next: None
        }
    );
    assert_eq!(holder.count(AWAY), 1);
    assert_eq!(holder.store.get(&key("a")).unwrap().unwrap().len(), 2);
}

#[test]
fn the_state_goes_with_the_last_marker() {
    let holder = Holder::new();
    let a = key("a");
    holder.hint(&a, &write(1, "1"), AWAY);
    holder.hint(&a, &write(1, "1"), ALSO_AWAY);
    let hash = hash_of(&holder, &a);

    let first = holder.log.release(&a, AWAY, hash, FOREIGN).unwrap();
    assert!(first.marker_removed);
    assert_eq!(first.state_dropped, None);
    assert!(holder.log.is_marked(&a).unwrap());

    let last = holder.log.release(&a, ALSO_AWAY, hash, FOREIGN).unwrap();
    assert!(last.marker_removed);
    assert_eq!(last.state_dropped, Some(hash));
    assert!(!holder.log.is_marked(&a).unwrap());
    assert_eq!(holder.store.get(&a).unwrap(), None);
}

#[test]
fn the_state_of_an_owned_key_stays() {
    let holder = Holder::new();
    let a = key("a");
    holder.hint(&a, &write(1, "1"), AWAY);
    let hash = hash_of(&holder, &a);
    let released = holder.log.release(&a, AWAY, hash, OWNED).unwrap();
    assert!(released.marker_removed);
    assert_eq!(released.state_dropped, None);
    assert_eq!(holder.store.get(&a).unwrap(), Some(write(1, "1")));

    // A second answer to the same delivery finds no marker and must not touch what is left.
    let again = holder.log.release(&a, AWAY, hash, FOREIGN).unwrap();
    assert!(!again.marker_removed);
    assert_eq!(holder.store.get(&a).unwrap(), Some(write(1, "1")));
}

#[test]
fn a_failed_write_lets_nothing_go() {
    let holder = Holder::new();
    let a = key("a");
    holder.hint(&a, &write(1, "1"), AWAY);
    holder.disk.fail(FaultPoint::Write, Failing::Next(1));
    assert!(
        holder
            .log
            .release(&a, AWAY, hash_of(&holder, &a), FOREIGN)
            .is_err()
    );
    assert_eq!(
        (holder.count(AWAY), holder.store.get(&a).unwrap().is_some()),
        (1, true)
    );
}

#[test]
fn a_marker_whose_state_is_gone_is_removed() {
    let holder = Holder::new();
    let a = key("a");
    holder.hint(&a, &write(1, "1"), AWAY);
    holder
        .store
        .settle(&a, |_, settle| settle.drop_record())
        .unwrap();
    assert_eq!(holder.all(AWAY).page.entries, []);
    assert_eq!(holder.count(AWAY), 0);
}

#[test]
fn a_damaged_record_keeps_its_marker_and_does_not_hold_up_the_others() {
    let holder = Holder::new();
    for name in ["a", "b", "c"] {
        holder.hint(&key(name), &write(1, name), AWAY);
    }
    corrupt_record(&holder, &key("b"));
    let batch = holder.all(AWAY);
    assert_eq!((batch.page.entries.len(), batch.pending.damaged()), (2, 1));
    let outcome = holder
        .log
        .acknowledge(batch.pending, &[true, true], FOREIGN)
        .unwrap();
    assert_eq!(
        outcome,
        Delivered {
            released: 2,
            left: 1,
            next: None
        }
    );
    assert!(holder.log.is_marked_for(&key("b"), AWAY).unwrap());

    // Mended from another replica, it is delivered as any other.
    holder
        .store
        .join(&key("b"), &write(1, "b"), |_| ())
        .unwrap();
    assert_eq!(holder.all(AWAY).page.entries[0].key, key("b"));
}

#[test]
fn a_record_that_is_damaged_after_it_was_sent_keeps_its_marker() {
    let holder = Holder::new();
    holder.hint(&key("a"), &write(1, "1"), AWAY);
    let batch = holder.all(AWAY);
    corrupt_record(&holder, &key("a"));
    let outcome = holder
        .log
        .acknowledge(batch.pending, &[true], FOREIGN)
        .unwrap();
    assert_eq!((outcome.released, outcome.left), (0, 1));
    assert_eq!(holder.count(AWAY), 1);
}

#[test]
fn unreadable_markers_are_reported_and_left_alone() {
    let holder = Holder::new();
    let mut batch = Batch::new();
    batch.put(&Family::HINTS, "short", "");
    batch.put(
        &Family::HINTS,
        [AWAY.0.to_be_bytes().as_slice(), b"no key"].concat(),
        "",
    );
    holder.disk.write(batch).unwrap();
    holder.hint(&key("a"), &write(1, "1"), AWAY);
    holder.sync();

    let holder = holder.crash_keeping(0);
    assert_eq!(holder.log.targets(), [AWAY]);
    let batch = holder.all(AWAY);
    assert_eq!((batch.page.entries.len(), batch.pending.damaged()), (1, 1));
    assert_eq!(holder.count(AWAY), 2);
}

#[test]
fn targets_are_found_again_at_both_ends_of_the_ids() {
    let holder = Holder::new();
    let ids = [NodeId(0), NodeId(1), NodeId(u64::MAX - 1), NodeId(u64::MAX)];
    for (number, target) in ids.into_iter().enumerate() {
        for other in 0..=number {
            holder.hint(&numbered(other), &write(1, "v"), target);
        }
    }
    holder.sync();
    let holder = holder.crash_keeping(0);
    assert_eq!(holder.log.targets(), ids);
    let counts = ids.map(|target| holder.count(target));
    assert_eq!(counts, [1, 2, 3, 4]);
    for target in ids {
        assert_eq!(
            holder.all(target).page.entries.len() as u64,
            holder.count(target)
        );
    }
}

#[test]
fn once_all_is_handed_over_nobody_looks_for_markers() {
    let holder = Holder::new();
    let (a, b) = (key("a"), key("b"));
    holder.hint(&a, &write(1, "1"), AWAY);
    holder.hint(&b, &write(1, "1"), ALSO_AWAY);
    holder.deliver(AWAY, None);
    assert!(
        holder.log.retarget(&b, ALSO_AWAY, &[AWAY], 0).unwrap()
            && holder.log.is_marked(&b).unwrap()
    );
    holder.deliver(AWAY, None);

    holder.disk.fail(FaultPoint::Read, Failing::Always);
    for key in [&a, &b] {
        assert!(!holder.log.is_marked(key).unwrap());
        assert!(!holder.log.is_marked_for(key, AWAY).unwrap());
    }
}

#[test]
fn a_mark_whose_batch_was_lost_marks_nothing() {
    let holder = Holder::new();
    holder.hint(&key("a"), &write(1, "1"), AWAY);
    let holder = holder.crash_keeping(0);
    assert_eq!(holder.log.targets(), []);
    assert!(!holder.log.is_marked(&key("a")).unwrap());
}

#[test]
fn what_was_held_for_a_node_that_left_is_held_for_its_heirs() {
    let holder = Holder::new();
    let a = key("a");
    holder.hint(&a, &write(1, "1"), AWAY);
    assert!(
        !holder.log.retarget(&a, AWAY, &[], 0).unwrap(),
        "a claim does not vanish"
    );
    assert!(
        !holder.log.retarget(&a, ALSO_AWAY, &[AWAY], 0).unwrap(),
        "nobody held it for that one"
    );
    let heirs = [ALSO_AWAY, NodeId(4)];
    assert!(holder.log.retarget(&a, AWAY, &heirs, 0).unwrap());
    assert!(!holder.log.is_marked_for(&a, AWAY).unwrap());
    for heir in heirs {
        assert_eq!(holder.all(heir).page.entries[0].state, write(1, "1"));
    }
}

#[test]
fn a_page_of_few_bytes_holds_one_hint() {
    let holder = Holder::new();
    for number in 0..3 {
        holder.hint(&numbered(number), &write(1, &"x".repeat(10_000)), AWAY);
    }
    let one = holder
        .log
        .page(AWAY, None, &limits(many(), at_most(1)))
        .unwrap()
        .page;
    assert_eq!((one.entries.len(), one.next.is_some()), (1, true));
    let two = holder
        .log
        .page(AWAY, None, &limits(many(), at_most(25_000)))
        .unwrap()
        .page;
    assert_eq!(
        two.entries.len(),
        2,
        "a second one fits, a third one does not"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Paging with any limits, some states gone and some damaged, finds each of the others once and in order.
    #[test]
    fn pages_cover_every_hint_once(
        fates in prop::collection::vec(0_u8..6, 0..40),
        limit_items in 1_usize..10,
        limit_bytes in 1_usize..2_000,
    ) {
        let holder = Holder::new();
        let mut expected = Vec::new();
        for (number, fate) in fates.iter().enumerate() {
            let key = numbered(number);
            holder.hint(&key, &write(1, &"x".repeat(number * 7)), AWAY);
            holder.hint(&key, &write(1, &"x".repeat(number * 7)), ALSO_AWAY);
            match fate {
                0 => drop(holder.store.settle(&key, |_, settle| settle.drop_record()).unwrap()),
                1 => corrupt_record(&holder, &key),
                _ => expected.push(key),
            }
        }
        expected.sort();

        let (mut found, mut after, mut damaged) = (Vec::new(), None, 0);
        for _ in 0..=fates.len() {
            let limits = limits(at_most(limit_items), at_most(limit_bytes));
            let batch = holder.log.page(AWAY, after.as_ref(), &limits).unwrap();
            prop_assert!(batch.page.entries.len() <= limit_items);
            damaged += batch.pending.damaged();
            found.extend(batch.page.entries.into_iter().map(|entry| entry.key));
            after = batch.page.next;
            if after.is_none() {
                break;
            }
        }
        prop_assert_eq!(after, None);
        prop_assert_eq!(found, expected);
        prop_assert_eq!(damaged, fates.iter().filter(|fate| **fate == 1).count());
        let stay = fates.iter().filter(|fate| **fate != 0).count() as u64;
        prop_assert_eq!((holder.count(AWAY), holder.count(ALSO_AWAY)), (stay, fates.len() as u64));
    }
}

#[test]
fn a_removal_that_failed_but_is_on_the_disk_takes_no_later_hint_with_it() {
    let holder = Holder::new();
    holder.hint(&key("a"), &write(1, "1"), AWAY);
    let hash = hash_of(&holder, &key("a"));
    holder
        .disk
        .fail(FaultPoint::WriteAfterLog, Failing::Next(1));
    assert!(holder.log.release(&key("a"), AWAY, hash, FOREIGN).is_err());
    holder.hint(&key("a"), &write(2, "2"), AWAY);
    holder.sync();
    let holder = holder.crash_keeping(0);
    assert!(holder.log.is_marked_for(&key("a"), AWAY).unwrap());
}
