#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cache;
mod check;
mod faults;
mod model;
mod observer;
mod ranges;
mod rules;
mod scan;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use dynamokv_vclock::{ActorId, CausalContext, Dot, Epoch, HybridTime};

use crate::engine::{Engine, Family, FaultEngine};
use crate::sync::{SyncMode, SyncWait};
use crate::value::{State, Value};
use crate::{Applied, ObjectKey, ObjectStore, Result, StoreOptions};

const NODE: u64 = 1;

fn options() -> StoreOptions {
    StoreOptions {
        sync_mode: SyncMode::Manual,
        ..StoreOptions::new(NODE, 7)
    }
}

fn disk() -> FaultEngine {
    FaultEngine::new(Family::CLUSTER)
}

fn open(disk: &FaultEngine) -> Arc<ObjectStore> {
    ObjectStore::open(Arc::new(disk.clone()), options()).unwrap()
}

fn key(name: &'static str) -> ObjectKey {
    ObjectKey::new("default", name).unwrap()
}

fn value(body: &str) -> Value {
    Value::new(HybridTime(1), body.as_bytes().to_vec())
}

fn put(
    store: &ObjectStore,
    key: &ObjectKey,
    body: &str,
    client: &CausalContext,
) -> Result<Applied> {
    store.put(key, value(body), client, |_| {})
}

fn bodies(state: &State) -> Vec<String> {
    crate::shown(state)
        .iter()
        .map(|value| String::from_utf8(value.body.clone().unwrap().into()).unwrap())
        .collect()
}

/// A write that another node took.
fn foreign_delta(node: u64, counter: u64, body: &str, client: &CausalContext) -> State {
    State::delta(
        Dot::new(ActorId::new(node, Epoch(9)), counter),
        value(body),
        client,
    )
}

fn flip_bit(disk: &FaultEngine, key: &ObjectKey, bit: usize) {
    let mut record = disk
        .get(&Family::OBJECTS, &key.encode())
        .unwrap()
        .unwrap()
        .to_vec();
    let place = bit % (record.len() * 8);
    record[place / 8] ^= 1 << (place % 8);
    let mut batch = crate::Batch::new();
    batch.put(&Family::OBJECTS, key.encode(), record);
    disk.write(batch).unwrap();
}

fn poll(wait: &mut SyncWait) -> Option<Result<()>> {
    match std::future::Future::poll(Pin::new(wait), &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}
