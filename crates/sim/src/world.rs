//! The simulated world: places, network, disks, and the record of what happens in them.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use dynamokv::coordinator::{View, WritePhase};
use dynamokv::ring::Placement;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::dice::Dice;
use crate::disk;
use crate::history::Key;
use crate::host::{Crash, Host};
use crate::invariants::acknowledged_copies_stay_durable::Disks;
use crate::invariants::owners_have_acknowledged_writes::NodeDisks;
use crate::network::{Fate, Network, Place};
use crate::plan::Plan;
use crate::record::Record;

/// Everything that one run is made of. One thread works on it; the locks are never waited for.
pub struct World {
    record: Arc<Record>,
    network: Mutex<Network>,
    hosts: Vec<Mutex<Host>>,
    seeds: Mutex<Dice>,
    disks: Mutex<Dice>,
}

impl Deref for World {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl World {
    /// The world before anything runs. Needs a tokio runtime with paused time.
    pub fn new(plan: Plan, keep_trace: bool) -> Arc<Self> {
        let seed = plan.seed;
        let began = Instant::now();
        let world = Arc::new(Self {
            network: Mutex::new(Network::new(seed)),
            hosts: (0..plan.places())
                .map(|place| Mutex::new(Host::new(&plan, place)))
                .collect(),
            seeds: Mutex::new(Dice::new(seed, "nodes")),
            disks: Mutex::new(Dice::new(seed, "disks")),
            record: Record::new(plan, keep_trace, move || began.elapsed()),
        });
        let looked_at = Arc::downgrade(&world);
        world.show_disks(move |keys| {
            let world = looked_at.upgrade();
            world.map(|world| world.disks(keys)).unwrap_or_default()
        });
        world
    }

    /// What is noted of it.
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// Works on the network.
    pub fn network<R>(&self, work: impl FnOnce(&mut Network) -> R) -> R {
        work(&mut self.network.lock())
    }

    /// Draws what becomes of a message.
    pub fn fate(&self, from: Place, to: Place) -> Fate {
        let fate = self.network.lock().fate(self.now(), from, to);
        self.count("messages", 1);
        if fate.arrives.is_none() {
            self.count("messages lost", 1);
        }
        if fate.again.is_some() {
            self.count("messages doubled", 1);
        }
        fate
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

    /// The places where a node is expected to run.
    pub fn occupied(&self) -> Vec<usize> {
        let occupied = |place: &usize| self.host(*place, |host| !host.is_vacant());
        (0..self.places()).filter(occupied).collect()
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
        let crash = if self.plan().loses_power() {
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

    /// Begins to stop the node at a place cleanly; its disk is left to the next one.
    pub fn stop(self: &Arc<Self>, place: usize) {
        let (start, parts) = self.host(place, |host| {
            host.begin_stop();
            (host.start_number(), host.parts().cloned())
        });
        let Some(parts) = parts else { return };
        self.note(Place::Node(place), format_args!("stops"));
        let world = Arc::clone(self);
        tokio::spawn(async move {
            parts.say_goodbye().await;
            // It may have crashed meanwhile, and another start of it runs.
            let goes_on = |host: &mut Host| host.start_number() == start && host.is_stopping();
            world.host(place, |host| {
                if goes_on(host) {
                    host.close_door();
                }
            });
            let closed = parts.close().await;
            drop(parts);
            world.host(place, |host| {
                if goes_on(host) {
                    host.crash(Crash::Process);
                }
            });
            world.note(Place::Node(place), format_args!("stopped: {closed:?}"));
        });
    }

    /// A fresh seed for a start of a node.
    pub fn draw_seed(&self) -> u64 {
        self.seeds.lock().number()
    }

    /// How long a sync takes at a place.
    pub fn sync_time(&self, place: usize) -> Duration {
        let place = Place::Node(place);
        let (slow, standstill) = {
            let network = self.network.lock();
            (
                network.is_slow(place),
                network.standstill(self.now(), place),
            )
        };
        standstill + disk::sync_time(&mut self.disks.lock(), slow)
    }

    /// What the disks have of these keys after the worst crash that may come.
    fn disks(&self, keys: &[Key]) -> Disks {
        let power_may_go = self.plan().loses_power();
        (0..self.places())
            .map(|place| self.host(place, |host| host.safe_copies(keys, power_may_go)))
            .collect()
    }

    /// Checks that the owners in each ring that somebody reads from have what was acknowledged.
    pub fn look_at_owners(&self) {
        let running = self.running().into_iter();
        let views: Vec<Arc<View>> = running
            .filter_map(|place| self.host(place, |host| Some(host.parts()?.view())))
            .collect();
        let mut rings: BTreeMap<u64, &dyn Placement> = BTreeMap::new();
        for view in views.iter().filter(|view| is_waited_for(view)) {
            let ring = view.read_ring();
            rings.insert(ring.fingerprint(), ring);
        }
        let keys: Vec<Key> = self.history(|history| history.keys().collect());
        let power_may_go = self.plan().loses_power();
        let disk = |place: usize| {
            let disk = |host: &mut Host| Some((host.id()?, host.safe_copies(&keys, power_may_go)));
            self.host(place, disk)
        };
        let disks: NodeDisks = (0..self.places()).filter_map(disk).collect();
        self.see_owners(&disks, |key| {
            let Ok(object) = key.object_key() else {
                return Vec::new();
            };
            let owners =
                |ring: &&dyn Placement| ring.owners(object.token()).iter().copied().collect();
            rings.values().map(owners).collect()
        });
    }

    /// Takes all nodes out of the world: they hold on to it.
    pub fn end(&self) {
        for place in 0..self.places() {
            self.host(place, |host| host.crash(Crash::Process));
        }
    }
}

/// Whether the others go on only together with who has this view. Who waits to be let in reads nothing. Who leaves and has said its
/// last stage may be many changes behind: it reads the ring of the first of them, as the others do, until they double the next
/// one's writes, and is refused by them from then on.
fn is_waited_for(view: &View) -> bool {
    let stays = |next: &dyn Placement| view.writes != WritePhase::Next || next.contains(view.me);
    view.has_member(view.me) && view.next.as_deref().is_none_or(stays)
}
