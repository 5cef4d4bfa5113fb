//! The rules of epochs and positions against everything that a node may forget: "a dot is never issued twice".

use std::collections::BTreeMap;

use dynamokv_vclock::{
    ActorId, CausalContext, Dot, Epoch, EpochLease, Error, Position, Siblings, issue,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::oracle::{Event, History, dots};

/// What a node keeps of its one key.
#[derive(Clone, Debug, Default)]
struct Record {
    state: Siblings<u32>,
    position: Option<Position>,
}

/// What survives a crash.
#[derive(Clone, Debug, Default)]
struct Disk {
    record: Record,
    epochs_leased: u64,
}

#[derive(Debug)]
struct Node {
    id: u64,
    /// What readers see: at least as new as the disk.
    record: Record,
    disk: Disk,
    backups: Vec<Disk>,
    lease: EpochLease,
}

#[derive(Clone, Copy, Debug)]
enum Step {
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
struct Rules {
    void_after_crash: bool,
    void_after_failed_write: bool,
    void_after_restore: bool,
    void_by_incoming: bool,
}

#[derive(Debug)]
struct Cluster {
    rules: Rules,
    nodes: Vec<Node>,
    messages: Vec<Siblings<u32>>,
    contexts: Vec<CausalContext>,
    /// All writes ever made: the last word.
    issued: BTreeMap<Dot, Event>,
    /// Draws differ, as true randomness does but once in 2^24.
    random: u32,
}

/// What must never happen.
#[derive(Debug, PartialEq)]
enum Violation {
    IssuedTwice(Dot),
    /// A write was acknowledged and thrown away where it was made.
    TakenForOld(Dot),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_dot_is_issued_twice_and_no_write_is_taken_for_old(steps in vec(step(), 1..80)) {
        let mut cluster = Cluster::new(RIGHT);
        for step in steps {
            prop_assert_eq!(cluster.step(step), Ok(()));
        }
        prop_assert_eq!(cluster.everything_heard(), cluster.history().living());
    }
}

/// For each rule a story in which a dot is issued twice without it, and not with it.
#[test]
fn each_rule_is_needed() {
    let put = Step::Put {
        node: 0,
        context: 0,
    };
    let (sync, back_up) = (Step::Sync { node: 0 }, Step::BackUp { node: 0 });
    let restore = Step::Restore { node: 0, backup: 0 };
    let unnoticed = Rules {
        void_after_restore: false,
        ..RIGHT
    };
    let stories = [
        (
            RIGHT,
            Rules {
                void_after_crash: false,
                ..RIGHT
            },
            vec![put, sync, put, Step::Crash { node: 0 }, put],
        ),
        (
            RIGHT,
            Rules {
                void_after_failed_write: false,
                ..RIGHT
            },
            vec![
                put,
                Step::PutFailsLocally {
                    node: 0,
                    context: 0,
                },
                put,
            ],
        ),
        (
            RIGHT,
            unnoticed,
            vec![put, sync, back_up, put, restore, put],
        ),
        (
            // The restore went unnoticed, but an own dot comes back that was issued after it, in a later epoch.
            unnoticed,
            Rules {
                void_by_incoming: false,
                ..unnoticed
            },
            vec![
                put,
                sync,
                back_up,
                put,
                Step::LoseRecord { node: 0 },
                put,
                restore,
                HEAR_THIRD,
                put,
            ],
        ),
    ];
    for (kept, broken, steps) in stories {
        let run = |rules| {
            let mut cluster = Cluster::new(rules);
            steps.iter().try_for_each(|step| cluster.step(*step))
        };
        assert_eq!(run(kept), Ok(()), "{kept:?}");
        assert!(
            matches!(run(broken), Err(Violation::IssuedTwice(_))),
            "{broken:?}"
        );
    }
}

/// A node went back without noticing; a client that it answered before comes back.
#[test]
fn an_unknown_own_dot_that_a_client_shows_takes_a_fresh_epoch() {
    let mut cluster = Cluster::new(Rules {
        void_after_crash: false,
        ..RIGHT
    });
    let put = Step::Put {
        node: 0,
        context: 0,
    };
    for step in [put, Step::Sync { node: 0 }, put, Step::Crash { node: 0 }] {
        cluster.step(step).unwrap();
    }
    let before = cluster.nodes[0].record.position.unwrap();
    cluster
        .step(Step::Put {
            node: 0,
            context: 2,
        })
        .unwrap();
    assert_ne!(
        cluster.nodes[0].record.position.unwrap().epoch,
        before.epoch
    );
}

/// Epochs need not ascend after a restore; a greater one in the state must not cost a fresh epoch at every write.
#[test]
fn one_fresh_epoch_is_enough_after_a_restore() {
    let mut cluster = Cluster::new(RIGHT);
    let put = Step::Put {
        node: 0,
        context: 0,
    };
    let lose = Step::LoseRecord { node: 0 };
    let restore = Step::Restore { node: 0, backup: 0 };
    let hear = Step::Deliver {
        message: 1,
        node: 0,
    };
    for step in [
        Step::BackUp { node: 0 },
        put,
        lose,
        put,
        restore,
        hear,
        put,
        put,
        put,
    ] {
        cluster.step(step).unwrap();
    }
    let epochs = cluster.nodes[0].record.state.context().actors().count();
    assert_eq!(epochs, 2, "the one heard of, and one fresh");
}

#[test]
fn an_epoch_that_a_context_shows_as_used_is_not_taken() {
    let used = Dot::new(ActorId::new(1, Epoch(7)), u64::MAX);
    let (known, nothing) = (CausalContext::from(used), CausalContext::new());
    for (state, client) in [(&known, &nothing), (&nothing, &known)] {
        let mut draws = (7..).map(Epoch);
        let (dot, position) = issue(1, None, state, client, || draws.next().ok_or(())).unwrap();
        assert_eq!((dot.actor.epoch.0, position.counter), (8, 1));
    }
}

#[test]
fn nothing_is_issued_without_an_epoch() {
    let nothing = CausalContext::new();
    assert_eq!(
        issue(1, None, &nothing, &nothing, || Err("used up")),
        Err("used up")
    );
}

#[test]
fn an_exhausted_counter_takes_a_fresh_epoch() {
    let nothing = CausalContext::new();
    let last = Position {
        epoch: Epoch(1),
        counter: u64::MAX,
    };
    let fresh = || Ok::<_, Error>(Epoch(2));
    let (dot, _) = issue(1, Some(last), &nothing, &nothing, fresh).unwrap();
    assert_eq!((dot.actor.epoch.0, dot.counter), (2, 1));
}

impl Cluster {
    fn new(rules: Rules) -> Self {
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

    fn step(&mut self, step: Step) -> Result<(), Violation> {
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
            Ok::<_, std::convert::Infallible>(node.fresh_epoch(random))
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
    fn everything_heard(&self) -> BTreeMap<Dot, u32> {
        let mut all = Siblings::new();
        self.messages
            .iter()
            .for_each(|message| _ = all.join_ref(message));
        crate::oracle::values(&all)
    }

    fn history(&self) -> History {
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

fn step() -> impl Strategy<Value = Step> {
    let node = || 0_usize..3;
    prop_oneof![
        6 => (node(), 0_usize..60).prop_map(|(node, context)| Step::Put { node, context }),
        2 => node().prop_map(|node| Step::Put { node, context: 0 }),
        1 => (node(), 0_usize..60).prop_map(|(node, context)| Step::PutFailsLocally { node, context }),
        2 => node().prop_map(|node| Step::Read { node }),
        5 => (0_usize..60, node()).prop_map(|(message, node)| Step::Deliver { message, node }),
        1 => node().prop_map(|node| Step::SendState { node }),
        2 => node().prop_map(|node| Step::Sync { node }),
        1 => node().prop_map(|node| Step::StopCleanly { node }),
        2 => node().prop_map(|node| Step::Crash { node }),
        1 => node().prop_map(|node| Step::LoseRecord { node }),
        1 => node().prop_map(|node| Step::BackUp { node }),
        1 => (node(), 0_usize..4).prop_map(|(node, backup)| Step::Restore { node, backup }),
    ]
}

const HEAR_THIRD: Step = Step::Deliver {
    message: 2,
    node: 0,
};

const RIGHT: Rules = Rules {
    void_after_crash: true,
    void_after_failed_write: true,
    void_after_restore: true,
    void_by_incoming: true,
};
