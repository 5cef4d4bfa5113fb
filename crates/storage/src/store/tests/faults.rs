//! What each call promises when the disk does not keep its word.

use super::*;
use crate::engine::{Failing, FaultPoint};
use crate::store::Opened;
use crate::{Damage, Error};
use dynamokv_ring::TokenRange;

#[test]
fn every_unclean_stop_voids_positions_also_when_nothing_was_lost() {
    let disk = disk();
    let store = open(&disk);
    let first = put(&store, &key("k"), "x", &CausalContext::new()).unwrap();
    store.sync.sync_now().unwrap();
    drop(store);
    let store = open(&disk.crash());
    assert_eq!(
        (store.opened(), store.opened_clean()),
        (Opened::Unclean, false)
    );
    let second = put(&store, &key("k"), "y", &CausalContext::new()).unwrap();
    assert_ne!(second.dot.actor, first.dot.actor);
}

#[test]
fn a_dot_whose_write_was_lost_is_never_issued_again() {
    let mut disk = disk();
    let mut dots = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let store = open(&disk);
        for _ in 0..3 {
            assert!(
                dots.insert(
                    put(&store, &key("k"), "x", &CausalContext::new())
                        .unwrap()
                        .dot
                )
            );
        }
        disk = disk.crash();
    }
}

#[test]
fn the_clean_mark_is_used_up_durably_before_anything_is_written() {
    let disk = disk();
    open(&disk).close().unwrap();
    let store = open(&disk);
    assert_eq!(disk.unsynced(), 0);
    put(&store, &key("k"), "lost", &CausalContext::new()).unwrap();
    assert_eq!(open(&disk.crash()).opened(), Opened::Unclean);
}

#[test]
fn an_epoch_is_used_only_once_its_lease_is_durable() {
    let disk = disk();
    let store = open(&disk);
    disk.fail(FaultPoint::Sync, Failing::Next(1));
    assert!(put(&store, &key("k"), "x", &CausalContext::new()).is_err());
    assert_eq!(store.get(&key("k")).unwrap(), None);

    let disk = disk.crash();
    let store = open(&disk);
    put(&store, &key("k"), "x", &CausalContext::new()).unwrap();
    let end = super::super::meta::read_number(&disk.crash(), "epoch-lease-end").unwrap();
    assert_eq!(end, Some(1 << 14), "durable although the put was not");
}

#[test]
fn used_up_epochs_are_an_error_and_not_a_repetition() {
    let disk = disk();
    drop(open(&disk));
    let mut batch = crate::Batch::new();
    super::super::meta::stage_number(
        &mut batch,
        "epoch-lease-end",
        dynamokv_vclock::EpochLease::END - 1,
    );
    disk.write(batch).unwrap();
    let store = open(&disk);
    assert!(put(&store, &key("a"), "the last", &CausalContext::new()).is_ok());
    assert!(matches!(
        put(&store, &key("b"), "x", &CausalContext::new()),
        Err(Error::EpochsExhausted)
    ));
    assert!(put(&store, &key("a"), "goes on", &CausalContext::new()).is_ok());
}

#[test]
fn a_failed_put_is_invisible_and_its_dot_is_spent() {
    for point in [FaultPoint::Write, FaultPoint::WriteAfterLog] {
        let disk = disk();
        let store = open(&disk);
        let first = put(&store, &key("k"), "x", &CausalContext::new()).unwrap();
        disk.fail(point, Failing::Next(1));
        assert!(put(&store, &key("k"), "failed", &CausalContext::new()).is_err());
        assert_eq!(bodies(&store.get(&key("k")).unwrap().unwrap()), ["x"]);

        let next = put(&store, &key("k"), "y", &CausalContext::new()).unwrap();
        assert_ne!(
            next.dot.actor, first.dot.actor,
            "{point:?}: whoever has the lost dot must not meet it again"
        );
        let after = put(&store, &key("k"), "z", &CausalContext::new()).unwrap();
        assert_eq!(after.dot.actor, next.dot.actor, "once is enough");
    }
}

#[test]
fn a_drop_that_failed_does_not_come_back_over_what_was_acknowledged_after_it() {
    type Write = fn(&ObjectStore, &State) -> Result<crate::WriteSeq>;
    fn mark(batch: &mut crate::Batch) {
        batch.put(&Family::HINTS, b"marker".as_slice(), b"".as_slice());
    }
    let writes: [(&str, Write); 3] = [
        ("a repeated delta", |store, delta| {
            Ok(store.join(&key("k"), delta, |_| {})?.seq)
        }),
        ("a hint", |store, delta| {
            Ok(store.join(&key("k"), delta, mark)?.seq)
        }),
        ("a kept marker", |store, _| {
            let settled = store.settle(&key("k"), |_, settle| mark(settle.batch()));
            Ok(settled?.seq)
        }),
    ];
    type Drop = fn(&ObjectStore) -> Result<()>;
    let drops: [Drop; 3] = [
        |store| {
            let dropped = store.settle(&key("k"), |_, settle| settle.drop_record());
            dropped.map(|_| ())
        },
        |store| store.purge(TokenRange::ALL, |_| {}).map(|_| ()),
        |store| {
            let keyspace = key("k").keyspace().clone();
            let purged = store.purge_keyspace(TokenRange::ALL, &keyspace, None, 9);
            purged.map(|_| ())
        },
    ];
    let cases = drops
        .into_iter()
        .flat_map(|drop| writes.map(|(what, write)| (drop, what, write)));
    for (drop, what, write) in cases {
        let disk = disk();
        let store = open(&disk);
        let delta = foreign_delta(5, 1, "x", &CausalContext::new());
        store.join(&key("k"), &delta, mark).unwrap();
        disk.fail(FaultPoint::WriteAfterLog, Failing::Next(1));
        assert!(drop(&store).is_err());

        let seq = write(&store, &delta).unwrap();
        let mut wait = store.synced(seq);
        store.run_pending_syncs();
        poll(&mut wait).unwrap().unwrap();
        let store = open(&disk.crash());
        let kept = store.get(&key("k")).unwrap();
        assert_eq!(bodies(&kept.expect(what)), ["x"], "{what} was acknowledged");
    }
}

#[test]
fn a_failed_put_followed_by_a_clean_close_leaves_no_usable_position() {
    let disk = disk();
    let store = open(&disk);
    let first = put(&store, &key("k"), "x", &CausalContext::new()).unwrap();
    disk.fail(FaultPoint::WriteAfterLog, Failing::Next(1));
    assert!(put(&store, &key("k"), "ghost", &CausalContext::new()).is_err());
    store.close().unwrap();
    let store = open(&disk.crash());
    assert_eq!(store.opened(), Opened::Clean);
    assert_eq!(
        bodies(&store.get(&key("k")).unwrap().unwrap()),
        ["x", "ghost"],
        "its outcome was unknown"
    );
    assert_ne!(
        put(&store, &key("k"), "y", &CausalContext::new())
            .unwrap()
            .dot
            .actor,
        first.dot.actor
    );
}

#[test]
fn no_write_follows_a_clean_mark_that_may_be_on_disk() {
    let disk = disk();
    let store = open(&disk);
    put(&store, &key("k"), "x", &CausalContext::new()).unwrap();
    disk.fail(FaultPoint::WriteAfterLog, Failing::Next(1));
    assert!(store.close().is_err());
    assert!(matches!(
        put(&store, &key("k"), "y", &CausalContext::new()),
        Err(Error::Closed)
    ));
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_recovers() {
    let disk = disk();
    let store = open(&disk);
    put(&store, &key("k"), "x", &CausalContext::new()).unwrap();
    disk.set_full(true);
    for _ in 0..2 {
        assert!(matches!(
            put(&store, &key("k"), "y", &CausalContext::new()),
            Err(Error::DiskFull { .. })
        ));
    }
    let delta = foreign_delta(5, 1, "joined", &CausalContext::new());
    assert!(matches!(
        store.join(&key("k"), &delta, |_| {}),
        Err(Error::DiskFull { .. })
    ));
    assert_eq!(bodies(&store.get(&key("k")).unwrap().unwrap()), ["x"]);
    disk.set_full(false);
    put(&store, &key("k"), "y", &CausalContext::new()).unwrap();
    assert_eq!(bodies(&store.get(&key("k")).unwrap().unwrap()), ["x", "y"]);
}

#[test]
fn after_a_failed_sync_reads_go_on_and_the_next_opening_is_unclean() {
    let disk = disk();
    let store = open(&disk);
    let seq = put(&store, &key("k"), "x", &CausalContext::new())
        .unwrap()
        .seq;
    let mut wait = store.settled(seq);
    disk.fail(FaultPoint::Sync, Failing::Next(1));
    store.run_pending_syncs();
    assert!(matches!(poll(&mut wait), Some(Err(Error::Poisoned { .. }))));
    assert!(matches!(
        put(&store, &key("k"), "y", &CausalContext::new()),
        Err(Error::Poisoned { .. })
    ));
    assert_eq!(bodies(&store.get(&key("k")).unwrap().unwrap()), ["x"]);
    assert!(matches!(store.close(), Err(Error::Poisoned { .. })));
    assert_eq!(open(&disk.crash()).opened(), Opened::Unclean);
}

#[test]
fn voided_positions_stay_void_after_a_crash() {
    let disk = disk();
    let store = open(&disk);
    let first = put(&store, &key("k"), "x", &CausalContext::new()).unwrap();
    store.void_positions().unwrap();
    store.close().unwrap();
    let store = open(&disk.crash());
    assert_ne!(
        put(&store, &key("k"), "y", &CausalContext::new())
            .unwrap()
            .dot
            .actor,
        first.dot.actor
    );
}

#[test]
fn an_older_copy_of_the_disk_issues_other_epochs_under_another_seed() {
    let disk = disk();
    let store = open(&disk);
    put(&store, &key("a"), "x", &CausalContext::new()).unwrap();
    store.close().unwrap();
    let backup = disk.image(0);
    let from = |disk: &FaultEngine, random_seed| {
        let options = StoreOptions {
            random_seed,
            ..options()
        };
        let store = ObjectStore::open(Arc::new(disk.clone()), options).unwrap();
        // What the node does on hearing of its own higher generation.
        store.void_positions().unwrap();
        ["a", "b"].map(|name| {
            put(&store, &key(name), "y", &CausalContext::new())
                .unwrap()
                .dot
                .actor
        })
    };
    let (original, restored) = (from(&disk, 1), from(&backup, 2));
    assert!(original.iter().all(|actor| !restored.contains(actor)));
}

#[test]
fn writes_replace_a_damaged_record_and_say_so_but_settling_does_not_decide_on_it() {
    let disk = disk();
    let store = open(&disk);
    let first = put(&store, &key("k"), "x", &CausalContext::new()).unwrap();
    flip_bit(&disk, &key("k"), 77);
    let settled = store.settle(&key("k"), |_, _| panic!("nothing can be decided"));
    assert!(matches!(settled, Err(Error::Damaged { .. })));

    let joined = store.join(&key("k"), &first.delta, |_| {}).unwrap();
    assert!(joined.replaced_damaged && joined.previous.is_none());
    assert_eq!(joined.hash, first.hash);
    let second = put(&store, &key("k"), "y", &CausalContext::new()).unwrap();
    assert_ne!(
        second.dot.actor, first.dot.actor,
        "the position went with the record"
    );

    flip_bit(&disk, &key("k"), 77);
    let third = put(&store, &key("k"), "z", &CausalContext::new()).unwrap();
    assert!(third.replaced_damaged);
    assert!(![first.dot.actor, second.dot.actor].contains(&third.dot.actor));
    assert_eq!(bodies(&store.get(&key("k")).unwrap().unwrap()), ["z"]);
}

#[test]
fn a_join_of_nothing_new_still_replaces_a_damaged_record() {
    let disk = disk();
    let store = open(&disk);
    put(&store, &key("k"), "x", &CausalContext::new()).unwrap();
    flip_bit(&disk, &key("k"), 5);
    let joined = store.join(&key("k"), &State::new(), |_| {}).unwrap();
    assert!(!joined.changed && joined.replaced_damaged);
    assert_eq!(store.get(&key("k")).unwrap(), Some(State::new()));
}

#[test]
fn damaged_entries_of_the_stores_own_are_named() {
    let disk = disk();
    drop(open(&disk));
    let mut batch = crate::Batch::new();
    batch.put(&Family::META, "store/generation", "nonsense");
    disk.write(batch).unwrap();
    let error = ObjectStore::open(Arc::new(disk.clone()), options()).unwrap_err();
    assert!(
        matches!(&error, Error::DamagedMeta { entry } if &**entry == "generation"),
        "{error}"
    );
}

#[test]
fn a_damaged_record_does_not_stop_a_scan() {
    let disk = disk();
    let store = open(&disk);
    for name in ["a", "b", "c"] {
        put(&store, &key(name), name, &CausalContext::new()).unwrap();
    }
    flip_bit(&disk, &key("b"), 40);
    let mut batch = crate::Batch::new();
    batch.put(&Family::OBJECTS, "no key", "no record");
    disk.write(batch).unwrap();

    let page = store.scan(TokenRange::ALL, None, 10, usize::MAX).unwrap();
    assert_eq!((page.entries.len(), page.next), (2, None));
    let mut damaged: Vec<_> = page
        .damaged
        .iter()
        .map(|record| (record.key.clone(), record.reason))
        .collect();
    damaged.sort_by_key(|(key, _)| key.is_some());
    assert_eq!(
        damaged,
        [(None, Damage::Key), (Some(key("b")), Damage::Checksum)]
    );
}

#[test]
fn failures_to_read_are_errors_and_not_absence() {
    let disk = disk();
    let store = open(&disk);
    disk.fail(FaultPoint::Read, Failing::Always);
    assert!(store.get(&key("k")).is_err());
    assert!(store.scan(TokenRange::ALL, None, 10, usize::MAX).is_err());
    assert!(put(&store, &key("k"), "x", &CausalContext::new()).is_err());
    assert!(store.join(&key("k"), &State::new(), |_| {}).is_err());
    assert!(store.settle(&key("k"), |_, _| ()).is_err());
    assert!(store.meta_get("x").is_err());
}

#[test]
fn after_a_sync_without_room_the_store_goes_on_with_other_epochs_and_loses_nothing() {
    let disk = disk();
    let store = open(&disk);
    let first = put(&store, &key("k"), "x", &CausalContext::new()).unwrap();
    disk.fail(FaultPoint::SyncWithoutRoom, Failing::Next(1));
    let _wait = store.synced(first.seq);
    assert!(store.run_pending_syncs());
    let refused = put(&store, &key("k"), "y", &CausalContext::new()).unwrap_err();
    assert!(matches!(refused, Error::DiskFull { .. }), "{refused}");
    assert!(store.is_full() && store.poison().is_none());
    assert_eq!(bodies(&store.get(&key("k")).unwrap().unwrap()), ["x"]);

    assert!(store.run_pending_syncs(), "there is room");
    let second = put(&store, &key("k"), "y", &CausalContext::new()).unwrap();
    assert_ne!(second.dot.actor, first.dot.actor);
    let found = ObjectStore::peek(&disk.image(0), &key("k")).unwrap();
    assert!(found.is_some(), "what was visible became durable");
    let third = put(&store, &key("k"), "z", &CausalContext::new()).unwrap();
    assert_eq!(third.dot.actor, second.dot.actor, "voided once");
}
