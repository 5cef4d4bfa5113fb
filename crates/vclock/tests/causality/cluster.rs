//! Nodes that hold one key, write to it, and forget in every way that nodes do.

use std::collections::BTreeMap;
use std::convert::Infallible;

use dynamokv_vclock::{CausalContext, Dot, Epoch, EpochLease, Position, Siblings, issue};

use crate::oracle::{Event, History, dots, values};

/// What a node keeps of its one key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) state: Siblings<u32>,
    pub(crate) position: Option<Position>,
}

/// What survives a crash.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    record: Record,
    epochs_leased: u64,
}

#[derive(Debug)]
pub(crate) struct Node {
    id: u64,
    /// What readers see: at least as new as the disk.
    pub(crate) record: Record,
    disk: Disk,
    backups: Vec<Disk>,
    lease: EpochLease,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Put {
        node: usize,
        context: usize,
    },
    /// The dot leaves the node, the local write fails.
    PutFailsLocally {
        node: usize,
        context: usize,
    },
    Read {
        node: usize,
    },
    /// A delta or a whole state arrives: at once, again, or as a hint from long ago.
    Deliver {
        message: usize,
        node: usize,
    },
    SendState {
        node: usize,
    },
    Sync {
        node: usize,
    },
    StopCleanly {
        node: usize,
    },
    Crash {
        node: usize,
    },
    /// The record is gone for good: damaged, or a tombstone that was collected.
    LoseRecord {
        node: usize,
    },
    BackUp {
        node: usize,
    },
    Restore {
        node: usize,
        backup: usize,
    },
}

/// The rules that the owner of a position follows. Breaking one must be noticed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) void_after_crash: bool,
    pub(crate) void_after_failed_write: bool,
    pub(crate) void_after_restore: bool,
    pub(crate) void_by_incoming: bool,
}

#[derive(Debug)]
pub(crate) struct Cluster {
    rules: Rules,
    pub(crate) nodes: Vec<Node>,
    messages: Vec<Siblings<u32>>,
    contexts: Vec<CausalContext>,
    /// All writes ever made: the last word.
    issued: BTreeMap<Dot, Event>,
    /// Draws differ, as true randomness does but once in 2^24.
    random: u32,
}

/// What must never happen.
#[derive(Debug, PartialEq)]
pub(crate) enum Violation {
    IssuedTwice(Dot),
    /// A write was acknowledged and thrown away where it was made.
    TakenForOld(Dot),
}

impl Cluster {
    pub(crate) fn new(rules: Rules) -> Self {
        let node = |id| Node {
            id,
            record: Record::default(),
            disk: Disk::default(),
            backups: Vec::new(),
            lease: EpochLease::new(0, 0, 0).unwrap(),
        };
        Self {
            rules,
            nodes: (0..3).map(node).collect(),
            messages: Vec::new(),
            contexts: vec![CausalContext::new()],
            issued: BTreeMap::new(),
            random: 0,
        }
    }

    pub(crate) fn step(&mut self, step: Step) -> Result<(), Violation> {
        match step {
            Step::Put { node, context } => {
                let (dot, record) = self.write(node, context)?;
                if !record.state.values().any(|(held, _)| *held == dot) {
                    return Err(Violation::TakenForOld(dot));
                }
                self.nodes[node].record = record;
            }
            Step::PutFailsLocally { node, context } => {
                self.write(node, context)?;
                if self.rules.void_after_failed_write {
                    self.nodes[node].record.position = None;
                }
            }
            Step::Read { node } => self
                .contexts
                .push(self.nodes[node].record.state.context().clone()),
            Step::Deliver { message, node } => self.deliver(message, node),
            Step::SendState { node } => self.messages.push(self.nodes[node].record.state.clone()),
            Step::Sync { node } => self.nodes[node].sync(),
            Step::StopCleanly { node } => {
                self.nodes[node].sync();
                self.nodes[node].start(true);
            }
            Step::Crash { node } => self.nodes[node].start(!self.rules.void_after_crash),
            Step::LoseRecord { node } => {
                self.nodes[node].record = Record::default();
                self.nodes[node].sync();
            }
            Step::BackUp { node } => {
                let copy = self.nodes[node].disk.clone();
                self.nodes[node].backups.push(copy);
            }
            Step::Restore { node, backup } => {
                let node = &mut self.nodes[node];
                if let Some(copy) = node.backups.get(backup % node.backups.len().max(1)) {
                    node.disk = copy.clone();
                    node.start(!self.rules.void_after_restore);
                }
            }
        }
        Ok(())
    }

    /// Issues a dot, lets its delta and the reply leave, and returns the record to keep.
    fn write(&mut self, at: usize, context: usize) -> Result<(Dot, Record), Violation> {
        let client = self.contexts[context % self.contexts.len()].clone();
        let node = &mut self.nodes[at];
        let mut record = node.record.clone();
        let (id, position) = (node.id, record.position);
        let random = &mut self.random;
        let Ok((dot, position)) = issue(id, position, record.state.context(), &client, || {
            Ok::<_, Infallible>(node.fresh_epoch(random))
        });
        let value = self.issued.len() as u32;
        let event = Event {
            seen: dots(&client),
            value,
        };
        if self.issued.insert(dot, event).is_some() {
            return Err(Violation::IssuedTwice(dot));
        }
        let delta = Siblings::delta(dot, value, &client);
        record.position = Some(position);
        record.state.join_ref(&delta);
        self.contexts.push(delta.context().clone());
        self.messages.push(delta);
        Ok((dot, record))
    }

    fn deliver(&mut self, message: usize, node: usize) {
        if self.messages.is_empty() {
            return;
        }
        let incoming = &self.messages[message % self.messages.len()];
        let Node { id, record, .. } = &mut self.nodes[node];
        let before = record.state.context();
        record.position = record.position.filter(|position| {
            !self.rules.void_by_incoming || position.survives(*id, before, incoming.context())
        });
        record.state.join_ref(incoming);
    }

    /// What one gets who hears of every write, from its delta.
    pub(crate) fn everything_heard(&self) -> BTreeMap<Dot, u32> {
        let mut all = Siblings::new();
        self.messages
            .iter()
            .for_each(|message| _ = all.join_ref(message));
        values(&all)
    }

    pub(crate) fn history(&self) -> History {
        let mut history = History::default();
        self.issued
            .iter()
            .for_each(|(dot, event)| history.learn(*dot, event));
        history
    }
}

impl Node {
    fn sync(&mut self) {
        self.disk.record = self.record.clone();
    }

    /// Comes up from its disk. What is left of the lease is forfeited.
    fn start(&mut self, keeps_position: bool) {
        if !keeps_position {
            self.disk.record.position = None;
        }
        self.record = self.disk.record.clone();
        self.lease = EpochLease::new(0, 0, 0).unwrap();
    }

    /// The counter is durable before an epoch of the block is used.
    fn fresh_epoch(&mut self, random: &mut u32) -> Epoch {
        if self.lease.remaining() == 0 {
            let first = self.disk.epochs_leased;
            self.disk.epochs_leased += 4;
            *random += 1;
            self.lease = EpochLease::new(first, self.disk.epochs_leased, *random).unwrap();
        }
        self.lease.next().unwrap()
    }
}

pub(crate) const RIGHT: Rules = Rules {
    void_after_crash: true,
    void_after_failed_write: true,
    void_after_restore: true,
    void_by_incoming: true,
};
