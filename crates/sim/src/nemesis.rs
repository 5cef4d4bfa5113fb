//! Who makes things go wrong: one fault after the other, as the plan has them, and all of them mended in the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dynamokv::ring::NodeId;
use dynamokv::rpc::AdminService;
use dynamokv::rpc::pb::RemoveRequest;
use dynamokv::storage::Failing;
use tokio::time::sleep;

use crate::dice::Dice;
use crate::disk::FAULT_POINTS;
use crate::host::Host;
use crate::network::{Place, Weather};
use crate::plan::Fault;
use crate::world::World;

/// Makes faults until it is told to mend them.
pub struct Nemesis {
    world: Arc<World>,
    dice: Dice,
    /// What ends when.
    ending: Vec<(Duration, Fault, usize)>,
    /// Nodes that stay down until then.
    down_until: BTreeMap<usize, Duration>,
    /// Whether a disk was lost in this run.
    lost_a_disk: bool,
    /// The node that lost its disk, until it is replaced and its data is on enough disks again.
    replacing: Option<Replacement>,
}

/// A node on its way out, and the place where another one comes in.
#[derive(Clone, Copy)]
struct Replacement {
    place: usize,
    gone: NodeId,
    /// Until when the node runs on an older copy of its disk, if it does; then the disk is thrown away.
    older_until: Option<Duration>,
}

impl Nemesis {
    /// For the faults of the world's plan.
    pub fn new(world: &Arc<World>) -> Self {
        Self {
            world: Arc::clone(world),
            dice: Dice::new(world.plan().seed, "faults"),
            ending: Vec::new(),
            down_until: BTreeMap::new(),
            lost_a_disk: false,
            replacing: None,
        }
    }

    /// Makes one fault after the other; never completes.
    pub async fn rage(&mut self) {
        loop {
            let calm = self
                .dice
                .duration(SHORTEST_CALM, self.world.plan().calm_max);
            self.wait(calm).await;
            if let Some(fault) = self.world.plan().choose_fault(&mut self.dice) {
                self.world.count(&format!("fault {fault}"), 1);
                self.make(fault);
            }
        }
    }

    /// Mends everything: the network, the disks, the nodes that are down, the replacement that is under way.
    pub async fn mend(&mut self) {
        self.world.note(EVERYBODY, format_args!("all faults end"));
        self.ending.clear();
        self.down_until.clear();
        if let Some(replacement) = &mut self.replacing {
            replacement.older_until = replacement.older_until.map(|_| Duration::ZERO);
        }
        self.world.network(|network| network.clear_up());
        for place in 0..self.world.places() {
            self.heal_disk(place);
        }
        while self.tend().await {
            sleep(TENDING).await;
        }
    }

    /// Waits; ends what is over, and tends to the nodes as an operator would.
    async fn wait(&mut self, time: Duration) {
        let until = self.world.now() + time;
        loop {
            self.end_what_is_over();
            self.tend().await;
            let now = self.world.now();
            if now >= until {
                return;
            }
            sleep(TENDING.min(until - now)).await;
        }
    }

    /// Starts what is down and carries on with a replacement; whether there is something left to do.
    async fn tend(&mut self) -> bool {
        let now = self.world.now();
        self.down_until.retain(|_, until| *until > now);
        let on_older = self
            .replacing
            .filter(|replacement| replacement.older_until.is_some())
            .map(|replacement| replacement.place);
        for place in (0..self.world.places()).filter(|place| Some(*place) != on_older) {
            let (ended, running) = self.world.host(place, |host| {
                (host.ended().is_some(), host.parts().is_some())
            });
            if running && ended {
                self.world.crash(place, 0);
                self.world.count("nodes that ended by themselves", 1);
            }
            let due = (!running || ended) && !self.down_until.contains_key(&place);
            if due && self.world.start(place).is_err() {
                self.world.count("failed starts", 1);
            }
        }
        self.replace().await;
        let stopping = |place: usize| self.world.host(place, |host| host.is_stopping());
        self.replacing.is_some()
            || self.world.running().len() < self.world.places()
            || (0..self.world.places()).any(stopping)
    }

    fn make(&mut self, fault: Fault) {
        let place = self.dice.index(self.world.places());
        let other = self.dice.index(self.world.places());
        self.world
            .note(Place::Node(place), format_args!("fault: {fault}"));
        match fault {
            Fault::Loss => {
                let loss = self.dice.within(10, 300) as u32;
                self.world.network(|network| network.weather().loss = loss);
            }
            Fault::Duplication => {
                let often = self.dice.within(50, 500) as u32;
                self.world
                    .network(|network| network.weather().duplication = often);
            }
            Fault::Delay => {
                let often = self.dice.within(50, 500) as u32;
                let longest = self.dice.duration(SHORT, LONG);
                self.world
                    .network(|network| network.weather().delay = (often, longest));
            }
            Fault::Reordering => {
                let jitter = self.dice.duration(SHORT / 10, SHORT);
                self.world
                    .network(|network| network.weather().jitter = jitter);
            }
            Fault::Partition => self.partition(),
            Fault::OneWayPartition => self.cut(&[place], &[other]),
            Fault::OneWayLoss => {
                let loss = self.dice.within(300, 900) as u32;
                let (from, to) = (Place::Node(place), Place::Node(other));
                self.world.network(|network| network.lose(from, to, loss));
            }
            Fault::PausedNode => {
                let until = self.world.now() + self.dice.duration(SHORT, LONG * 3);
                self.world
                    .network(|network| network.pause(Place::Node(place), until));
            }
            Fault::SlowNode => self
                .world
                .network(|network| network.slow_down(Place::Node(place))),
            Fault::Crash => self.crash(place),
            Fault::CrashInBatch => {
                let (after, logged) = (self.dice.below(20), self.dice.chance(500));
                self.world.host(place, |host| {
                    if let Some(plug) = host.plug() {
                        plug.lose_power_after(after, logged);
                    }
                });
            }
            Fault::Restart => self.world.stop(place),
            Fault::FailingDisk => {
                let point = FAULT_POINTS[self.dice.index(FAULT_POINTS.len())];
                let times = self.dice.within(1, 5) as u32;
                self.world
                    .host(place, |host| host.fail(point, Failing::Next(times)));
            }
            Fault::FullDisk => self.world.host(place, |host| host.set_full(true)),
            Fault::OlderDisk => self.lose_disk(place, true),
            Fault::EmptyDisk => self.lose_disk(place, false),
            Fault::ClockJump => {
                let by =
                    self.dice.within(0, 2 * CLOCK_JUMP_MAX_MS) as i64 - CLOCK_JUMP_MAX_MS as i64;
                self.world.host(place, |host| host.jump_clock(by));
            }
        }
        let over = self.world.now() + self.dice.duration(SHORT, LONG * 3);
        self.ending.push((over, fault, place));
    }

    fn end_what_is_over(&mut self) {
        let now = self.world.now();
        let is_over = |(end, ..): &mut (Duration, Fault, usize)| *end <= now;
        let over: Vec<_> = self.ending.extract_if(.., is_over).collect();
        for (_, fault, place) in over {
            self.end(fault, place);
        }
    }

    fn end(&mut self, fault: Fault, place: usize) {
        let calm = Weather::default();
        self.world.network(|network| match fault {
            Fault::Loss => network.weather().loss = calm.loss,
            Fault::Duplication => network.weather().duplication = calm.duplication,
            Fault::Delay => network.weather().delay = calm.delay,
            Fault::Reordering => network.weather().jitter = calm.jitter,
            Fault::Partition | Fault::OneWayPartition | Fault::OneWayLoss => network.mend(),
            Fault::SlowNode => network.hurry(),
            _ => {}
        });
        match fault {
            Fault::FailingDisk => self.heal_disk(place),
            Fault::FullDisk => self.world.host(place, |host| host.set_full(false)),
            _ => {}
        }
    }

    /// The disk works again. What a failed sync left is refused until the node starts anew.
    fn heal_disk(&mut self, place: usize) {
        let (poisoned, unsynced) = self.world.host(place, |host| {
            host.heal();
            let poisoned = host
                .parts()
                .is_some_and(|parts| parts.store().poison().is_some());
            (poisoned, host.unsynced() as u64)
        });
        if poisoned {
            let kept = self.dice.within(0, unsynced) as usize;
            self.world.crash(place, kept);
        }
    }

    fn partition(&mut self) {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for place in 0..self.world.places() {
            if self.dice.chance(500) {
                here.push(place);
            } else {
                there.push(place);
            }
        }
        self.world.note(
            EVERYBODY,
            format_args!("partition: {here:?} from {there:?}"),
        );
        self.cut(&here, &there);
        self.cut(&there, &here);
    }

    fn cut(&self, from: &[usize], to: &[usize]) {
        self.world.network(|network| {
            for from in from {
                for to in to {
                    network.cut(Place::Node(*from), Place::Node(*to));
                }
            }
        });
    }

    fn crash(&mut self, place: usize) {
        let unsynced = self.world.host(place, |host| host.unsynced()) as u64;
        let kept = self.dice.within(0, unsynced) as usize;
        self.world.crash(place, kept);
        let back = self.world.now() + self.dice.duration(Duration::ZERO, LONG);
        self.down_until.insert(place, back);
    }

    /// One at a time: the next disk goes only when what this one had is on enough disks again.
    fn lose_disk(&mut self, place: usize, older: bool) {
        if self.replacing.is_some() || (self.lost_a_disk && !self.everybody_is_well()) {
            return;
        }
        if older && !self.world.host(place, |host| host.has_backup()) {
            self.world
                .note(Place::Node(place), format_args!("its disk is copied"));
            self.world.host(place, Host::back_up);
            return;
        }
        let now = self.world.now();
        self.world.history(|history| history.unsettle(now));
        self.lost_a_disk = true;
        self.world.count("disks lost", 1);
        self.world.crash(place, 0);
        let Some(gone) = self.world.host(place, |host| host.id()) else {
            return;
        };
        let mut replacement = Replacement {
            place,
            gone,
            older_until: None,
        };
        if older {
            self.world.note(
                Place::Node(place),
                format_args!("goes back to an older disk"),
            );
            self.world.host(place, Host::restore_backup);
            // Turned away sooner or later, or at once.
            if self.world.start(place).is_ok() {
                let until = now + self.dice.duration(SHORT, LONG);
                replacement.older_until = Some(until);
            }
        }
        if replacement.older_until.is_none() {
            self.throw_disk_away(place);
        }
        self.replacing = Some(replacement);
    }

    /// The next node at the place is a new one, and is started by and by, as whatever is down.
    fn throw_disk_away(&self, place: usize) {
        self.world.crash(place, 0);
        self.world
            .note(Place::Node(place), format_args!("its disk is lost"));
        let seeds = self.addresses_but(place);
        self.world.host(place, |host| host.replace_disk(seeds));
    }

    fn addresses_but(&self, place: usize) -> Vec<String> {
        (0..self.world.places())
            .filter(|other| *other != place)
            .map(|other| self.world.host(other, |host| host.address(other)))
            .collect()
    }

    /// No node is down or about to be, no change is open, and nothing is held for anybody: every acknowledged write is
    /// on enough disks.
    fn everybody_is_well(&self) -> bool {
        self.world.at_rest().is_ok()
    }

    /// One step of a replacement: the operator removes the dead node.
    async fn replace(&mut self) {
        let Some(replacement) = &mut self.replacing else {
            return;
        };
        let Replacement { place, gone, .. } = *replacement;
        if let Some(until) = replacement.older_until {
            if self.world.now() < until {
                return;
            }
            replacement.older_until = None;
            self.throw_disk_away(place);
        }
        let others: Vec<usize> = self
            .world
            .running()
            .into_iter()
            .filter(|other| *other != place)
            .collect();
        let knows = |place: &usize| {
            let parts = self.world.host(*place, |host| host.parts().cloned());
            parts.is_some_and(|parts| parts.view().has_member(gone))
        };
        let asked = self.dice.pick(&others).copied();
        if !others.iter().any(knows) {
            if self.everybody_is_well() {
                let now = self.world.now();
                self.world
                    .note(Place::Node(place), format_args!("{gone} is replaced"));
                self.world.count("nodes replaced", 1);
                self.world.history(|history| history.settle(now));
                self.replacing = None;
            }
        } else if let Some(asked) = asked
            && let Some(parts) = self.world.host(asked, |host| host.parts().cloned())
        {
            let node = gone.to_string();
            // Refused until the node counts as dead there, and asked again until it is gone.
            let answer = parts.service().remove(RemoveRequest { node }).await;
            self.world.note(
                Place::Node(asked),
                format_args!("asked to remove {gone}: {answer:?}"),
            );
        }
    }
}

/// Who notes what concerns everybody.
const EVERYBODY: Place = Place::Everybody;
const SHORTEST_CALM: Duration = Duration::from_millis(50);
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(3);
/// How often the operator looks after the nodes.
const TENDING: Duration = Duration::from_millis(250);
const CLOCK_JUMP_MAX_MS: u64 = 600_000;
