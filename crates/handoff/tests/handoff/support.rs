//! A holder on a disk with faults, and what is written to it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use dynamokv_handoff::{HintLog, HintPage};
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
}

impl Holder {
    pub(crate) fn new() -> Self {
        Self::on(FaultEngine::new(Family::CLUSTER))
    }

    pub(crate) fn on(disk: FaultEngine) -> Self {
        let mut options = StoreOptions::new(HOLDER, 7);
        options.sync_mode = SyncMode::Manual;
        let engine: Arc<dyn Engine> = Arc::new(disk.clone());
        let store = ObjectStore::open(engine, options).unwrap();
        let log = HintLog::open(Arc::clone(&store)).unwrap();
        Self { disk, store, log }
    }

    /// Power loss and restart; the first `kept` of what was not synced survives by chance.
    pub(crate) fn crash_keeping(self, kept: usize) -> Self {
        Self::on(self.disk.crash_keeping(kept))
    }

    /// Joins `state` and marks it for `target`; durable after the next sync.
    pub(crate) fn hint(&self, key: &ObjectKey, state: &State, target: NodeId) {
        self.store
            .join(key, state, |batch| self.log.mark(batch, key, target))
            .unwrap();
    }

    pub(crate) fn sync(&self) {
        self.disk.sync().unwrap();
    }

    /// The first page, large enough for everything.
    pub(crate) fn all(&self, target: NodeId) -> HintPage {
        self.log.page(target, None, many(), many()).unwrap()
    }

    pub(crate) fn count(&self, target: NodeId) -> u64 {
        self.log.count(target).unwrap()
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
