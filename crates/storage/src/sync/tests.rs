#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::future::poll_fn;
use std::sync::mpsc;
use std::task::{Poll, Wake, Waker};

use bytes::Bytes;

use super::*;
use crate::engine::{Failing, Family, FaultEngine, FaultPoint, MemoryEngine, Snapshot};

#[test]
fn manual_mode_syncs_once_for_all_waiters_and_not_without_any() {
    let (engine, sync) = manual(Durability::Sync);
    assert!(!sync.run_pending(), "nobody waits");
    let seqs: Vec<WriteSeq> = (0..10).map(|_| write(&sync).unwrap()).collect();
    assert!(!sync.run_pending(), "writes alone ask for nothing");
    assert!(seqs.is_sorted_by(|a, b| a < b));

    let mut waits: Vec<SyncWait> = seqs.iter().map(|seq| sync.settled(*seq)).collect();
    assert!(waits.iter_mut().all(|wait| poll(wait).is_none()));
    assert!(sync.run_pending());
    assert!(
        waits
            .iter_mut()
            .all(|wait| matches!(poll(wait), Some(Ok(()))))
    );
    assert_eq!((engine.syncs(), engine.unsynced()), (1, 0));
    assert!(
        matches!(poll(&mut sync.synced(seqs[9])), Some(Ok(()))),
        "synced already"
    );
    assert!(!sync.run_pending());
}

#[test]
fn a_write_after_the_sync_waits_for_the_next() {
    let (_, sync) = manual(Durability::Sync);
    let first = write(&sync).unwrap();
    let mut early = sync.synced(first);
    sync.run_pending();
    let mut late = sync.synced(write(&sync).unwrap());
    assert!(matches!(poll(&mut early), Some(Ok(()))));
    assert!(poll(&mut late).is_none());
    assert!(sync.run_pending());
    assert!(matches!(poll(&mut late), Some(Ok(()))));
}

#[test]
fn only_the_sync_policy_makes_settled_wait_but_synced_always_does() {
    for (durability, due_without_waiters) in [
        (Durability::Os, false),
        (Durability::Interval(Duration::from_secs(1)), true),
    ] {
        let (engine, sync) = manual(durability);
        let seq = write(&sync).unwrap();
        block_on(sync.settled(seq)).unwrap();
        assert_eq!((engine.syncs(), engine.flushed()), (0, 1));
        assert_eq!(sync.run_pending(), due_without_waiters, "{durability:?}");
        let mut wait = sync.synced(write(&sync).unwrap());
        assert!(poll(&mut wait).is_none());
        assert!(sync.run_pending());
        assert!(matches!(poll(&mut wait), Some(Ok(()))));
        assert!(
            !sync.run_pending(),
            "an interval with nothing unsynced is not due"
        );
    }
}

#[test]
fn those_who_are_ready_at_the_same_time_share_a_flush() {
    let (engine, sync) = manual(Durability::Os);
    let mut first = sync.settled(write(&sync).unwrap());
    let mut second = sync.settled(write(&sync).unwrap());
    assert!(first.lets_others_write() && second.lets_others_write());
    assert_eq!(engine.flushed(), 0);
    assert!(matches!(poll(&mut first), Some(Ok(()))));
    assert_eq!(engine.flushed(), 2);
    engine.fail(FaultPoint::Flush, Failing::Always);
    assert!(matches!(poll(&mut second), Some(Ok(()))), "it was shared");
}

#[test]
fn what_was_acknowledged_survives_the_process_and_what_was_not_may_be_gone() {
    let (engine, sync) = manual(Durability::Os);
    block_on(sync.settled(write(&sync).unwrap())).unwrap();
    let mut unsettled = Batch::new();
    unsettled.put(&Family::META, "other", "value");
    sync.write(unsettled).unwrap();
    assert_eq!(engine.unsynced(), 2);
    let found = engine.kill();
    assert!(found.get(&Family::META, b"key").unwrap().is_some());
    assert!(found.get(&Family::META, b"other").unwrap().is_none());
}

#[test]
fn after_a_failed_flush_writers_get_the_reason() {
    let (engine, sync) = manual(Durability::Os);
    let wait = sync.settled(write(&sync).unwrap());
    engine.fail(FaultPoint::Flush, Failing::Next(1));
    assert!(matches!(block_on(wait), Err(Error::Poisoned { .. })));
    assert!(matches!(write(&sync), Err(Error::Poisoned { .. })));
    assert_eq!(sync.lapses(), 1);
}

#[test]
fn after_a_failed_sync_waiters_and_writers_get_the_reason_and_what_was_synced_stays_so() {
    let (engine, sync) = manual(Durability::Sync);
    let safe = write(&sync).unwrap();
    sync.sync_now().unwrap();
    let mut waits = [
        sync.synced(write(&sync).unwrap()),
        sync.synced(write(&sync).unwrap()),
    ];
    engine.fail(FaultPoint::Sync, Failing::Next(1));
    assert!(sync.run_pending());
    for wait in &mut waits {
        let error = poll(wait).unwrap().unwrap_err();
        assert!(
            error.to_string().contains("injected sync failure"),
            "{error}"
        );
    }
    assert!(
        matches!(write(&sync), Err(Error::Poisoned { .. })),
        "although the disk would do it again"
    );
    assert!(matches!(sync.sync_now(), Err(Error::Poisoned { .. })));
    assert!(matches!(
        poll(&mut sync.synced(sync.newest())),
        Some(Err(Error::Poisoned { .. }))
    ));
    assert!(matches!(poll(&mut sync.synced(safe)), Some(Ok(()))));
    assert!(!sync.run_pending(), "a poisoned store does not sync");
}

#[test]
fn a_failed_write_does_not_poison() {
    let (engine, sync) = manual(Durability::Sync);
    engine.fail(FaultPoint::Write, Failing::Next(1));
    assert!(write(&sync).is_err());
    assert!(write(&sync).is_ok());
}

#[test]
fn waiters_of_a_dropped_store_learn_that_it_is_gone() {
    let (_, sync) = manual(Durability::Sync);
    let mut wait = sync.synced(write(&sync).unwrap());
    drop(sync);
    assert!(matches!(poll(&mut wait), Some(Err(Error::Closed))));
}

#[test]
fn a_volatile_engine_needs_neither_thread_nor_wait() {
    let engine = Arc::new(MemoryEngine::new([Family::META]));
    let sync = GroupSync::new(engine, Durability::Sync, SyncMode::Thread).unwrap();
    assert!(sync.worker.is_none());
    let seq = write(&sync).unwrap();
    assert!(matches!(poll(&mut sync.synced(seq)), Some(Ok(()))));
}

#[test]
fn the_thread_shares_a_sync_among_all_who_came_during_the_last_one() {
    let (gate, engine) = GatedEngine::new();
    let sync = GroupSync::new(Arc::new(engine), Durability::Sync, SyncMode::Thread).unwrap();
    let first = sync.settled(write(&sync).unwrap());
    gate.sync_begins(); // The first sync runs and does not end yet.
    let during: Vec<SyncWait> = (0..50)
        .map(|_| sync.settled(write(&sync).unwrap()))
        .collect();
    gate.go.send(()).unwrap();
    block_on(first).unwrap();
    gate.sync_begins();
    gate.go.send(()).unwrap();
    for wait in during {
        block_on(wait).unwrap();
    }
    assert!(
        gate.started.try_recv().is_err(),
        "two syncs served 51 writers"
    );
}

#[test]
fn a_sync_awaits_those_whom_the_last_one_answered_and_begins_when_they_are_there() {
    const LONG: Duration = Duration::from_secs(3_600);
    let (_, sync) = manual(Durability::Sync);
    let _first = sync.settled(write(&sync).unwrap());
    let (told, company) = mpsc::channel();
    let shared = Arc::clone(&sync.shared);
    std::thread::spawn(move || {
        let mut queue = shared.queue.lock();
        shared.await_company(&mut queue, &Gather::new(2, LONG, LONG));
        told.send(queue.waiters.len()).unwrap();
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while sync.shared.queue.lock().wanted != 2 {
        assert!(Instant::now() < deadline, "it does not wait for the second");
        std::thread::yield_now();
    }
    assert!(company.try_recv().is_err());
    let _second = sync.settled(write(&sync).unwrap());
    assert_eq!(company.recv_timeout(Duration::from_secs(20)), Ok(2));
    assert_eq!(sync.shared.queue.lock().wanted, 0);
}

#[test]
fn a_sync_does_not_await_those_who_stay_away() {
    let (_, sync) = manual(Durability::Sync);
    let _first = sync.settled(write(&sync).unwrap());
    let mut queue = sync.shared.queue.lock();
    let (short, long) = (Duration::from_millis(1), Duration::from_secs(3_600));
    // After a lull, and at the end of its patience even without one.
    for gather in [
        Gather::new(2, short, long),
        Gather::new(2, long, short),
        Gather::new(2, short, short),
    ] {
        sync.shared.await_company(&mut queue, &gather);
        assert_eq!(queue.waiters.len(), 1);
    }
}

#[test]
fn a_write_that_came_during_a_sync_is_not_covered_by_it() {
    let (gate, engine) = GatedEngine::new();
    let sync = GroupSync::new(Arc::new(engine), Durability::Sync, SyncMode::Thread).unwrap();
    let first = sync.settled(write(&sync).unwrap());
    gate.sync_begins();
    let mut second = sync.settled(write(&sync).unwrap());
    gate.go.send(()).unwrap();
    block_on(first).unwrap();
    assert!(poll(&mut second).is_none());
    gate.sync_begins();
    gate.go.send(()).unwrap();
    block_on(second).unwrap();
}

#[test]
fn an_interval_syncs_without_anybody_waiting() {
    let (gate, engine) = GatedEngine::new();
    let durability = Durability::Interval(Duration::from_millis(1));
    let sync = GroupSync::new(Arc::new(engine), durability, SyncMode::Thread).unwrap();
    write(&sync).unwrap();
    gate.sync_begins(); // Comes by itself.
    gate.go.send(()).unwrap();
}

#[test]
fn many_writers_are_all_served() {
    let engine = FaultEngine::new([Family::META]);
    let sync =
        GroupSync::new(Arc::new(engine.clone()), Durability::Sync, SyncMode::Thread).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let seq = write(&sync).unwrap();
                    block_on(sync.settled(seq)).unwrap();
                }
            });
        }
    });
    assert_eq!(engine.unsynced(), 0);
    assert!(engine.syncs() <= 1_600);
}

fn manual(durability: Durability) -> (FaultEngine, GroupSync) {
    let engine = FaultEngine::new([Family::META]);
    let sync = GroupSync::new(Arc::new(engine.clone()), durability, SyncMode::Manual).unwrap();
    (engine, sync)
}

fn write(sync: &GroupSync) -> Result<WriteSeq> {
    let mut batch = Batch::new();
    batch.put(&Family::META, "key", "value");
    sync.write(batch)
}

fn poll(wait: &mut SyncWait) -> Option<Result<()>> {
    match Pin::new(wait).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

/// Nothing but the standard library: the futures need no runtime.
fn block_on(mut wait: SyncWait) -> Result<()> {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = poll_fn(move |context| Pin::new(&mut wait).poll(context));
    loop {
        match Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// An engine whose syncs tell that they began and end when told.
struct GatedEngine {
    inner: MemoryEngine,
    started: Mutex<mpsc::Sender<()>>,
    go: Mutex<mpsc::Receiver<()>>,
}

struct Gate {
    started: mpsc::Receiver<()>,
    go: mpsc::Sender<()>,
}

impl Gate {
    fn sync_begins(&self) {
        let begun = self.started.recv_timeout(Duration::from_secs(20));
        begun.expect("a sync begins");
    }
}

impl GatedEngine {
    fn new() -> (Gate, Self) {
        let (started_tx, started) = mpsc::channel();
        let (go, go_rx) = mpsc::channel();
        let inner = MemoryEngine::new([Family::META]);
        (
            Gate { started, go },
            Self {
                inner,
                started: Mutex::new(started_tx),
                go: Mutex::new(go_rx),
            },
        )
    }
}

impl Engine for GatedEngine {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn families(&self) -> Vec<Family> {
        self.inner.families()
    }

    fn get(&self, family: &Family, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.get(family, key)
    }

    fn write(&self, batch: Batch) -> Result<()> {
        self.inner.write(batch)
    }

    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        self.inner.snapshot()
    }

    fn sync(&self) -> Result<()> {
        // A gate that is gone lets everything through.
        let _ = self.started.lock().send(());
        let _ = self.go.lock().recv();
        Ok(())
    }
}

#[test]
fn a_sync_without_room_refuses_writes_until_all_was_written_out_anew() {
    let (engine, sync) = manual(Durability::Sync);
    let mut wait = sync.synced(write(&sync).unwrap());
    engine.fail(FaultPoint::SyncWithoutRoom, Failing::Always);
    engine.set_full(true);
    assert!(sync.run_pending());
    assert!(matches!(poll(&mut wait), Some(Err(Error::Unsynced { .. }))));
    assert!(matches!(write(&sync), Err(Error::DiskFull { .. })));
    assert!(!sync.run_pending(), "there is no room yet");
    assert!(sync.is_full() && matches!(write(&sync), Err(Error::DiskFull { .. })));
    assert_eq!(engine.unsynced(), 1);

    engine.set_full(false);
    assert!(sync.run_pending());
    assert_eq!(
        engine.unsynced(),
        0,
        "what the failed sync left open is durable"
    );
    assert!(!sync.is_full() && sync.poison().is_none());
    assert_eq!(sync.lapses(), 1);
    engine.fail(FaultPoint::SyncWithoutRoom, Failing::Never);
    let mut wait = sync.synced(write(&sync).unwrap());
    assert!(sync.run_pending());
    assert!(matches!(poll(&mut wait), Some(Ok(()))));
}

#[test]
fn a_disk_that_fails_while_it_is_full_stays_refused() {
    let (engine, sync) = manual(Durability::Sync);
    write(&sync).unwrap();
    for point in [FaultPoint::SyncWithoutRoom, FaultPoint::Sync] {
        engine.fail(point, Failing::Next(1));
        assert!(sync.shared.sync().is_err());
    }
    assert!(!sync.run_pending());
    assert!(matches!(write(&sync), Err(Error::Poisoned { .. })));
    assert!(sync.poison().is_some());
}

#[test]
fn the_thread_finds_the_room_by_itself() {
    let engine = FaultEngine::new([Family::META]);
    let sync =
        GroupSync::new(Arc::new(engine.clone()), Durability::Sync, SyncMode::Thread).unwrap();
    engine.fail(FaultPoint::SyncWithoutRoom, Failing::Next(1));
    write(&sync).unwrap();
    assert!(matches!(sync.sync_now(), Err(Error::Unsynced { .. })));
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = write(&sync) {
        assert!(matches!(error, Error::DiskFull { .. }), "{error}");
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
}
