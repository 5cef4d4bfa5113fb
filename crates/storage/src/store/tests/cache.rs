//! Records in memory say what the engine says.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::*;
use crate::StateHash;

fn cached(disk: &FaultEngine, cache_bytes: usize) -> Arc<ObjectStore> {
    let options = StoreOptions {
        cache_bytes,
        ..options()
    };
    ObjectStore::open(Arc::new(disk.clone()), options).unwrap()
}

#[test]
fn readers_beside_writers_never_see_a_key_go_back() {
    // Room for some of the keys only, so that they come and go.
    let store = cached(&disk(), 1_000);
    let keys = ["a", "b", "c", "d"].map(key);
    let written = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = [(); 4].map(|()| CausalContext::new());
                while !written.load(Relaxed) {
                    for (key, seen) in keys.iter().zip(&mut seen) {
                        let state = store.get(key).unwrap().unwrap_or_default();
                        let mut context = state.context().clone();
                        assert!(!context.merge(seen), "{key}: what was seen is gone");
                        *seen = context;
                    }
                }
            });
        }
        let writer = scope.spawn(|| {
            let mut contexts = [(); 4].map(|()| CausalContext::new());
            for round in 0..4_000 {
                let at = round % 4;
                let applied = put(&store, &keys[at], "new", &contexts[at]).unwrap();
                contexts[at] = applied.delta.context().clone();
            }
        });
        writer.join().unwrap();
        written.store(true, Relaxed);
    });
    // Behind the store's back.
    let mut batch = crate::Batch::new();
    for key in &keys {
        batch.delete(&Family::OBJECTS, key.encode());
    }
    store.engine().write(batch).unwrap();
    let warm = keys.iter().filter(|key| store.get(key).unwrap().is_some());
    assert!((1..4).contains(&warm.count()), "some came and went");
}

#[test]
fn what_is_cached_is_not_read_from_the_engine() {
    let disk = disk();
    let store = cached(&disk, 1 << 20);
    let nothing = CausalContext::new();
    put(&store, &key("a"), "warm", &nothing).unwrap();
    // Behind the store's back.
    let mut batch = crate::Batch::new();
    batch.delete(&Family::OBJECTS, key("a").encode());
    store.engine().write(batch).unwrap();
    let (state, hash) = store.get_hashed(&key("a")).unwrap().unwrap();
    assert_eq!(bodies(&state), ["warm"]);
    assert_eq!(hash, StateHash::of(&key("a"), &state));
    assert_eq!(store.warm_hash(&key("a")), Some(hash));
    store.purge(dynamokv_ring::TokenRange::ALL, |_| {}).unwrap();
    assert_eq!(store.get(&key("a")).unwrap(), None);
    assert_eq!(store.warm_hash(&key("a")), None);
}

#[test]
fn what_was_read_is_warm_from_then_on() {
    let disk = disk();
    put(&cached(&disk, 0), &key("a"), "cold", &CausalContext::new()).unwrap();
    let store = cached(&disk, 1 << 20);
    assert_eq!(store.warm_hash(&key("a")), None);
    let (state, hash) = store.get_hashed(&key("a")).unwrap().unwrap();
    assert_eq!(hash, StateHash::of(&key("a"), &state));
    assert_eq!(store.warm_hash(&key("a")), Some(hash));
}
