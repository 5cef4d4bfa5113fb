//! What each call promises when nothing fails.

use proptest::prelude::*;

use super::*;
use crate::engine::Batch;
use crate::store::Opened;
use crate::sync::Durability;
use crate::{Error, StateHash, shown};

#[test]
fn concurrent_puts_are_siblings_until_a_context_covers_them() {
    let store = open(&disk());
    let cart = key("cart");
    let nothing = CausalContext::new();
    let first = put(&store, &cart, "milk", &nothing).unwrap();
    let second = put(&store, &cart, "eggs", &nothing).unwrap();
    assert_eq!(
        bodies(&store.get(&cart).unwrap().unwrap()),
        ["milk", "eggs"]
    );

    // The reply's context covers the own write and nothing else.
    put(&store, &cart, "oat milk", first.delta.context()).unwrap();
    assert_eq!(
        bodies(&store.get(&cart).unwrap().unwrap()),
        ["eggs", "oat milk"]
    );

    let state = store.get(&cart).unwrap().unwrap();
    let last = put(&store, &cart, "all", state.context()).unwrap();
    assert_eq!(bodies(&store.get(&cart).unwrap().unwrap()), ["all"]);
    let dots = [first.dot, second.dot, last.dot];
    assert!(
        dots.iter().all(|dot| dot.actor == first.dot.actor),
        "one epoch lasts while nothing is lost"
    );
    assert_eq!(dots.map(|dot| dot.counter), [1, 2, 4]);
}

#[test]
fn the_clients_context_is_absorbed() {
    let store = open(&disk());
    let seen = foreign_delta(5, 3, "elsewhere", &CausalContext::new());
    put(&store, &key("k"), "new", seen.context()).unwrap();
    let joined = store.join(&key("k"), &seen, |_| {}).unwrap();
    assert!(
        !joined.changed,
        "the put superseded a value before it arrived"
    );
    assert_eq!(bodies(&store.get(&key("k")).unwrap().unwrap()), ["new"]);
}

#[test]
fn readers_do_not_see_tombstones_beside_values_nor_a_value_twice() {
    let store = open(&disk());
    let nothing = CausalContext::new();
    for value in [
        value("same"),
        Value::tombstone(HybridTime(1)),
        Value::new(HybridTime(9), "same"),
        value("other"),
    ] {
        store.put(&key("k"), value, &nothing, |_| {}).unwrap();
    }
    let state = store.get(&key("k")).unwrap().unwrap();
    assert_eq!(state.len(), 4);
    assert_eq!(bodies(&state), ["same", "other"]);
    assert_eq!(
        shown(&state)[0].time,
        HybridTime(9),
        "of equal values the newest is shown"
    );

    store
        .put(
            &key("k"),
            Value::tombstone(HybridTime(2)),
            state.context(),
            |_| {},
        )
        .unwrap();
    let deleted = store
        .get(&key("k"))
        .unwrap()
        .expect("a deleted key is known");
    assert_eq!((deleted.len(), shown(&deleted).len()), (1, 0));
}

proptest! {
    #[test]
    fn what_is_shown_is_every_live_value_once(state in crate::testing::strategies::state()) {
        let shown = shown(&state);
        let live: Vec<&Value> = state.values().map(|(_, value)| value).filter(|value| !value.is_tombstone()).collect();
        let same = |a: &Value, b: &Value| (&a.body, &a.content_type) == (&b.body, &b.content_type);
        for value in &live {
            let found: Vec<_> = shown.iter().filter(|other| same(other, value)).collect();
            prop_assert_eq!(found.len(), 1);
            prop_assert!(found[0].time >= value.time);
        }
        prop_assert!(shown.iter().all(|value| live.contains(value)));
    }
}

#[test]
fn too_many_siblings_are_refused_before_a_dot_is_taken_and_a_merge_passes() {
    let disk = disk();
    let limited = StoreOptions {
        sibling_limit_hard: 3,
        sibling_limit_soft: 2,
        ..options()
    };
    let store = ObjectStore::open(Arc::new(disk.clone()), limited).unwrap();
    let nothing = CausalContext::new();
    let dots: Vec<u64> = (0..3)
        .map(|_| put(&store, &key("k"), "x", &nothing).unwrap().dot.counter)
        .collect();
    let before = disk.unsynced();
    let error = put(&store, &key("k"), "one too many", &nothing).unwrap_err();
    assert!(
        matches!(
            &error,
            Error::TooManySiblings {
                count: 3,
                limit: 3,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("default/k"));
    assert_eq!(
        (disk.unsynced(), store.counters().siblings_refused),
        (before, 1)
    );

    let elsewhere = foreign_delta(5, 1, "joined", &nothing);
    assert!(
        store.join(&key("k"), &elsewhere, |_| {}).unwrap().changed,
        "joins never refuse"
    );
    assert_eq!(store.counters().siblings_max, 4);

    let state = store.get(&key("k")).unwrap().unwrap();
    let merged = put(&store, &key("k"), "merged", state.context()).unwrap();
    assert_eq!(
        (dots, merged.dot.counter),
        (vec![1, 2, 3], 4),
        "no dot was spent on the refusal"
    );
}

#[test]
fn an_oversized_context_is_refused_only_if_the_put_makes_it_grow() {
    let limited = StoreOptions {
        context_entries_max: 3,
        ..options()
    };
    let store = ObjectStore::open(Arc::new(disk()), limited).unwrap();
    let actors = |nodes: std::ops::Range<u64>| -> CausalContext {
        nodes
            .map(|node| Dot::new(ActorId::new(node, Epoch(1)), 1))
            .collect()
    };
    put(&store, &key("k"), "fits", &actors(2..4)).unwrap();
    let error = put(&store, &key("k"), "too much", &actors(4..5)).unwrap_err();
    assert!(
        matches!(
            &error,
            Error::ContextTooLarge {
                entries: 4,
                limit: 3,
                ..
            }
        ),
        "{error}"
    );
    for node in 5..8 {
        store
            .join(
                &key("k"),
                &foreign_delta(node, 1, "joined", &CausalContext::new()),
                |_| {},
            )
            .unwrap();
    }
    put(&store, &key("k"), "adds no entry", &CausalContext::new()).unwrap();
    assert_eq!(store.counters().context_entries_max, 6);
}

#[test]
fn oversized_values_are_refused_by_puts_with_the_limit() {
    let store = ObjectStore::open(
        Arc::new(disk()),
        StoreOptions {
            value_bytes_max: 4,
            ..options()
        },
    )
    .unwrap();
    let nothing = CausalContext::new();
    assert!(put(&store, &key("k"), "four", &nothing).is_ok());
    let error = put(&store, &key("k"), "fives", &nothing).unwrap_err();
    assert_eq!(error.to_string(), "value of 5 bytes: at most 4 are allowed");
    let typed = Value {
        content_type: Some("t".repeat(257).into()),
        ..value("x")
    };
    assert!(matches!(
        store.put(&key("k"), typed, &nothing, |_| {}),
        Err(Error::ContentTypeLength { bytes: 257, .. })
    ));
}

#[test]
fn markers_land_with_the_state_also_where_the_state_does_not_change() {
    let store = open(&disk());
    let delta = foreign_delta(5, 1, "x", &CausalContext::new());
    let mark =
        |name: &'static str| move |batch: &mut Batch| _ = batch.put(&Family::HINTS, name, "");
    store.join(&key("k"), &delta, mark("first")).unwrap();
    let again = store.join(&key("k"), &delta, mark("second")).unwrap();
    store
        .put(&key("k"), value("y"), &CausalContext::new(), mark("third"))
        .unwrap();
    assert!(!again.changed);
    for name in ["first", "second", "third"] {
        assert!(
            store
                .engine()
                .get(&Family::HINTS, name.as_bytes())
                .unwrap()
                .is_some(),
            "{name}"
        );
    }
}

#[test]
fn settling_sees_the_state_and_writes_its_decision_in_one_batch() {
    let disk = disk();
    let store = open(&disk);
    let held = key("held");
    let write = put(&store, &held, "x", &CausalContext::new()).unwrap();
    store
        .write({
            let mut batch = Batch::new();
            batch.put(&Family::HINTS, "hint", "");
            batch
        })
        .unwrap();

    let acknowledge = |hash: StateHash| {
        store.settle(&held, |state, settle| {
            let same = state.is_some_and(|(_, now)| now == hash);
            if same {
                settle.batch().delete(&Family::HINTS, "hint");
                settle.drop_record();
            }
            same
        })
    };
    let before = disk.unsynced();
    let other = acknowledge(StateHash(1)).unwrap();
    assert!(
        !other.output && other.dropped.is_none(),
        "another state was acknowledged"
    );
    assert_eq!(disk.unsynced(), before, "nothing to do, nothing written");

    let settled = acknowledge(write.hash).unwrap();
    assert!(settled.output && settled.dropped == Some(write.hash));
    assert_eq!(disk.unsynced(), before + 1, "one batch");
    assert_eq!(store.get(&held).unwrap(), None);
    assert_eq!(store.engine().get(&Family::HINTS, b"hint").unwrap(), None);
    assert!(
        !acknowledge(write.hash).unwrap().output,
        "nothing is known of the key any more"
    );

    let again = put(&store, &held, "y", &CausalContext::new()).unwrap();
    assert_ne!(
        again.dot.actor, write.dot.actor,
        "a re-created key is kept apart from its ancestor"
    );
}

#[test]
fn an_own_dot_that_a_peer_knows_and_this_node_does_not_takes_a_fresh_epoch() {
    let store = open(&disk());
    let nothing = CausalContext::new();
    let first = put(&store, &key("k"), "x", &nothing).unwrap();
    let forgotten = Dot::new(first.dot.actor, 7);
    store
        .join(
            &key("k"),
            &State::delta(forgotten, value("forgotten"), &nothing),
            |_| {},
        )
        .unwrap();
    let second = put(&store, &key("k"), "y", &nothing).unwrap();
    assert_ne!(second.dot.actor, first.dot.actor);

    let client: CausalContext = [Dot::new(second.dot.actor, 9)].into_iter().collect();
    let third = put(&store, &key("k"), "z", &client).unwrap();
    assert!(![first.dot.actor, second.dot.actor].contains(&third.dot.actor));
    assert_eq!(
        bodies(&store.get(&key("k")).unwrap().unwrap()),
        ["x", "forgotten", "y", "z"]
    );
}

#[test]
fn an_unknown_own_dot_of_another_epoch_voids_the_position_too() {
    let store = open(&disk());
    let nothing = CausalContext::new();
    let first = put(&store, &key("k"), "x", &nothing).unwrap();
    let second = put(&store, &key("k"), "y", &nothing).unwrap();
    assert_eq!(first.dot.actor, second.dot.actor);
    let other_life = Dot::new(ActorId::new(NODE, Epoch(u64::MAX)), 1);
    let delta = State::delta(other_life, value("forgotten"), &nothing);
    store.join(&key("k"), &delta, |_| {}).unwrap();
    let third = put(&store, &key("k"), "z", &nothing).unwrap();
    assert!(![first.dot.actor, other_life.actor].contains(&third.dot.actor));
    store.join(&key("k"), &delta, |_| {}).unwrap();
    let fourth = put(&store, &key("k"), "z", &nothing).unwrap();
    assert_eq!(fourth.dot.actor, third.dot.actor, "it is known by now");
}

#[test]
fn writers_to_one_key_get_distinct_dots_and_lose_nothing() {
    let store = open(&disk());
    let dots: Vec<Dot> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    let write = |n| {
                        put(
                            store,
                            &key("k"),
                            &format!("{writer}-{n}"),
                            &CausalContext::new(),
                        )
                        .unwrap()
                        .dot
                    };
                    (0..50).map(write).collect::<Vec<_>>()
                })
            })
            .collect();
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect()
    });
    let state = store.get(&key("k")).unwrap().unwrap();
    let mut expected = dots;
    expected.sort();
    assert_eq!(
        state.values().map(|(dot, _)| *dot).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(shown(&state).len(), 200);
}

#[test]
fn closing_keeps_positions_and_ends_writes_but_not_reads() {
    let disk = disk();
    let store = open(&disk);
    let first = put(&store, &key("k"), "x", &CausalContext::new()).unwrap();
    store.close().unwrap();
    let state = store.get(&key("k")).unwrap().unwrap();
    assert!(matches!(store.close(), Err(Error::Closed)));
    assert!(matches!(
        store.join(&key("k"), &state, |_| {}),
        Err(Error::Closed)
    ));
    assert!(matches!(store.meta_put("name", "x"), Err(Error::Closed)));
    assert!(matches!(store.void_positions(), Err(Error::Closed)));
    assert!(matches!(
        store.settle(&key("k"), |_, _| ()),
        Err(Error::Closed)
    ));

    let again = open(&disk.crash());
    assert!(again.opened_clean() && again.opened() == Opened::Clean);
    let second = put(&again, &key("k"), "y", &CausalContext::new()).unwrap();
    assert_eq!((second.dot.actor, second.dot.counter), (first.dot.actor, 2));
}

#[test]
fn user_entries_are_durable_when_put_returns_and_apart_from_the_stores_own() {
    let disk = disk();
    let store = open(&disk);
    store.meta_put("generation", "mine").unwrap();
    assert_eq!(store.meta_get("nothing").unwrap(), None);
    let again = open(&disk.crash());
    assert_eq!(
        again.meta_get("generation").unwrap().as_deref(),
        Some(b"mine".as_slice())
    );
    assert_eq!(again.generation(), 2);
}

#[test]
fn a_store_of_another_node_or_a_newer_release_is_refused_untouched() {
    let disk = disk();
    drop(open(&disk));
    let foreign = ObjectStore::open(Arc::new(disk.clone()), StoreOptions::new(2, 7)).unwrap_err();
    assert!(matches!(foreign, Error::ForeignNode { found: 1, given: 2 }));

    let mut batch = Batch::new();
    super::super::meta::stage_number(&mut batch, "format", 99);
    disk.write(batch).unwrap();
    let newer = ObjectStore::open(Arc::new(disk.clone()), options()).unwrap_err();
    assert!(
        matches!(
            newer,
            Error::NewerFormat {
                found: 99,
                supported: 1
            }
        ),
        "{newer}"
    );
    assert_eq!(disk.unsynced(), 1, "only the test wrote");
}

#[test]
fn a_missing_family_is_named_at_opening() {
    let engine = FaultEngine::new([Family::META]);
    let error = ObjectStore::open(Arc::new(engine), options()).unwrap_err();
    assert!(matches!(error, Error::UnknownFamily { family } if family == Family::OBJECTS));
}

#[test]
fn settled_follows_the_policy_and_synced_the_disk() {
    for (durability, waits) in [(Durability::Sync, true), (Durability::Os, false)] {
        let disk = disk();
        let store = ObjectStore::open(
            Arc::new(disk.clone()),
            StoreOptions {
                durability,
                ..options()
            },
        )
        .unwrap();
        let seq = put(&store, &key("k"), "x", &CausalContext::new())
            .unwrap()
            .seq;
        assert!(store.get(&key("k")).unwrap().is_some(), "visible at once");
        assert_eq!(poll(&mut store.settled(seq)).is_none(), waits);
        assert_eq!(disk.flushed() == 0, waits);
        let mut synced = store.synced(seq);
        assert!(poll(&mut synced).is_none());
        assert!(store.run_pending_syncs());
        assert!(matches!(poll(&mut synced), Some(Ok(()))));
    }
}

#[test]
fn an_unchanged_join_is_settled_only_when_the_state_is() {
    let store = open(&disk());
    let delta = foreign_delta(5, 1, "x", &CausalContext::new());
    store.join(&key("k"), &delta, |_| {}).unwrap();
    let again = store.join(&key("k"), &delta, |_| {}).unwrap();
    let mut wait = store.synced(again.seq);
    assert!(
        poll(&mut wait).is_none(),
        "the first join is not on disk yet"
    );
    store.run_pending_syncs();
    assert!(matches!(poll(&mut wait), Some(Ok(()))));
}

#[test]
fn a_raised_generation_counts_on_from_there_and_never_back() {
    let disk = disk();
    let store = open(&disk);
    store.raise_generation(1_000).unwrap();
    assert_eq!(store.generation(), 1, "it is for the next opening");
    drop(store);
    let store = open(&disk);
    assert_eq!(store.generation(), 1_001);
    store.raise_generation(5).unwrap();
    drop(store);
    assert_eq!(open(&disk).generation(), 1_002);
}
