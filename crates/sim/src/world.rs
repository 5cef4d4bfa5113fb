//! The simulated world: places, network, disks, and the record of what happens in them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dynamokv::storage::{ObjectKey, State};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::dice::Dice;
use crate::history::{History, Key};
use crate::host::{Crash, Host};
use crate::invariants::Ledger;
use crate::invariants::Violation;
use crate::network::{Fate, Network, Place};
use crate::plan::Plan;
use crate::trace::Trace;

/// Everything that one run is made of. One thread works on it; the locks are never waited for.
pub struct World {
    plan: Plan,
    began: Instant,
    trace: Mutex<Trace>,
    network: Mutex<Network>,
    hosts: Vec<Mutex<Host>>,
    history: Mutex<History>,
    ledger: Mutex<Ledger>,
    broken: Mutex<Option<Violation>>,
    counts: Mutex<BTreeMap<String, u64>>,
    seeds: Mutex<Dice>,
    disks: Mutex<Dice>,
}

impl World {
    /// The world before anything runs. Needs a tokio runtime with paused time.
    pub fn new(plan: Plan, keep_trace: bool) -> Arc<Self> {
        let seed = plan.seed;
        Arc::new(Self {
            began: Instant::now(),
            trace: Mutex::new(Trace::new(keep_trace)),
            network: Mutex::new(Network::new(seed)),
            hosts: (0..plan.nodes)
                .map(|place| Mutex::new(Host::new(&plan, place)))
                .collect(),
            history: Mutex::default(),
            ledger: Mutex::default(),
            broken: Mutex::default(),
            counts: Mutex::default(),
            seeds: Mutex::new(Dice::new(seed, "nodes")),
            disks: Mutex::new(Dice::new(seed, "disks")),
            plan,
        })
    }

    /// What was decided beforehand.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Virtual time since the run began.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
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

    /// Works on the network.
    pub fn network<R>(&self, work: impl FnOnce(&mut Network) -> R) -> R {
        work(&mut self.network.lock())
    }

    /// Draws what becomes of a message.
    pub fn fate(&self, from: Place, to: Place) -> Fate {
        let fate = self.network.lock().fate(from, to);
        self.count("messages", 1);
        if fate.arrives.is_none() {
            self.count("messages lost", 1);
        }
        if fate.again.is_some() {
            self.count("messages doubled", 1);
        }
        fate
    }

    /// How many places there are.
    pub fn places(&self) -> usize {
        self.hosts.len()
    }

    /// Works on one place. `work` must not come back to the same place.
    pub fn host<R>(&self, place: usize, work: impl FnOnce(&mut Host) -> R) -> R {
        work(&mut self.hosts[place].lock())
    }

    /// The places where a node runs.
    pub fn running(&self) -> Vec<usize> {
        let runs = |place: &usize| self.host(*place, |host| host.parts().is_some());
        (0..self.places()).filter(runs).collect()
    }

    /// Starts the node at a place.
    ///
    /// # Errors
    /// Why it does not start.
    pub fn start(self: &Arc<Self>, place: usize) -> Result<(), String> {
        let started = self.host(place, |host| host.start(self, place));
        match &started {
            Ok(()) => self.note(Place::Node(place), format_args!("starts")),
            Err(reason) => self.note(Place::Node(place), format_args!("does not start: {reason}")),
        }
        started
    }

    /// Ends the node at a place without warning. Power takes what was not synced, except so much as the log kept.
    pub fn crash(&self, place: usize, kept: usize) {
        let crash = if self.plan.loses_power() {
            Crash::Power { kept }
        } else {
            Crash::Process
        };
        self.note(Place::Node(place), format_args!("crashes: {crash:?}"));
        self.host(place, |host| host.crash(crash));
    }

    /// As [`crash`](Self::crash), if it is still that start of the node which runs.
    pub fn crash_at(&self, place: usize, start: (u64, u64), kept: usize) {
        if self.host(place, |host| host.start_number()) == start {
            self.crash(place, kept);
        }
    }

    /// Stops the node at a place cleanly, and leaves its disk to the next one.
    pub async fn stop(&self, place: usize) {
        let (start, parts) = self.host(place, |host| (host.start_number(), host.parts().cloned()));
        let Some(parts) = parts else { return };
        self.note(Place::Node(place), format_args!("stops"));
        parts.say_goodbye().await;
        self.host(place, Host::close_door);
        let closed = parts.close().await;
        drop(parts);
        self.note(Place::Node(place), format_args!("stopped: {closed:?}"));
        self.host(place, |host| {
            if host.start_number() == start {
                host.crash(Crash::Process);
            }
        });
    }

    /// A fresh seed for a start of a node.
    pub fn draw_seed(&self) -> u64 {
        self.seeds.lock().number()
    }

    /// How long a sync takes at a place.
    pub fn sync_time(&self, place: usize) -> Duration {
        let longest = if self.network.lock().is_slow(Place::Node(place)) {
            SLOW_SYNC
        } else {
            SYNC
        };
        self.disks.lock().duration(SHORTEST_SYNC, longest)
    }

    /// Checks every dot that passes by: none may stand for two values.
    pub fn see(&self, key: &ObjectKey, state: &State) {
        let Some(key) = Key::of(key) else { return };
        let mut ledger = self.ledger.lock();
        for (dot, value) in state.values() {
            if let Err(violation) = ledger.see(key, *dot, value) {
                self.break_promise(violation);
            }
        }
    }

    /// Notes a broken promise; the first one counts.
    pub fn break_promise(&self, violation: Violation) {
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

    /// Takes all nodes out of the world: they hold on to it.
    pub fn end(&self) {
        for place in 0..self.places() {
            self.host(place, |host| host.crash(Crash::Process));
        }
    }
}

const SHORTEST_SYNC: Duration = Duration::from_micros(100);
const SYNC: Duration = Duration::from_millis(8);
const SLOW_SYNC: Duration = Duration::from_millis(500);
