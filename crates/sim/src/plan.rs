//! What a run consists of: everything that its seed decides beforehand, and what a caller may take away from it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use dynamokv::NodeConfig;

use crate::dice::Dice;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Messages and answers are lost.
    Loss,
    /// Messages take long.
    Delay,
    /// Messages arrive twice.
    Duplication,
    /// Messages overtake each other.
    Reordering,
    /// The nodes fall into two halves that do not reach each other.
    Partition,
    /// One node does not reach another, which does reach it.
    OneWayPartition,
    /// Most of what one node says to another is lost, but not the other way round.
    OneWayLoss,
    /// A node stands still: nothing gets in or out, and all of it arrives when it goes on.
    PausedNode,
    /// One node's messages and syncs take long.
    SlowNode,
    /// A node loses its power: what was not synced is lost, or some of it is found in the log.
    Crash,
    /// The power goes in the middle of a write: its batch is in the log or not.
    CrashInBatch,
    /// A node stops cleanly and starts again.
    Restart,
    /// Syncs or writes fail.
    FailingDisk,
    /// A disk is full for a while.
    FullDisk,
    /// A node starts on an older copy of its disk, is turned away and replaced.
    OlderDisk,
    /// A node loses its disk and is replaced.
    EmptyDisk,
    /// A node's wall clock jumps, either way.
    ClockJump,
    /// A further node comes to a place that is free.
    Join,
    /// A member hands its data over and goes for good.
    Leave,
    /// A node loses its disk and is removed; nobody comes instead.
    Removal,
    /// A node loses its disk, and another one takes its place in the same change that removes it.
    Replacement,
    /// A member gets another weight and zone.
    NewPlace,
    /// A node is down for a minute or so.
    LongAbsence,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::Loss,
        Self::Delay,
        Self::Duplication,
        Self::Reordering,
        Self::Partition,
        Self::OneWayPartition,
        Self::OneWayLoss,
        Self::PausedNode,
        Self::SlowNode,
        Self::Crash,
        Self::CrashInBatch,
        Self::Restart,
        Self::FailingDisk,
        Self::FullDisk,
        Self::OlderDisk,
        Self::EmptyDisk,
        Self::ClockJump,
        Self::Join,
        Self::Leave,
        Self::Removal,
        Self::Replacement,
        Self::NewPlace,
        Self::LongAbsence,
    ];

    /// Those that change who is a member and how much of the data it has, or keep others from doing so.
    pub const MEMBERSHIP: [Self; 6] = [
        Self::Join,
        Self::Leave,
        Self::Removal,
        Self::Replacement,
        Self::NewPlace,
        Self::LongAbsence,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Delay => "delay",
            Self::Duplication => "duplication",
            Self::Reordering => "reordering",
            Self::Partition => "partition",
            Self::OneWayPartition => "one-way-partition",
            Self::OneWayLoss => "one-way-loss",
            Self::PausedNode => "paused-node",
            Self::SlowNode => "slow-node",
            Self::Crash => "crash",
            Self::CrashInBatch => "crash-in-batch",
            Self::Restart => "restart",
            Self::FailingDisk => "failing-disk",
            Self::FullDisk => "full-disk",
            Self::OlderDisk => "older-disk",
            Self::EmptyDisk => "empty-disk",
            Self::ClockJump => "clock-jump",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Removal => "removal",
            Self::Replacement => "replacement",
            Self::NewPlace => "new-place",
            Self::LongAbsence => "long-absence",
        }
    }

    /// Whether it costs a disk: then every write must be on two disks at least.
    pub fn loses_a_disk(self) -> bool {
        matches!(
            self,
            Self::OlderDisk | Self::EmptyDisk | Self::Removal | Self::Replacement
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|fault| fault.name() == name)
            .ok_or_else(|| {
                let known: Vec<&str> = Self::ALL.iter().map(|fault| fault.name()).collect();
                format!("no such fault; there are {}", known.join(", "))
            })
    }
}

/// How far a power loss reaches, and with it what an acknowledgement may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// `durability = "sync"`: power may go.
    Sync,
    /// `durability = "interval"`: only processes die, what they flushed stays.
    Interval,
    /// `durability = "os"`: only processes die, what they flushed stays.
    Os,
}

/// One run, decided by its seed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Nodes of the cluster, at first.
    pub nodes: usize,
    /// Places where further nodes may come.
    pub spare: usize,
    /// N.
    pub replicas: usize,
    /// Q.
    pub partitions: u32,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// Clients, each one request at a time.
    pub clients: usize,
    /// Operations of all clients together.
    pub operations: usize,
    /// Keys.
    pub keys: u32,
    /// So many requests of a thousand go to one of two hot keys.
    pub hot_per_mille: u32,
    /// The greatest value, in bytes.
    pub value_bytes_max: u64,
    /// The longest pause of a client between two requests.
    pub think_max: Duration,
    /// The longest pause between two faults.
    pub calm_max: Duration,
    /// How long deleted keys are remembered, where that is shorter than the run. Wall clocks are right then: what they
    /// may be off by is part of the grace time.
    pub grace: Option<Duration>,
    /// Keys that a node remembers one by one for another: in every third run so few that whole ranges are held.
    pub hints_max: u64,
    /// The faults of this run, each with its weight against the others.
    pub faults: BTreeMap<Fault, u64>,
}

impl Plan {
    /// The plan of a seed: five nodes mostly, a workload and a mixture of faults as random as each other.
    pub fn new(seed: u64, operations: usize) -> Self {
        // Apart from the others, which stay as they were for each seed.
        let mut hints = Dice::new(seed, "hints");
        let mut dice = Dice::new(seed, "plan");
        let nodes = if dice.chance(700) {
            5
        } else {
            dice.within(3, 6) as usize
        };
        let durability = match dice.below(10) {
            0 => Durability::Interval,
            1 => Durability::Os,
            _ => Durability::Sync,
        };
        // A replacement needs a further node to be a cluster of at least N meanwhile.
        let spare = nodes > 3;
        let calm = dice.chance(50);
        let mut forgetting = Dice::new(seed, "grace");
        let grace = forgetting
            .chance(400)
            .then(|| Duration::from_secs(forgetting.within(13, 20)));
        let faults: BTreeMap<Fault, u64> = Fault::ALL
            .into_iter()
            .filter(|fault| spare || !fault.loses_a_disk())
            .filter(|fault| grace.is_none() || *fault != Fault::ClockJump)
            .filter_map(|fault| {
                // Dice of its own: a further kind of fault changes only the runs that it is part of.
                let mut dice = Dice::new(seed, fault.name());
                let weight = dice.within(1, 10);
                let rare = if fault.loses_a_disk() { 250 } else { 500 };
                (dice.chance(rare) && !calm).then_some((fault, weight))
            })
            .collect();
        let plan = Self {
            seed,
            nodes,
            spare: 0,
            replicas: 3,
            partitions: 1 << dice.within(2, 5),
            durability,
            clients: dice.within(2, 12) as usize,
            operations,
            keys: dice.within(1, 40) as u32,
            hot_per_mille: dice.within(0, 800) as u32,
            value_bytes_max: [16, 256, 8 * 1024][dice.index(3)],
            think_max: Duration::from_millis(dice.within(0, 600)),
            calm_max: Duration::from_millis(dice.within(300, 4_000)),
            grace,
            hints_max: if hints.chance(333) {
                hints.within(1, 4)
            } else {
                NodeConfig::default().hints_max
            },
            faults,
        };
        plan.without(&[])
    }

    /// The same without some faults, and without free places if nobody is to come.
    #[must_use]
    pub fn without(mut self, faults: &[Fault]) -> Self {
        self.faults.retain(|fault, _| !faults.contains(fault));
        let comes = self.faults.contains_key(&Fault::Join);
        self.spare = if comes { SPARE_PLACES } else { 0 };
        self
    }

    /// One of the faults, by their weights; `None` where there are none.
    pub fn choose_fault(&self, dice: &mut Dice) -> Option<Fault> {
        let mut left = dice.below(self.faults.values().sum());
        for (fault, weight) in &self.faults {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return Some(*fault),
            }
        }
        None
    }

    /// Places where nodes may run.
    pub fn places(&self) -> usize {
        self.nodes + self.spare
    }

    /// Whether a disk may be lost.
    pub fn loses_disks(&self) -> bool {
        self.faults.keys().any(|fault| fault.loses_a_disk())
    }

    /// Whether power may go, and with it what was not synced.
    pub fn loses_power(&self) -> bool {
        self.durability == Durability::Sync
    }

    /// The arguments that make this plan again from its seed.
    pub fn arguments(&self) -> String {
        let whole = Self::new(self.seed, self.operations);
        let mut arguments = format!("--seed {} --operations {}", self.seed, self.operations);
        if self.clients != whole.clients {
            arguments += &format!(" --clients {}", self.clients);
        }
        if self.keys != whole.keys {
            arguments += &format!(" --keys {}", self.keys);
        }
        let without: Vec<&str> = whole
            .faults
            .keys()
            .filter(|fault| !self.faults.contains_key(fault))
            .map(|fault| fault.name())
            .collect();
        if !without.is_empty() {
            arguments += &format!(" --without {}", without.join(","));
        }
        arguments
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<&str> = self.faults.keys().map(|fault| fault.name()).collect();
        write!(
            f,
            "seed {}: {} nodes, {} partitions, {:?}; {} clients, {} operations, {} keys; faults: {}",
            self.seed,
            self.nodes,
            self.partitions,
            self.durability,
            self.clients,
            self.operations,
            self.keys,
            if faults.is_empty() {
                "none".to_owned()
            } else {
                faults.join(", ")
            }
        )
    }
}

const SPARE_PLACES: usize = 2;
