//! A holder on a disk with faults, and what is written to it.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use dynamokv_handoff::{HintBounds, HintLog, HintPage, PageLimits, Shipment};
use dynamokv_ring::NodeId;
use dynamokv_storage::{
    Engine, Family, FaultEngine, ObjectKey, ObjectStore, State, StoreOptions, SyncMode, Value,
};
use dynamokv_vclock::{ActorId, CausalContext, Dot, HybridTime};

pub(crate) const HOLDER: u64 = 1;

/// One run of a node that holds hints.
pub(crate) struct Holder {
    pub(crate) disk: FaultEngine,
    pub(crate) store: Arc<ObjectStore>,
    pub(crate) log: HintLog,
    bounds: HintBounds,
}

impl Holder {
    pub(crate) fn new() -> Self {
        Self::bounded(u64::MAX)
    }

    /// One that remembers so many keys of a target one by one.
    pub(crate) fn bounded(hints_max: u64) -> Self {
        let bounds = HintBounds {
            hints_max: NonZeroU64::new(hints_max).unwrap(),
        };
        Self::on(FaultEngine::new(Family::CLUSTER), bounds)
    }

    fn on(disk: FaultEngine, bounds: HintBounds) -> Self {
        let mut options = StoreOptions::new(HOLDER, 7);
        options.sync_mode = SyncMode::Manual;
        let engine: Arc<dyn Engine> = Arc::new(disk.clone());
        let store = ObjectStore::open(engine, options).unwrap();
        let log = HintLog::open(Arc::clone(&store), bounds.clone()).unwrap();
        Self {
            disk,
            store,
            log,
            bounds,
        }
    }

    /// Power loss and restart; the first `kept` of what was not synced survives by chance.
    pub(crate) fn crash_keeping(self, kept: usize) -> Self {
        Self::on(self.disk.crash_keeping(kept), self.bounds)
    }

    /// A clean stop and a start.
    pub(crate) fn restart(self) -> Self {
        self.store.close().unwrap();
        Self::on(self.disk, self.bounds)
    }

    /// Joins `state` and marks it for `target`; durable after the next sync.
    pub(crate) fn hint(&self, key: &ObjectKey, state: &State, target: NodeId) {
        self.hint_at(key, state, target, 0);
    }

    /// As [`hint`](Self::hint), at that time.
    pub(crate) fn hint_at(&self, key: &ObjectKey, state: &State, target: NodeId, now_ms: u64) {
        self.store
            .join(key, state, |batch| {
                self.log.mark(batch, key, target, now_ms)
            })
            .unwrap();
    }

    pub(crate) fn sync(&self) {
        self.disk.sync().unwrap();
    }

    /// The first page, large enough for everything.
    pub(crate) fn all(&self, target: NodeId) -> HintPage {
        self.log
            .page(target, None, &limits(many(), many()))
            .unwrap()
    }

    /// Hands everything over that is held for `target` since before that time; gives what was sent.
    pub(crate) fn deliver(&self, target: NodeId, held_before_ms: Option<u64>) -> Vec<ObjectKey> {
        let limits = PageLimits {
            held_before_ms,
            ..limits(at_most(2), many())
        };
        let (mut sent, mut from) = (Vec::new(), None);
        loop {
            let shipment = Shipment { target, from };
            let page = self.log.batch(&shipment, &limits).unwrap();
            let accepted = vec![true; page.page.entries.len()];
            sent.extend(page.page.entries.into_iter().map(|entry| entry.key));
            let outcome = self.log.acknowledge(page.pending, &accepted, |_| false);
            from = outcome.unwrap().next;
            if from.is_none() {
                return sent;
            }
        }
    }

    /// Hints of single keys.
    pub(crate) fn count(&self, target: NodeId) -> u64 {
        self.log.held(target).unwrap().hints
    }
}

pub(crate) fn limits(items: NonZeroUsize, bytes: NonZeroUsize) -> PageLimits {
    PageLimits {
        items,
        bytes,
        held_before_ms: None,
    }
}

pub(crate) fn many() -> NonZeroUsize {
    NonZeroUsize::MAX
}

pub(crate) fn at_most(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

pub(crate) fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name.to_owned()).unwrap()
}

pub(crate) fn numbered(number: usize) -> ObjectKey {
    key(&format!("key-{number}"))
}

/// A write by some other node: its `counter`-th to the key, of a client that had seen `seen`.
pub(crate) fn write_seeing(counter: u64, body: &str, seen: &CausalContext) -> State {
    let dot = Dot {
        actor: ActorId {
            node: 77,
            epoch: dynamokv_vclock::Epoch(1),
        },
        counter,
    };
    State::delta(dot, Value::new(HybridTime(counter), body.to_owned()), seen)
}

pub(crate) fn write(counter: u64, body: &str) -> State {
    write_seeing(counter, body, &CausalContext::new())
}

/// Whether `state` has everything that `part` has.
pub(crate) fn contains(state: &State, part: &State) -> bool {
    !state.clone().join_ref(part)
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
