use std::collections::BTreeSet;

use dynamokv_ring::TokenRange;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::testing::strategies::state;
use crate::{Batch, Damage, Error};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Every bit of a record, and every way to read it.
    #[test]
    fn a_flipped_bit_is_reported_with_the_key_and_counted_whoever_reads(state in state(), own in any::<bool>()) {
        let disk = disk();
        let store = open(&disk);
        store.join(&key("k"), &state, |_| {}).unwrap();
        if own {
            // A record with a position.
            put(&store, &key("k"), "x", &CausalContext::new()).unwrap();
        }
        let engine_key = key("k").encode();
        let bits = 8 * disk.get(&Family::OBJECTS, &engine_key).unwrap().unwrap().len();
        for bit in 0..bits {
            flip_bit(&disk, &key("k"), bit);
            let counted = store.counters().damaged_records;
            let read = store.get(&key("k"));
            let named = matches!(&read, Err(Error::Damaged { key: of, .. }) if *of == key("k"));
            prop_assert!(named, "bit {}: {:?}", bit, read);
            let page = store.scan(TokenRange::ALL, None, 9, usize::MAX).unwrap();
            prop_assert!(page.entries.is_empty(), "bit {bit} was served");
            let scrubbed = store.scrub(None, usize::MAX).unwrap();
            let verified = ObjectStore::verify(&disk).unwrap();
            for damaged in [page.damaged, scrubbed.damaged, verified.damaged] {
                prop_assert_eq!(damaged.len(), 1);
                prop_assert_eq!(damaged[0].key.as_ref(), Some(&key("k")));
            }
            let peeked = ObjectStore::peek(&disk, &key("k"));
            prop_assert!(peeked.is_err());
            prop_assert_eq!(store.counters().damaged_records, counted + 3);
            flip_bit(&disk, &key("k"), bit);
        }
        prop_assert!(ObjectStore::verify(&disk).unwrap().is_intact());
    }

    #[test]
    fn a_scrub_in_steps_checks_every_record_once_and_finds_what_is_damaged(
        names in vec(any::<u16>(), 1..60),
        damaged in vec(any::<prop::sample::Index>(), 0..6),
        nonsense in any::<bool>(),
        limit_bytes in prop_oneof![Just(0_usize), 1_usize..600, Just(usize::MAX)],
    ) {
        let disk = disk();
        let store = open(&disk);
        let keys: BTreeSet<ObjectKey> = names
            .iter()
            .map(|name| ObjectKey::new("default", name.to_be_bytes().to_vec()).unwrap())
            .collect();
        for key in &keys {
            put(&store, key, "x", &CausalContext::new()).unwrap();
        }
        let keys: Vec<ObjectKey> = keys.into_iter().collect();
        let damaged: BTreeSet<ObjectKey> = damaged.iter().map(|index| index.get(&keys).clone()).collect();
        for key in &damaged {
            flip_bit(&disk, key, 50);
        }
        if nonsense {
            let mut batch = Batch::new();
            batch.put(&Family::OBJECTS, "no key", "no record");
            disk.write(batch).unwrap();
        }
        let (mut found, mut unnamed, mut records, mut after) = (BTreeSet::new(), 0, 0, None);
        loop {
            let step = store.scrub(after.as_ref(), limit_bytes).unwrap();
            prop_assert!(step.records > 0, "no progress");
            prop_assert!(limit_bytes > 0 || step.records == 1);
            records += step.records;
            for record in step.damaged {
                match record.key {
                    Some(key) => prop_assert!(found.insert(key), "found twice"),
                    None => unnamed += 1,
                }
            }
            after = step.next;
            if after.is_none() { break; }
        }
        prop_assert_eq!(records as usize, keys.len() + usize::from(nonsense));
        prop_assert_eq!(unnamed, usize::from(nonsense));
        prop_assert_eq!(found, damaged);
    }
}

#[test]
fn verify_counts_what_there_is_and_names_what_is_damaged() {
    let disk = disk();
    assert_eq!(ObjectStore::verify(&disk).unwrap().owner, None);
    let store = open(&disk);
    for name in ["a", "b", "c"] {
        put(&store, &key(name), name, &CausalContext::new()).unwrap();
    }
    store.meta_put("mine", "x").unwrap();
    let mut batch = Batch::new();
    batch.put(&Family::HINTS, "marker", "");
    store.write(batch).unwrap();
    let statistics = store.range_statistics(TokenRange::ALL).unwrap();
    let report = ObjectStore::verify(&disk).unwrap();
    assert!(report.is_intact());
    assert_eq!((report.owner, report.other_entries), (Some(NODE), 1));
    assert_eq!((report.records, report.bytes), (3, statistics.bytes));

    flip_bit(&disk, &key("b"), 40);
    let mut batch = Batch::new();
    batch.put(&Family::META, "user/mine", "nonsense");
    disk.write(batch).unwrap();
    let report = ObjectStore::verify(&disk).unwrap();
    assert!(!report.is_intact());
    assert_eq!((report.records, report.damaged_records), (3, 1));
    assert_eq!(report.damaged[0].key, Some(key("b")));
    assert_eq!(report.damaged[0].reason, Damage::Checksum);
    let entries: Vec<&str> = report.damaged_entries.iter().map(|name| &**name).collect();
    assert_eq!(entries, ["user/mine"]);
}

#[cfg(feature = "rocksdb")]
mod rocks {
    use std::path::Path;

    use super::*;
    use crate::{RocksEngine, RocksOptions, VerifyReport};

    fn report(folder: &Path) -> Result<VerifyReport> {
        let engine = RocksEngine::open_read_only(folder, &RocksOptions::default())?;
        ObjectStore::verify(&engine)
    }

    fn engine(folder: &Path) -> RocksEngine {
        RocksEngine::open(folder, Family::CLUSTER, &RocksOptions::default()).unwrap()
    }

    fn fill(folder: &Path) {
        let store =
            ObjectStore::open(Arc::new(engine(folder)), StoreOptions::new(NODE, 7)).unwrap();
        for n in 0_u32..2_000 {
            let key = ObjectKey::new("default", n.to_be_bytes().to_vec()).unwrap();
            put(
                &store,
                &key,
                "a body that takes some room",
                &CausalContext::new(),
            )
            .unwrap();
        }
    }

    fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let entries = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap());
        let mut files: Vec<_> = entries
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, std::fs::read(entry.path()).unwrap())
            })
            // RocksDB's own diary.
            .filter(|(name, _)| !name.starts_with("LOG"))
            .collect();
        files.sort();
        files
    }

    #[test]
    fn a_folder_is_verified_without_being_changed_whether_in_the_log_or_in_tables() {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        let before = files(folder.path());
        let in_log = report(folder.path()).unwrap();
        assert!(in_log.is_intact());
        assert_eq!((in_log.records, in_log.owner), (2_000, Some(NODE)));
        assert!(files(folder.path()) == before, "the folder was changed");

        // Opening it moves the log into tables.
        drop(engine(folder.path()));
        let in_tables = report(folder.path()).unwrap();
        assert!(in_tables.is_intact());
        assert_eq!(
            (in_tables.records, in_tables.bytes),
            (in_log.records, in_log.bytes)
        );
    }

    #[test]
    fn a_flipped_bit_in_a_table_does_not_pass() {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        drop(engine(folder.path()));
        let tables = files(folder.path());
        let table = tables.iter().filter(|(name, _)| name.ends_with(".sst"));
        let (name, mut bytes) = table.max_by_key(|(_, bytes)| bytes.len()).unwrap().clone();
        let within = bytes.len() / 4;
        bytes[within] ^= 1;
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let report = report(folder.path()).unwrap();
        assert!(!report.is_intact());
        assert!(report.records < 2_000);
        let (family, words) = &report.cut_short[0];
        assert_eq!(*family, Family::OBJECTS);
        let named = folder.path().display().to_string();
        assert!(words.contains(&named), "{words}");
    }

    #[test]
    fn a_folder_without_a_store_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        for path in [folder.path(), &missing] {
            let error = report(path).unwrap_err();
            assert!(
                matches!(&error, Error::NoStore { path: named } if **named == *path),
                "{error}"
            );
        }
        assert!(!missing.exists());
    }
}
