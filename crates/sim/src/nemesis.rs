//! Who makes things go wrong: one fault after the other, as the plan has them, and all of them mended in the end.

mod operator;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dynamokv::storage::Failing;
use tokio::time::sleep;

use self::operator::{Loss, Operator};
use crate::dice::Dice;
use crate::disk::FAULT_POINTS;
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
    operator: Operator,
}

impl Nemesis {
    /// For the faults of the world's plan.
    pub fn new(world: &Arc<World>) -> Self {
        Self {
            world: Arc::clone(world),
            dice: Dice::new(world.plan().seed, "faults"),
            ending: Vec::new(),
            down_until: BTreeMap::new(),
            operator: Operator::new(world),
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
                self.make(fault).await;
            }
        }
    }

    /// Mends everything: the network, the disks, the nodes that are down, the replacement that is under way.
    pub async fn mend(&mut self) {
        self.world.note(EVERYBODY, format_args!("all faults end"));
        self.ending.clear();
        self.down_until.clear();
        self.operator.hurry();
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
        let on_older = self.operator.on_older();
        self.operator.see_off();
        for place in self.world.occupied() {
            if Some(place) == on_older {
                continue;
            }
            let (ended, running) = self.world.host(place, |host| {
                (host.ended().is_some(), host.parts().is_some())
            });
            if running && ended {
                self.world.crash(place, 0);
                self.world.count("nodes that ended by themselves", 1);
            }
            let due = (!running || ended) && !self.down_until.contains_key(&place);
            if due {
                self.operator.tell_seeds(place);
                if self.world.start(place).is_err() {
                    self.world.count("failed starts", 1);
                }
            }
        }
        self.operator.replace(&mut self.dice).await;
        let unsettled = |place: &usize| {
            self.world.host(*place, |host| {
                host.parts().is_none() || host.is_stopping() || host.is_leaving()
            })
        };
        self.operator.is_busy() || self.world.occupied().iter().any(unsettled)
    }

    async fn make(&mut self, fault: Fault) {
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
            Fault::Crash => self.crash(place, (Duration::ZERO, LONG)),
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
            Fault::OlderDisk => self.operator.lose_disk(place, Loss::Older, &mut self.dice),
            Fault::EmptyDisk => self.operator.lose_disk(place, Loss::Empty, &mut self.dice),
            Fault::Removal => self
                .operator
                .lose_disk(place, Loss::Removed, &mut self.dice),
            Fault::Replacement => self
                .operator
                .lose_disk(place, Loss::Replaced, &mut self.dice),
            Fault::Join => self.operator.join(&mut self.dice),
            Fault::Leave => self.operator.leave(place).await,
            Fault::NewPlace => self.operator.give_place(place, &mut self.dice).await,
            // One at a time, or soon nobody would be there.
            Fault::LongAbsence if self.is_anybody_away() => {}
            Fault::LongAbsence => self.crash(place, LONG_ABSENCE),
            Fault::ClockJump => {
                let by =
                    self.dice.within(0, 2 * CLOCK_JUMP_MAX_MS) as i64 - CLOCK_JUMP_MAX_MS as i64;
                self.world.host(place, |host| host.jump_clock(by));
            }
        }
        let over = self.world.now() + self.dice.duration(SHORT, LONG * 3);
        self.ending.push((over, fault, place));
    }

    /// Whether a node will be down for longer than by a crash.
    fn is_anybody_away(&self) -> bool {
        let soon = self.world.now() + LONG;
        self.down_until.values().any(|until| *until > soon)
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

    fn crash(&mut self, place: usize, (least, most): (Duration, Duration)) {
        let unsynced = self.world.host(place, |host| host.unsynced()) as u64;
        let kept = self.dice.within(0, unsynced) as usize;
        self.world.crash(place, kept);
        let back = self.world.now() + self.dice.duration(least, most);
        self.down_until.insert(place, back);
    }
}

/// Who notes what concerns everybody.
const EVERYBODY: Place = Place::Everybody;
const SHORTEST_CALM: Duration = Duration::from_millis(50);
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(3);
const LONG_ABSENCE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(90));
/// How often the operator looks after the nodes.
const TENDING: Duration = Duration::from_millis(250);
const CLOCK_JUMP_MAX_MS: u64 = 600_000;
