//! A place of the cluster: a disk that outlives crashes, and the node that runs on it for a while.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};

use dynamokv::storage::{Failing, FaultEngine, FaultPoint, State, SyncMode};
use dynamokv::{Error, Node, NodeConfig};
use parking_lot::Mutex;

use super::network::Turmoil;
use crate::dice::Dice;
use crate::disk::{self, Plug};
use crate::history::Key;
use crate::host;
use crate::network::Place;
use crate::record::Record;

/// One place.
pub(super) struct Cell {
    place: usize,
    config: NodeConfig,
    record: Arc<Record>,
    clock_skew_ms: Arc<AtomicI64>,
    inner: Mutex<Inner>,
}

struct Inner {
    disk: FaultEngine,
    /// Of the node that runs or ran last.
    plug: Weak<Plug>,
    node: Weak<Node>,
    /// Whether the node stopped by itself, or its power went.
    ended: bool,
    slow: bool,
    seeds: Dice,
    syncs: Dice,
}

impl Cell {
    /// A place with an empty disk.
    pub(super) fn new(record: &Arc<Record>, place: usize) -> Self {
        let plan = record.plan();
        let mut config = host::config(plan, place);
        config.listen = host::address(place, 0);
        Self {
            place,
            config,
            record: Arc::clone(record),
            clock_skew_ms: Arc::default(),
            inner: Mutex::new(Inner {
                disk: host::empty_disk(),
                plug: Weak::new(),
                node: Weak::new(),
                ended: false,
                slow: false,
                seeds: Dice::new(plan.seed, &format!("node {place}")),
                syncs: Dice::new(plan.seed, &format!("disk {place}")),
            }),
        }
    }

    /// See [`disk::safe_copies`].
    pub(super) fn safe_copies(&self, keys: &[Key]) -> BTreeMap<Key, State> {
        let power_may_go = self.record.plan().loses_power();
        disk::safe_copies(&self.inner.lock().disk, keys, power_may_go)
    }

    /// A life of a node: what turmoil runs. One that cannot go on stays until its host is made to crash: dropped here, it
    /// would close its connections in an order that is no part of the seed.
    pub(super) async fn live(self: Arc<Self>) -> turmoil::Result {
        match self.start().await {
            Ok((node, plug)) => {
                let syncing = plug.keep_synced(node.parts().store(), || self.sync_time());
                tokio::select! {
                    biased;
                    () = plug.power_lost() => self.note_end(&"its power went"),
                    reason = node.ended() => self.note_end(&reason),
                    () = syncing => {}
                }
                std::future::pending().await
            }
            Err(error) => {
                self.note_end(&error);
                Ok(())
            }
        }
    }

    fn note_end(&self, reason: &dyn std::fmt::Display) {
        self.note(format_args!("must stop: {reason}"));
        self.inner.lock().ended = true;
    }

    async fn start(&self) -> Result<(Arc<Node>, Arc<Plug>), Error> {
        let (plug, random_seed) = {
            let mut inner = self.inner.lock();
            inner.ended = false;
            let plug = Arc::new(Plug::new(inner.disk.clone()));
            inner.plug = Arc::downgrade(&plug);
            (plug, inner.seeds.number())
        };
        self.note(format_args!("starts"));
        let record = Arc::clone(&self.record);
        let node = Node::builder(self.config.clone())
            .engine(Arc::clone(&plug) as _)
            .sync_mode(SyncMode::Manual)
            .random_seed(random_seed)
            .wall_clock(host::wall_clock(move || record.now(), &self.clock_skew_ms))
            .start_over(Turmoil)
            .await?;
        let node = Arc::new(node);
        self.inner.lock().node = Arc::downgrade(&node);
        Ok((node, plug))
    }

    fn sync_time(&self) -> std::time::Duration {
        let inner = &mut *self.inner.lock();
        disk::sync_time(&mut inner.syncs, inner.slow)
    }

    /// The name of its host.
    pub(super) fn name(&self) -> String {
        Place::Node(self.place).to_string()
    }

    /// The node, while it runs.
    pub(super) fn node(&self) -> Option<Arc<Node>> {
        let inner = self.inner.lock();
        inner.node.upgrade().filter(|_| !inner.ended)
    }

    /// Whether its node stopped by itself.
    pub(super) fn ended(&self) -> bool {
        self.inner.lock().ended
    }

    /// What a power loss leaves, once the host is down: so many of the writes that were not synced.
    pub(super) fn lose_power(&self, kept: usize) {
        let mut inner = self.inner.lock();
        inner.ended = false;
        inner.disk = inner.disk.crash_keeping(kept);
    }

    /// Writes that a power loss would lose.
    pub(super) fn unsynced(&self) -> usize {
        self.inner.lock().disk.unsynced()
    }

    /// Sets what fails.
    pub(super) fn fail(&self, point: FaultPoint, failing: Failing) {
        self.inner.lock().disk.fail(point, failing);
    }

    /// Fills the disk, or makes room.
    pub(super) fn set_full(&self, full: bool) {
        self.inner.lock().disk.set_full(full);
    }

    /// The power goes in the middle of a write to come.
    pub(super) fn lose_power_after(&self, writes: u64, logged: bool) {
        if let Some(plug) = self.inner.lock().plug.upgrade() {
            plug.lose_power_after(writes, logged);
        }
    }

    /// Ends all faults of the disk; whether the node must start anew to write again.
    pub(super) fn heal(&self) -> bool {
        let inner = self.inner.lock();
        disk::heal(&inner.disk);
        if let Some(plug) = inner.plug.upgrade() {
            plug.spare();
        }
        let node = inner.node.upgrade();
        node.is_some_and(|node| node.parts().store().poison().is_some())
    }

    /// Its syncs take long, or not.
    pub(super) fn set_slow(&self, slow: bool) {
        self.inner.lock().slow = slow;
    }

    /// Moves the wall clock.
    pub(super) fn jump_clock(&self, by_ms: i64) {
        self.clock_skew_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    fn note(&self, what: std::fmt::Arguments<'_>) {
        self.record.note(Place::Node(self.place), what);
    }
}
