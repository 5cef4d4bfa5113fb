//! Each planted bug of the store breaks a promise that holds without it.
#![cfg(feature = "planted-bugs")]
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dynamokv_storage::planted::{self, Bug};
use dynamokv_storage::{
    Applied, Engine, Family, FaultEngine, ObjectKey, ObjectStore, StoreOptions, SyncMode, Value,
};
use dynamokv_vclock::{CausalContext, Dot, HybridTime};

fn open(disk: &FaultEngine, random_seed: u64) -> Arc<ObjectStore> {
    let options = StoreOptions {
        sync_mode: SyncMode::Manual,
        ..StoreOptions::new(1, random_seed)
    };
    ObjectStore::open(Arc::new(disk.clone()), options).unwrap()
}

fn key() -> ObjectKey {
    ObjectKey::new("default", "k").unwrap()
}

fn put(store: &ObjectStore, body: &'static str, client: &CausalContext) -> Applied {
    let value = Value::new(HybridTime(1), body);
    store.put(&key(), value, client, |_| {}).unwrap()
}

fn siblings_after_a_put_with_context() -> usize {
    let store = open(&FaultEngine::new(Family::CLUSTER), 1);
    let first = put(&store, "old", &CausalContext::new());
    put(&store, "new", first.delta.context());
    store.get(&key()).unwrap().unwrap().len()
}

#[test]
fn a_put_supersedes_what_its_client_had_seen_unless_contexts_are_ignored() {
    assert_eq!(planted::with(None, siblings_after_a_put_with_context), 1);
    let bug = Some(Bug::ContextIgnored);
    assert_eq!(planted::with(bug, siblings_after_a_put_with_context), 2);
}

/// What happens to a node after a write that it has sent out: how the disk is found afterwards.
type Loss = fn(&FaultEngine, &ObjectStore) -> FaultEngine;

const LOSSES: [(&str, Loss); 3] = [
    ("the record was not synced", |disk, _| disk.crash()),
    ("the record was let go", |disk, store| {
        let drop = store.settle(&key(), |_, settle| settle.drop_record());
        drop.unwrap();
        store.close().unwrap();
        disk.crash()
    }),
    ("the disk is a new one", |_, _| {
        FaultEngine::new(Family::CLUSTER)
    }),
];

/// The dots of three writes by clients that have seen nothing; after the second, which no sync covers yet, comes the loss.
fn dots_around(loss: Loss) -> [Dot; 3] {
    let disk = FaultEngine::new(Family::CLUSTER);
    let store = open(&disk, 1);
    let first = put(&store, "synced", &CausalContext::new());
    disk.sync().unwrap();
    let sent = put(&store, "sent", &CausalContext::new());
    let disk = loss(&disk, &store);
    drop(store);
    // Another seed at each opening, as in production.
    let next = put(&open(&disk, 2), "next", &CausalContext::new());
    [first.dot, sent.dot, next.dot]
}

#[test]
fn no_dot_is_issued_twice_unless_epochs_are_reused() {
    for (what, loss) in LOSSES {
        let [first, sent, next] = planted::with(None, || dots_around(loss));
        assert!(next != first && next != sent, "{what}");
        let bug = Some(Bug::EpochReused);
        let [first, sent, next] = planted::with(bug, || dots_around(loss));
        assert!(next == first || next == sent, "{what}");
    }
}
