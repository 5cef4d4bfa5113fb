//! Which thread does what: an async runtime of one thread goes on while the disk syncs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use bytes::Bytes;
use dynamokv_storage::{
    Batch, Engine, Family, MemoryEngine, ObjectKey, ObjectStore, Result, Snapshot, StoreOptions,
    Value,
};
use dynamokv_vclock::{CausalContext, HybridTime};

/// An engine that tells which thread called, and whose syncs begin audibly and end when told.
struct Watched {
    inner: MemoryEngine,
    calls: Mutex<Vec<(&'static str, ThreadId)>>,
    begun: Mutex<Sender<()>>,
    go: Mutex<Receiver<()>>,
}

impl Watched {
    fn note(&self, call: &'static str) {
        let call = (call, thread::current().id());
        self.calls.lock().unwrap().push(call);
    }
}

impl Engine for Watched {
    fn name(&self) -> &'static str {
        "watched"
    }

    fn families(&self) -> Vec<Family> {
        self.inner.families()
    }

    fn get(&self, family: &Family, key: &[u8]) -> Result<Option<Bytes>> {
        self.note("get");
        self.inner.get(family, key)
    }

    fn write(&self, batch: Batch) -> Result<()> {
        self.note("write");
        self.inner.write(batch)
    }

    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        self.inner.snapshot()
    }

    fn sync(&self) -> Result<()> {
        self.note("sync");
        // A test that is over lets everything through.
        let _ = self.begun.lock().unwrap().send(());
        let _ = self.go.lock().unwrap().recv();
        Ok(())
    }
}

#[test]
fn one_thread_reads_and_writes_on_while_the_disk_syncs_and_what_is_cached_is_read_on_it() {
    let (begun_tx, begun) = mpsc::channel();
    let (go, go_rx) = mpsc::channel();
    let engine = Arc::new(Watched {
        inner: MemoryEngine::new(Family::CLUSTER),
        calls: Mutex::default(),
        begun: Mutex::new(begun_tx),
        go: Mutex::new(go_rx),
    });
    // For the opening, and for the lease of the first epochs: both block, as documented.
    go.send(()).unwrap();
    go.send(()).unwrap();
    let store = ObjectStore::open(engine.clone(), StoreOptions::new(1, 7)).unwrap();
    put(&store, "leases epochs");
    for _ in 0..2 {
        begun.recv_timeout(Duration::from_secs(20)).unwrap();
    }
    engine.calls.lock().unwrap().clear();

    // In a thread of its own, so that a blocked runtime is a failure and not a test that never ends.
    let (told, answer) = mpsc::channel();
    let (running, watched) = (Arc::clone(&store), Arc::clone(&engine));
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let writer = Arc::clone(&running);
            let first = tokio::spawn(async move { writer.settled(put(&writer, "a")).await });
            tokio::task::yield_now().await;
            // The sync holds; nothing else does.
            begun.recv_timeout(Duration::from_secs(20)).unwrap();
            assert!(!first.is_finished());
            assert!(running.get(&key("a")).unwrap().is_some(), "visible at once");
            let late = running.settled(put(&running, "b"));
            assert!(running.get(&key("b")).unwrap().is_some());
            for (call, caller) in watched.calls.lock().unwrap().iter() {
                let here = *caller == thread::current().id();
                assert_eq!(here, *call != "sync", "{call} on another thread");
            }
            go.send(()).unwrap();
            first.await.unwrap().unwrap();
            // The write that came meanwhile has a sync of its own.
            begun.recv_timeout(Duration::from_secs(20)).unwrap();
            go.send(()).unwrap();
            late.await.unwrap();
        });
        told.send(()).unwrap();
    });
    let answer = answer.recv_timeout(Duration::from_secs(60));
    answer.expect("the runtime's only thread was blocked, or an assertion failed");
}

fn put(store: &ObjectStore, name: &'static str) -> dynamokv_storage::WriteSeq {
    let value = Value::new(HybridTime(1), name);
    let applied = store.put(&key(name), value, &CausalContext::new(), |_| {});
    applied.unwrap().seq
}

fn key(name: &'static str) -> ObjectKey {
    ObjectKey::new("default", name).unwrap()
}
