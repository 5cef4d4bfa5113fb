use std::collections::BTreeMap;

use dynamokv_ring::{Token, TokenRange};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::key::Keyspace;
use crate::{Error, RangeStatistics};

/// The bytes of each key with its record.
type Stored = BTreeMap<ObjectKey, u64>;

fn filled(names: &[(String, u8)]) -> (FaultEngine, Arc<ObjectStore>, Stored) {
    let disk = disk();
    let store = open(&disk);
    let mut stored = Stored::new();
    for (keyspace, name) in names {
        let key = ObjectKey::new(keyspace, vec![*name]).unwrap();
        let body = "x".repeat(usize::from(*name));
        put(&store, &key, &body, &CausalContext::new()).unwrap();
        let record = disk.get(&Family::OBJECTS, &key.encode()).unwrap().unwrap();
        stored.insert(key.clone(), (key.encode().len() + record.len()) as u64);
    }
    (disk, store, stored)
}

fn keys_of(store: &ObjectStore) -> Vec<ObjectKey> {
    let page = store.scan(TokenRange::ALL, None, usize::MAX, usize::MAX);
    let entries = page.unwrap().entries.into_iter();
    entries.map(|(key, _)| key).collect()
}

/// Bounds on and beside tokens in use, and the ends of the ring.
fn range(stored: &Stored, bounds: &[(prop::sample::Index, i64); 2]) -> TokenRange {
    let keys: Vec<&ObjectKey> = stored.keys().collect();
    let near = |(index, by): &(prop::sample::Index, i64)| match by {
        3 => Token::MAX,
        -3 => Token::MIN,
        by => Token(index.get(&keys).token().0.saturating_add_signed(*by)),
    };
    TokenRange {
        first: near(&bounds[0]),
        last: near(&bounds[1]),
    }
}

fn bound() -> impl Strategy<Value = (prop::sample::Index, i64)> {
    let by = prop_oneof![Just(-3_i64), -1_i64..2, Just(3_i64)];
    (any::<prop::sample::Index>(), by)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn statistics_count_exactly_the_range(
        names in vec(("[ab]{1,2}", any::<u8>()), 1..40),
        bounds in [bound(), bound()],
    ) {
        let (_, store, stored) = filled(&names);
        let range = range(&stored, &bounds);
        let inside = stored.iter().filter(|(key, _)| range.contains(key.token()));
        let expected = inside.fold(RangeStatistics::default(), |sum, (_, bytes)| RangeStatistics {
            keys: sum.keys + 1,
            bytes: sum.bytes + bytes,
        });
        prop_assert_eq!(store.range_statistics(range).unwrap(), expected);
    }

    #[test]
    fn a_purge_drops_exactly_the_range_and_older_snapshots_keep_it(
        names in vec(("[ab]{1,2}", any::<u8>()), 1..40),
        bounds in [bound(), bound()],
    ) {
        let (disk, store, stored) = filled(&names);
        let range = range(&stored, &bounds);
        let before = disk.snapshot();
        let seq = store.purge(range, |batch| {
            batch.put(&Family::HINTS, "done", "");
        }).unwrap();
        let kept: Vec<ObjectKey> =
            stored.keys().filter(|key| !range.contains(key.token())).cloned().collect();
        prop_assert_eq!(keys_of(&store), kept.clone());
        let seen = before.range(&Family::OBJECTS, crate::engine::EVERYTHING).unwrap().count();
        prop_assert_eq!(seen, stored.len(), "the snapshot changed");
        prop_assert!(disk.get(&Family::HINTS, b"done").unwrap().is_some());

        let mut wait = store.synced(seq);
        store.run_pending_syncs();
        prop_assert!(matches!(poll(&mut wait), Some(Ok(()))));
        prop_assert_eq!(keys_of(&open(&disk.crash())), kept);
    }

    #[test]
    fn a_keyspace_is_purged_from_its_range_alone_whatever_the_steps(
        names in vec(("[ab]{1,2}", any::<u8>()), 1..40),
        bounds in [bound(), bound()],
        limit in 0_usize..9,
    ) {
        let (_, store, stored) = filled(&names);
        let range = range(&stored, &bounds);
        let keyspace = Keyspace::new("a").unwrap();
        let (mut after, mut records, mut steps) = (None, 0, 0);
        loop {
            let purged = store.purge_keyspace(range, &keyspace, after.as_ref(), limit).unwrap();
            prop_assert!(purged.records <= limit.max(1) as u64);
            records += purged.records;
            steps += 1;
            prop_assert!(steps <= stored.len() + 1, "no progress");
            after = purged.next;
            if after.is_none() { break; }
        }
        let doomed = |key: &&ObjectKey| range.contains(key.token()) && *key.keyspace() == keyspace;
        let kept: Vec<ObjectKey> = stored.keys().filter(|key| !doomed(key)).cloned().collect();
        prop_assert_eq!(records as usize, stored.len() - kept.len());
        prop_assert_eq!(keys_of(&store), kept);
    }
}

#[test]
fn after_a_purge_a_put_takes_a_fresh_epoch() {
    let store = open(&disk());
    let first = put(&store, &key("k"), "x", &CausalContext::new()).unwrap();
    store.purge(TokenRange::ALL, |_| {}).unwrap();
    assert_eq!(store.get(&key("k")).unwrap(), None);
    let second = put(&store, &key("k"), "y", &CausalContext::new()).unwrap();
    assert_ne!(second.dot.actor, first.dot.actor);
}

#[test]
fn a_closed_store_purges_nothing() {
    let store = open(&disk());
    put(&store, &key("k"), "x", &CausalContext::new()).unwrap();
    store.close().unwrap();
    let refused = store.purge(TokenRange::ALL, |_| {});
    assert!(matches!(refused, Err(Error::Closed)));
    let keyspace = key("k").keyspace().clone();
    let refused = store.purge_keyspace(TokenRange::ALL, &keyspace, None, 9);
    assert!(matches!(refused, Err(Error::Closed)));
    assert_eq!(keys_of(&store), [key("k")]);
}
