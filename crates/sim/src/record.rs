//! The record of a run: what was decided, what happened, what clients were told, and what was counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dynamokv::gossip::Snapshot;
use dynamokv::ring::NodeId;
use dynamokv::storage::{ObjectKey, State};
use parking_lot::Mutex;

use crate::history::{History, Key, WriteId};
use crate::invariants::acknowledged_copies_stay_durable::{Disks, at_acknowledgement, ever_after};
use crate::invariants::owners_have_acknowledged_writes::{self, NodeDisks};
use crate::invariants::stages_stay_in_step::{self, Step};
use crate::invariants::{Farewells, Ledger, Violation};
use crate::network::Place;
use crate::plan::Plan;
use crate::trace::Trace;

/// What everybody who takes part in a run notes. One thread works on it; the locks are never waited for.
pub struct Record {
    plan: Plan,
    clock: Box<dyn Fn() -> Duration + Send + Sync>,
    trace: Mutex<Trace>,
    history: Mutex<History>,
    ledger: Mutex<Ledger>,
    farewells: Mutex<Farewells>,
    broken: Mutex<Option<Violation>>,
    counts: Mutex<BTreeMap<String, u64>>,
    disks: OnceLock<LookAtDisks>,
}

/// Gives what each disk has of some keys after the worst crash that may come.
type LookAtDisks = Box<dyn Fn(&[Key]) -> Disks + Send + Sync>;

impl Record {
    /// An empty record; `clock` tells the virtual time since the run began.
    pub fn new(
        plan: Plan,
        keep_trace: bool,
        clock: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Arc<Self> {
        let grace = plan.grace;
        Arc::new(Self {
            plan,
            clock: Box::new(clock),
            trace: Mutex::new(Trace::new(keep_trace)),
            history: Mutex::new(History::remembering(grace)),
            ledger: Mutex::default(),
            farewells: Mutex::default(),
            broken: Mutex::default(),
            counts: Mutex::default(),
            disks: OnceLock::new(),
        })
    }

    /// What was decided beforehand.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Virtual time since the run began.
    pub fn now(&self) -> Duration {
        (self.clock)()
    }

    /// How many places there are.
    pub fn places(&self) -> usize {
        self.plan.places()
    }

    /// Notes an event.
    pub fn note(&self, who: Place, what: fmt::Arguments<'_>) {
        self.trace.lock().note(self.now(), &who, what);
    }

    /// Looks at the trace.
    pub fn trace<R>(&self, look: impl FnOnce(&Trace) -> R) -> R {
        look(&self.trace.lock())
    }

    /// Works on the history.
    pub fn history<R>(&self, work: impl FnOnce(&mut History) -> R) -> R {
        work(&mut self.history.lock())
    }

    /// Checks every dot that passes by: none may stand for two values.
    pub fn see(&self, key: &ObjectKey, state: &State) {
        let Some(key) = Key::of(key) else { return };
        let mut ledger = self.ledger.lock();
        for (dot, value) in state.values() {
            self.keep(ledger.see(key, *dot, value));
        }
    }

    /// Checks that nobody rises again in a node's view.
    pub fn see_view(&self, observer: NodeId, seen: &Snapshot) {
        self.keep(self.farewells.lock().see(observer, seen));
    }

    /// Checks that nobody is ahead in a membership change.
    pub fn see_steps(&self, steps: &BTreeMap<NodeId, Step>) {
        self.keep(stages_stay_in_step::check(steps));
    }

    /// Says how the disks are looked at; the first one counts.
    pub fn show_disks(&self, look: impl Fn(&[Key]) -> Disks + Send + Sync + 'static) {
        self.disks.get_or_init(|| Box::new(look));
    }

    /// Checks that the write which was just acknowledged is on W disks.
    pub fn look_at_disks_for(&self, id: WriteId) {
        let key = self.history(|history| history.write(id).map(|write| write.key));
        let Some(look) = self.disks.get() else { return };
        let (disks, now) = (look(key.as_slice()), self.now());
        self.keep(self.history(|history| at_acknowledgement(history, id, now, &disks)));
    }

    /// Checks that every acknowledged write is on W disks still.
    pub fn look_at_disks(&self) {
        let keys: Vec<Key> = self.history(|history| history.keys().collect());
        let Some(look) = self.disks.get() else { return };
        let (disks, now) = (look(&keys), self.now());
        self.keep(self.history(|history| ever_after(history, now, &disks)));
    }

    /// Checks that W owners of each ring that is read have every acknowledged write.
    pub fn see_owners(&self, disks: &NodeDisks, owners: impl Fn(Key) -> Vec<BTreeSet<NodeId>>) {
        let now = self.now();
        let held = self
            .history(|history| owners_have_acknowledged_writes::check(history, now, disks, owners));
        self.keep(held);
    }

    fn keep(&self, promise: Result<(), Violation>) {
        if let Err(violation) = promise {
            self.break_promise(violation);
        }
    }

    /// Notes a broken promise; the first one counts.
    pub fn break_promise(&self, violation: Violation) {
        self.note(Place::Everybody, format_args!("BROKEN {violation}"));
        self.broken.lock().get_or_insert(violation);
    }

    /// The first promise that was seen broken during the run.
    pub fn broken(&self) -> Option<Violation> {
        self.broken.lock().clone()
    }

    /// Counts something.
    pub fn count(&self, what: &str, by: u64) {
        let mut counts = self.counts.lock();
        match counts.get_mut(what) {
            Some(count) => *count += by,
            None => {
                counts.insert(what.to_owned(), by);
            }
        }
    }

    /// Keeps the greatest of what was seen.
    pub fn count_max(&self, what: &str, seen: u64) {
        let mut counts = self.counts.lock();
        let most = counts.entry(what.to_owned()).or_default();
        *most = (*most).max(seen);
    }

    /// What was counted.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().clone()
    }
}
