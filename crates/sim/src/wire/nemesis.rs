//! Who makes things go wrong between and in turmoil's hosts, step by step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dynamokv::storage::Failing;
use turmoil::Sim;

use super::cell::Cell;
use super::{CLIENTS, LATENCY};
use crate::dice::Dice;
use crate::disk::FAULT_POINTS;
use crate::network::Place;
use crate::plan::Fault;
use crate::record::Record;

/// What can go wrong here. Segments of a connection arrive once and in order whatever happens to them; disks are lost and
/// members changed on the fast path alone; and so are clean stops, because a server of tonic's that stops says so to its connections in a random
/// order.
pub(super) const FAULTS: [Fault; 10] = [
    Fault::Loss,
    Fault::Delay,
    Fault::Partition,
    Fault::OneWayPartition,
    Fault::SlowNode,
    Fault::Crash,
    Fault::CrashInBatch,
    Fault::FailingDisk,
    Fault::FullDisk,
    Fault::ClockJump,
];

/// Makes faults, and mends them.
pub(super) struct Nemesis {
    record: Arc<Record>,
    cells: Vec<Arc<Cell>>,
    dice: Dice,
    /// When the next one is made.
    next: Duration,
    /// What ends when.
    ending: Vec<(Duration, Fault, usize)>,
    /// Nodes that are down, and until when.
    down: BTreeMap<usize, Duration>,
}

impl Nemesis {
    /// For the faults of the plan.
    pub(super) fn new(record: &Arc<Record>, cells: &[Arc<Cell>]) -> Self {
        Self {
            record: Arc::clone(record),
            cells: cells.to_vec(),
            dice: Dice::new(record.plan().seed, "faults"),
            next: record.now(),
            ending: Vec::new(),
            down: BTreeMap::new(),
        }
    }

    /// Between two steps: ends what is over, tends to the nodes, and makes a fault when its time has come.
    pub(super) fn act(&mut self, sim: &mut Sim<'_>) {
        let now = self.record.now();
        let is_over = |(end, ..): &mut (Duration, Fault, usize)| *end <= now;
        let over: Vec<_> = self.ending.extract_if(.., is_over).collect();
        for (_, fault, place) in over {
            self.end(sim, fault, place);
        }
        self.tend(sim);
        if now < self.next {
            return;
        }
        if let Some(fault) = self.record.plan().choose_fault(&mut self.dice) {
            self.record.count(&format!("fault {fault}"), 1);
            self.make(sim, fault);
        }
        let calm = self
            .dice
            .duration(SHORTEST_CALM, self.record.plan().calm_max);
        self.next = now + calm;
    }

    /// Mends everything, and starts what is down.
    pub(super) fn mend(&mut self, sim: &mut Sim<'_>) {
        self.record
            .note(Place::Everybody, format_args!("all faults end"));
        self.ending.clear();
        for fault in [Fault::Loss, Fault::Partition] {
            self.end(sim, fault, 0);
        }
        for place in 0..self.cells.len() {
            self.end(sim, Fault::SlowNode, place);
            self.heal_disk(sim, place);
        }
        self.down
            .values_mut()
            .for_each(|until| *until = Duration::ZERO);
        self.tend(sim);
    }

    /// As an operator would: starts what is down, and what stopped by itself anew.
    pub(super) fn tend(&mut self, sim: &mut Sim<'_>) {
        let now = self.record.now();
        for place in 0..self.cells.len() {
            if self.cells[place].ended() {
                self.record.count("nodes that ended by themselves", 1);
                self.crash(sim, place);
                self.down.insert(place, now);
            }
        }
        let due: Vec<usize> = (0..self.cells.len())
            .filter(|place| self.down.get(place).is_some_and(|until| *until <= now))
            .collect();
        for place in due {
            self.down.remove(&place);
            let name = self.cells[place].name();
            self.others(place)
                .for_each(|other| sim.release(&*name, other));
            sim.bounce(name);
        }
    }

    fn make(&mut self, sim: &mut Sim<'_>, fault: Fault) {
        let place = self.dice.index(self.cells.len());
        let other = self.dice.index(self.cells.len());
        self.record
            .note(Place::Node(place), format_args!("fault: {fault}"));
        let cell = Arc::clone(&self.cells[place]);
        let name = cell.name();
        match fault {
            Fault::Loss => {
                let per_mille = self.dice.within(1, LOSS_PER_MILLE_MAX) as f64;
                sim.set_fail_rate(per_mille / 1_000.0);
            }
            Fault::Delay if place != other => sim.hold(name, self.cells[other].name()),
            Fault::OneWayPartition if place != other => {
                sim.partition_oneway(name, self.cells[other].name());
            }
            Fault::Partition => self.partition(sim),
            Fault::SlowNode => self.set_latency(sim, place, SLOW_LATENCY, true),
            Fault::Crash if !self.down.contains_key(&place) => {
                self.crash(sim, place);
                let back = self.record.now() + self.dice.duration(Duration::ZERO, LONG);
                self.down.insert(place, back);
            }
            Fault::CrashInBatch => {
                let (after, logged) = (self.dice.below(20), self.dice.chance(500));
                cell.lose_power_after(after, logged);
            }
            Fault::FailingDisk => {
                let point = FAULT_POINTS[self.dice.index(FAULT_POINTS.len())];
                let times = self.dice.within(1, 5) as u32;
                cell.fail(point, Failing::Next(times));
            }
            Fault::FullDisk => cell.set_full(true),
            Fault::ClockJump => {
                let jump = self.dice.within(0, 2 * CLOCK_JUMP_MAX_MS);
                cell.jump_clock(jump as i64 - CLOCK_JUMP_MAX_MS as i64);
            }
            // Nobody is apart from itself, and who is down cannot fall.
            _ => {}
        }
        let over = self.record.now() + self.dice.duration(SHORT, LONG * 3);
        self.ending.push((over, fault, place));
    }

    fn end(&mut self, sim: &mut Sim<'_>, fault: Fault, place: usize) {
        match fault {
            Fault::Loss => sim.set_fail_rate(0.0),
            Fault::Delay | Fault::Partition | Fault::OneWayPartition => self.join_all(sim),
            Fault::SlowNode => self.set_latency(sim, place, LATENCY, false),
            Fault::FailingDisk | Fault::FullDisk => self.heal_disk(sim, place),
            _ => {}
        }
    }

    fn partition(&mut self, sim: &Sim<'_>) {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for cell in &self.cells {
            let side = if self.dice.chance(500) {
                &mut here
            } else {
                &mut there
            };
            side.push(cell.name());
        }
        self.record.note(
            Place::Everybody,
            format_args!("partition: {here:?} from {there:?}"),
        );
        for one in &here {
            for other in &there {
                sim.partition(&**one, &**other);
            }
        }
    }

    /// Every link is good again; what was held arrives.
    fn join_all(&self, sim: &Sim<'_>) {
        for (place, cell) in self.cells.iter().enumerate() {
            let name = cell.name();
            self.others(place)
                .for_each(|other| sim.release(&*name, other));
        }
    }

    /// The host goes down as if its power went: nothing that it still has to say leaves it. Turmoil drops its tasks, and with
    /// them its connections, in an order that is no part of the seed.
    fn crash(&mut self, sim: &mut Sim<'_>, place: usize) {
        let cell = &self.cells[place];
        let name = cell.name();
        self.others(place)
            .for_each(|other| sim.partition(&*name, other));
        sim.crash(name);
        let unsynced = cell.unsynced();
        let kept = if self.record.plan().loses_power() {
            self.dice.within(0, unsynced as u64) as usize
        } else {
            unsynced
        };
        cell.lose_power(kept);
        self.record.note(
            Place::Node(place),
            format_args!("crashes: {kept} of {unsynced} batches are kept"),
        );
    }

    /// The disk works again. What a failed sync left is refused until the node starts anew.
    fn heal_disk(&mut self, sim: &mut Sim<'_>, place: usize) {
        if self.cells[place].heal() {
            self.crash(sim, place);
            self.down.insert(place, self.record.now());
        }
    }

    fn set_latency(&self, sim: &Sim<'_>, place: usize, longest: Duration, slow: bool) {
        let cell = &self.cells[place];
        let name = cell.name();
        self.others(place)
            .for_each(|other| sim.set_link_max_message_latency(&*name, other, longest));
        cell.set_slow(slow);
    }

    /// The names of all hosts but that of `place`.
    fn others(&self, place: usize) -> impl Iterator<Item = String> {
        let nodes = self.cells.iter().enumerate();
        nodes
            .filter(move |(other, _)| *other != place)
            .map(|(_, cell)| cell.name())
            .chain([CLIENTS.to_owned()])
    }
}

const SHORTEST_CALM: Duration = Duration::from_millis(50);
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(3);
const SLOW_LATENCY: Duration = Duration::from_millis(300);
/// Each loss breaks a link until some later message gets through.
const LOSS_PER_MILLE_MAX: u64 = 10;
const CLOCK_JUMP_MAX_MS: u64 = 600_000;
