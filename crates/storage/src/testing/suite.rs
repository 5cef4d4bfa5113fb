use std::ops::Bound::{self, Excluded, Included, Unbounded};

use bytes::Bytes;

use super::{Disk, engine_model};
use crate::Error;
use crate::engine::{Batch, EVERYTHING, Engine, Family, KeyRange, Snapshot};

/// Cases of the model test within [`engine_suite`].
const MODEL_CASES: u32 = 24;

/// Checks everything that the [`Engine`] trait promises, on a new disk for each promise.
///
/// # Panics
/// With the promise that was broken.
pub fn engine_suite<D: Disk>(mut new_disk: impl FnMut() -> D) {
    const CHECKS: [fn(&mut dyn Disk); 9] = [
        a_batch_naming_an_unknown_family_changes_nothing,
        unknown_families_are_named_by_reads,
        operations_of_a_batch_apply_in_their_order,
        families_are_independent,
        ranges_are_ordered_and_bounded,
        range_deletes_exclude_their_end,
        snapshots_do_not_change,
        empty_and_large_entries_are_kept,
        what_was_synced_survives_a_power_loss,
    ];
    for check in CHECKS {
        check(&mut new_disk());
    }
    engine_model(MODEL_CASES, new_disk);
}

fn a_batch_naming_an_unknown_family_changes_nothing(disk: &mut dyn Disk) {
    let engine = disk.open();
    let mut batch = Batch::new();
    batch
        .put(&Family::DEFAULT, "before", "x")
        .put(&unknown(), "key", "x")
        .put(&Family::DEFAULT, "after", "x");
    let error = engine
        .write(batch)
        .expect_err("an unknown family is refused");
    assert!(
        matches!(&error, Error::UnknownFamily { family } if *family == unknown()),
        "{error}"
    );
    assert_eq!(all(engine.snapshot().as_ref(), &Family::DEFAULT), []);
}

fn unknown_families_are_named_by_reads(disk: &mut dyn Disk) {
    let engine = disk.open();
    let snapshot = engine.snapshot();
    let errors = [
        engine.get(&unknown(), b"key").map(|_| ()).unwrap_err(),
        snapshot.get(&unknown(), b"key").map(|_| ()).unwrap_err(),
        snapshot
            .range(&unknown(), EVERYTHING)
            .map(|_| ())
            .unwrap_err(),
    ];
    for error in errors {
        assert!(
            error.to_string().contains("\"unknown\""),
            "the error names the family: {error}"
        );
    }
    assert!(!engine.families().contains(&unknown()));
    assert!(engine.families().is_sorted());
}

fn operations_of_a_batch_apply_in_their_order(disk: &mut dyn Disk) {
    let engine = disk.open();
    let family = Family::DEFAULT;
    let mut batch = Batch::new();
    batch
        .put(&family, "deleted", "1")
        .delete(&family, "deleted");
    batch
        .delete(&family, "kept")
        .put(&family, "kept", "1")
        .put(&family, "kept", "2");
    batch
        .put(&family, "swept", "1")
        .delete_range(&family, "s", "t")
        .put(&family, "spared", "1");
    engine.write(batch).unwrap();
    assert_eq!(
        all(engine.snapshot().as_ref(), &family),
        [entry("kept", "2"), entry("spared", "1")]
    );
    engine
        .write(Batch::new())
        .expect("an empty batch is no error");
}

fn families_are_independent(disk: &mut dyn Disk) {
    let engine = disk.open();
    put(engine.as_ref(), &Family::DEFAULT, "key", "default");
    put(engine.as_ref(), &Family::META, "key", "meta");
    let mut batch = Batch::new();
    batch.delete_range(&Family::META, "", "z");
    engine.write(batch).unwrap();
    assert_eq!(
        engine.get(&Family::DEFAULT, b"key").unwrap().as_deref(),
        Some(b"default".as_slice())
    );
    assert_eq!(engine.get(&Family::META, b"key").unwrap(), None);
    assert_eq!(engine.get(&Family::OBJECTS, b"key").unwrap(), None);
}

fn ranges_are_ordered_and_bounded(disk: &mut dyn Disk) {
    let engine = disk.open();
    // Keys that are prefixes of each other, and bytes at both ends of the order.
    let mut keys: Vec<&[u8]> = vec![
        b"b",
        b"",
        b"a\x00",
        b"a",
        b"\xff\xff",
        b"aa",
        b"\x00",
        b"\xff",
        b"ab",
        b"a\xff",
    ];
    for key in &keys {
        let mut batch = Batch::new();
        batch.put(&Family::DEFAULT, Bytes::copy_from_slice(key), "x");
        engine.write(batch).unwrap();
    }
    keys.sort_unstable();
    let snapshot = engine.snapshot();
    let bounds: Vec<Bound<&[u8]>> = keys
        .iter()
        .flat_map(|key| [Included(*key), Excluded(*key)])
        .chain([Unbounded])
        .collect();
    for start in &bounds {
        for end in &bounds {
            let expected: Vec<&[u8]> = keys
                .iter()
                .copied()
                .filter(|key| within(key, (*start, *end)))
                .collect();
            let found = snapshot.range(&Family::DEFAULT, (*start, *end)).unwrap();
            let found: Vec<Bytes> = found.map(|entry| entry.unwrap().0).collect();
            assert_eq!(found, expected, "{start:?}..{end:?}");
        }
    }
}

fn range_deletes_exclude_their_end(disk: &mut dyn Disk) {
    let engine = disk.open();
    for key in ["a", "b", "c", "d"] {
        put(engine.as_ref(), &Family::DEFAULT, key, "x");
    }
    let mut batch = Batch::new();
    batch
        .delete_range(&Family::DEFAULT, "d", "a")
        .delete_range(&Family::DEFAULT, "a", "a");
    batch.delete_range(&Family::DEFAULT, "b", "d");
    engine.write(batch).unwrap();
    assert_eq!(
        all(engine.snapshot().as_ref(), &Family::DEFAULT),
        [entry("a", "x"), entry("d", "x")]
    );
}

fn snapshots_do_not_change(disk: &mut dyn Disk) {
    let engine = disk.open();
    put(engine.as_ref(), &Family::DEFAULT, "kept", "old");
    put(engine.as_ref(), &Family::DEFAULT, "removed", "old");
    let before = engine.snapshot();
    let mut batch = Batch::new();
    batch
        .put(&Family::DEFAULT, "added", "new")
        .put(&Family::DEFAULT, "kept", "new");
    batch.delete(&Family::DEFAULT, "removed");
    engine.write(batch).unwrap();
    let after = engine.snapshot();
    let mut sweep = Batch::new();
    sweep.delete_range(&Family::DEFAULT, "", "z");
    engine.write(sweep).unwrap();

    assert_eq!(
        all(before.as_ref(), &Family::DEFAULT),
        [entry("kept", "old"), entry("removed", "old")]
    );
    assert_eq!(
        before.get(&Family::DEFAULT, b"kept").unwrap().as_deref(),
        Some(b"old".as_slice())
    );
    assert_eq!(
        all(after.as_ref(), &Family::DEFAULT),
        [entry("added", "new"), entry("kept", "new")]
    );
    assert_eq!(all(engine.snapshot().as_ref(), &Family::DEFAULT), []);
}

fn empty_and_large_entries_are_kept(disk: &mut dyn Disk) {
    let large = "v".repeat(1 << 20);
    let long_key = "k".repeat(66_000);
    let engine = disk.open();
    put(engine.as_ref(), &Family::DEFAULT, "", "");
    put(engine.as_ref(), &Family::DEFAULT, &long_key, &large);
    assert_eq!(
        engine.get(&Family::DEFAULT, b"").unwrap(),
        Some(Bytes::new()),
        "an empty value is a value"
    );
    assert_eq!(
        engine.get(&Family::DEFAULT, long_key.as_bytes()).unwrap(),
        Some(large.into())
    );
}

fn what_was_synced_survives_a_power_loss(disk: &mut dyn Disk) {
    let engine = disk.open();
    put(engine.as_ref(), &Family::DEFAULT, "a", "synced");
    put(engine.as_ref(), &Family::META, "b", "synced");
    engine.sync().unwrap();
    put(engine.as_ref(), &Family::DEFAULT, "c", "perhaps");
    drop(engine);
    disk.lose_power();
    let engine = disk.open();
    assert_eq!(
        engine.get(&Family::DEFAULT, b"a").unwrap().as_deref(),
        Some(b"synced".as_slice())
    );
    assert_eq!(
        engine.get(&Family::META, b"b").unwrap().as_deref(),
        Some(b"synced".as_slice())
    );
}

fn unknown() -> Family {
    Family::new("unknown").unwrap()
}

fn entry(key: &str, value: &str) -> (Bytes, Bytes) {
    (
        Bytes::copy_from_slice(key.as_bytes()),
        Bytes::copy_from_slice(value.as_bytes()),
    )
}

fn put(engine: &dyn Engine, family: &Family, key: &str, value: &str) {
    let (key, value) = entry(key, value);
    let mut batch = Batch::new();
    batch.put(family, key, value);
    engine.write(batch).unwrap();
}

fn within(key: &[u8], range: KeyRange<'_>) -> bool {
    let after_start = match range.0 {
        Included(start) => key >= start,
        Excluded(start) => key > start,
        Unbounded => true,
    };
    let before_end = match range.1 {
        Included(end) => key <= end,
        Excluded(end) => key < end,
        Unbounded => true,
    };
    after_start && before_end
}

pub(super) fn all(snapshot: &dyn Snapshot, family: &Family) -> Vec<(Bytes, Bytes)> {
    snapshot
        .range(family, EVERYTHING)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}
