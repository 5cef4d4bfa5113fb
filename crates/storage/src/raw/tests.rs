#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::engine::{Failing, FaultEngine, FaultPoint};

fn families() -> [Family; 3] {
    Family::RAW
}

fn open(options: RawOptions) -> (FaultEngine, RawStore) {
    let engine = FaultEngine::new(families());
    let options = RawOptions {
        sync_mode: SyncMode::Manual,
        ..options
    };
    (
        engine.clone(),
        RawStore::open(Arc::new(engine), options).unwrap(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn it_agrees_with_a_map_and_pages_cover_exactly_the_range(
        writes in vec((vec(0u8..4, 1..4), proptest::option::of(vec(any::<u8>(), 0..6))), 0..60),
        start in vec(0u8..4, 0..3),
        end in proptest::option::of(vec(0u8..4, 0..3)),
        limit in 0usize..6,
        page_bytes_max in prop_oneof![0usize..40, Just(usize::MAX)],
    ) {
        let (_, store) = open(RawOptions { page_entries_max: 4, page_bytes_max, ..RawOptions::default() });
        let family = Family::WRITE;
        let mut model = BTreeMap::new();
        for (key, value) in writes {
            match &value {
                Some(value) => store.put(&family, key.clone(), value.clone()).unwrap(),
                None => store.delete(&family, key.clone()).unwrap(),
            };
            prop_assert_eq!(store.get(&family, &key).unwrap().map(Vec::from), value.clone());
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
        }
        let mut found = Vec::new();
        let mut from = Bytes::from(start.clone());
        loop {
            let page = store.scan(&family, &from, end.as_deref(), limit).unwrap();
            prop_assert!(page.entries.len() <= limit.clamp(1, 4));
            let bytes: usize = page.entries.iter().map(|(key, value)| key.len() + value.len()).sum();
            prop_assert!(bytes <= page_bytes_max || page.entries.len() == 1);
            found.extend(page.entries.into_iter().map(|(key, value)| (Vec::from(key), Vec::from(value))));
            match page.next {
                Some(next) => { prop_assert!(next > from); from = next; }
                None => break,
            }
        }
        let inside = |key: &Vec<u8>| *key >= start && end.as_ref().is_none_or(|end| key < end);
        prop_assert_eq!(found, model.into_iter().filter(|(key, _)| inside(key)).collect::<Vec<_>>());
        prop_assert_eq!(store.scan(&Family::DEFAULT, b"", None, 9).unwrap(), RawPage::default());
    }
}

#[test]
fn families_are_found_by_name_and_the_empty_name_is_default() {
    let (_, store) = open(RawOptions::default());
    assert_eq!(store.family("").unwrap(), Family::DEFAULT);
    assert_eq!(store.family("lock").unwrap().as_str(), "lock");
    let error = store.family("missing").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("unknown column family \"missing\""),
        "{error}"
    );
    assert!(matches!(
        store.family("Not a name"),
        Err(Error::InvalidName { .. })
    ));
}

#[test]
fn limits_are_named_by_their_errors() {
    let (_, store) = open(RawOptions {
        key_bytes_max: 3,
        value_bytes_max: 2,
        ..RawOptions::default()
    });
    let family = Family::DEFAULT;
    store.put(&family, "abc", "xy").unwrap();
    let long_key = [
        store.put(&family, "abcd", "").unwrap_err(),
        store.delete(&family, "abcd").unwrap_err(),
        store.get(&family, "abcd").unwrap_err(),
        store.scan(&family, b"abcd", None, 1).unwrap_err(),
        store.scan(&family, b"", Some(b"abcd"), 1).unwrap_err(),
    ];
    for error in long_key {
        assert_eq!(error.to_string(), "key of 4 bytes: 1..=3 bytes are allowed");
    }
    assert!(matches!(
        store.put(&family, "", "x"),
        Err(Error::KeyLength { bytes: 0, .. })
    ));
    let error = store.put(&family, "abc", "xyz").unwrap_err();
    assert_eq!(error.to_string(), "value of 3 bytes: at most 2 are allowed");
}

#[test]
fn a_write_is_visible_at_once_and_there_after_a_crash_once_synced() {
    let (engine, store) = open(RawOptions::default());
    let seq = store.put(&Family::DEFAULT, "key", "value").unwrap();
    let _wait = store.settled(seq);
    assert!(store.get(&Family::DEFAULT, "key").unwrap().is_some());
    assert!(
        engine
            .image(0)
            .get(&Family::DEFAULT, b"key")
            .unwrap()
            .is_none()
    );
    assert!(store.run_pending_syncs());
    assert!(
        engine
            .crash()
            .get(&Family::DEFAULT, b"key")
            .unwrap()
            .is_some()
    );
}

#[test]
fn a_failed_sync_ends_writes_and_not_reads() {
    let (engine, store) = open(RawOptions::default());
    store.put(&Family::DEFAULT, "key", "value").unwrap();
    engine.fail(FaultPoint::Sync, Failing::Next(1));
    assert!(store.sync().is_err());
    assert!(matches!(
        store.put(&Family::DEFAULT, "key", "other"),
        Err(Error::Poisoned { .. })
    ));
    assert_eq!(
        store.get(&Family::DEFAULT, "key").unwrap().as_deref(),
        Some(b"value".as_slice())
    );
}
