//! Whatever happens between a holder and its targets, no acknowledged hint is lost, and in the end all are delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use dynamokv_handoff::{Delivered, Delivery, DeliveryConfig, HintPage, Slice};
use dynamokv_ring::NodeId;
use dynamokv_storage::{Engine, Failing, Family, FaultPoint, ObjectKey, State};
use dynamokv_vclock::CausalContext;
use proptest::prelude::*;

use crate::support::*;

const TARGETS: [NodeId; 2] = [NodeId(2), NodeId(3)];
const KEYS: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    /// A write for targets that are away, by a client that had read the key or not.
    Hint {
        key: usize,
        targets: [bool; 2],
        has_read: bool,
    },
    /// A copy that is nobody's hint, as a read repair brings it.
    Repair {
        key: usize,
    },
    /// The next write fails; its batch may be in the log nevertheless.
    FailWrite {
        logged: bool,
    },
    /// Everything written so far becomes durable, and is acknowledged.
    Sync,
    Up(usize),
    Down(usize),
    /// The schedule goes on: a batch is read and sent.
    Send,
    /// A batch reaches its target, which takes the entries of the mask.
    Arrive {
        target: usize,
        taken: u8,
    },
    /// The target's answer reaches the holder.
    Answer {
        target: usize,
    },
    /// The batch or its answer is lost on the way.
    Lose {
        target: usize,
    },
    Wait {
        millis: u64,
    },
    Crash {
        kept: usize,
    },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let target = 0..TARGETS.len();
    let step = prop_oneof![
        6 => (0..KEYS, any::<[bool; 2]>(), any::<bool>())
            .prop_map(|(key, targets, has_read)| Step::Hint { key, targets, has_read }),
        1 => (0..KEYS).prop_map(|key| Step::Repair { key }),
        1 => any::<bool>().prop_map(|logged| Step::FailWrite { logged }),
        3 => Just(Step::Sync),
        2 => target.clone().prop_map(Step::Up),
        1 => target.clone().prop_map(Step::Down),
        6 => Just(Step::Send),
        6 => (target.clone(), prop_oneof![3 => Just(u8::MAX), 1 => any::<u8>()])
            .prop_map(|(target, taken)| Step::Arrive { target, taken }),
        6 => target.clone().prop_map(|target| Step::Answer { target }),
        2 => target.prop_map(|target| Step::Lose { target }),
        2 => (1_u64..400).prop_map(|millis| Step::Wait { millis }),
        1 => (0_usize..6).prop_map(|kept| Step::Crash { kept }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..120)
}

/// A batch on its way, or the answer to it.
struct Flight {
    batch: HintPage,
    answer: Option<Vec<bool>>,
}

struct World {
    holder: Holder,
    delivery: Delivery,
    now: Instant,
    writes: u64,
    up: BTreeSet<NodeId>,
    flights: BTreeMap<NodeId, Flight>,
    /// What the targets have; they sync before they answer and never forget.
    received: BTreeMap<(NodeId, ObjectKey), State>,
    /// What was promised to be delivered.
    acknowledged: BTreeMap<(NodeId, ObjectKey), State>,
    unacknowledged: Vec<(NodeId, ObjectKey, State)>,
}

/// From a bound that is reached at once to one that never is.
fn hints_max() -> impl Strategy<Value = u64> {
    prop_oneof![1..4_u64, Just(u64::MAX)]
}

/// The second and the third are of one slice.
fn nth_key(number: usize) -> ObjectKey {
    static KEYS: LazyLock<Vec<ObjectKey>> = LazyLock::new(|| {
        let mut keys: Vec<ObjectKey> = (0..4).map(numbered).collect();
        let slice = |key: &ObjectKey| Slice::of(key.token());
        let beside = |key: &ObjectKey| slice(key) == slice(&keys[1]);
        keys[2] = (4..).map(numbered).find(beside).unwrap();
        keys
    });
    KEYS[number].clone()
}

/// The holder owns one of the keys itself.
fn is_owned(key: &ObjectKey) -> bool {
    *key == nth_key(0)
}

impl World {
    fn new(hints_max: u64) -> Self {
        Self {
            holder: Holder::bounded(hints_max),
            delivery: schedule(),
            now: Instant::now(),
            writes: 0,
            up: BTreeSet::new(),
            flights: BTreeMap::new(),
            received: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            unacknowledged: Vec::new(),
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Hint {
                key,
                targets,
                has_read,
            } => self.hint(&nth_key(key), targets, has_read),
            Step::Repair { key } => self.hint(&nth_key(key), [false; 2], false),
            Step::FailWrite { logged } => {
                let point = if logged {
                    FaultPoint::WriteAfterLog
                } else {
                    FaultPoint::Write
                };
                self.holder.disk.fail(point, Failing::Next(1));
            }
            Step::Sync => self.sync(),
            Step::Up(target) => {
                self.up.insert(TARGETS[target]);
                self.delivery.on_up(TARGETS[target]);
            }
            Step::Down(target) => {
                self.up.remove(&TARGETS[target]);
                self.delivery.on_down(TARGETS[target]);
            }
            Step::Send => drop(self.send()),
            Step::Arrive { target, taken } => self.arrive(TARGETS[target], taken),
            Step::Answer { target } => self.answer(TARGETS[target]),
            Step::Lose { target } => {
                if self.flights.remove(&TARGETS[target]).is_some() {
                    self.delivery.on_failed(TARGETS[target], self.now);
                }
            }
            Step::Wait { millis } => self.now += ms(millis),
            Step::Crash { kept } => self.restart(|holder| holder.crash_keeping(kept)),
            Step::Restart => {
                self.holder.disk.fail(FaultPoint::Write, Failing::Never);
                self.holder
                    .disk
                    .fail(FaultPoint::WriteAfterLog, Failing::Never);
                self.sync();
                self.restart(Holder::restart);
            }
        }
    }

    fn hint(&mut self, key: &ObjectKey, targets: [bool; 2], has_read: bool) {
        self.writes += 1;
        let seen = match self.holder.store.get(key).unwrap() {
            Some(state) if has_read => state.context().clone(),
            _ => CausalContext::new(),
        };
        let delta = write_seeing(self.writes, &self.writes.to_string(), &seen);
        let targets: Vec<NodeId> = TARGETS
            .into_iter()
            .zip(targets)
            .filter_map(|(id, marked)| marked.then_some(id))
            .collect();
        let holder = &self.holder;
        let written = holder.store.join(key, &delta, |batch| {
            targets
                .iter()
                .for_each(|target| holder.log.mark(batch, key, *target, 0));
        });
        if written.is_ok() {
            let promised = targets
                .iter()
                .map(|target| (*target, key.clone(), delta.clone()));
            self.unacknowledged.extend(promised);
        }
    }

    fn sync(&mut self) {
        self.holder.sync();
        for (target, key, delta) in self.unacknowledged.drain(..) {
            self.acknowledged
                .entry((target, key))
                .or_default()
                .join_ref(&delta);
        }
    }

    /// Sends one batch if one is due.
    fn send(&mut self) -> Option<NodeId> {
        for target in self.holder.log.take_marked() {
            self.delivery.on_marked(target);
        }
        let shipment = self.delivery.poll(self.now)?;
        let target = shipment.target;
        assert!(self.up.contains(&target), "{target} is down");
        assert!(
            !self.flights.contains_key(&target),
            "{target} has a batch under way"
        );
        let batch = self
            .holder
            .log
            .batch(&shipment, &limits(at_most(2), many()));
        match batch {
            Ok(batch) => drop(self.flights.insert(
                target,
                Flight {
                    batch,
                    answer: None,
                },
            )),
            Err(_) => self.delivery.on_failed(target, self.now),
        }
        Some(target)
    }

    fn arrive(&mut self, target: NodeId, taken: u8) {
        let Some(flight) = self.flights.get_mut(&target) else {
            return;
        };
        let take = |index: usize| taken & (1 << (index % 8)) != 0;
        let entries = &flight.batch.page.entries;
        for (_, entry) in entries.iter().enumerate().filter(|(index, _)| take(*index)) {
            let state = self
                .received
                .entry((target, entry.key.clone()))
                .or_default();
            state.join_ref(&entry.state);
        }
        flight.answer = Some((0..entries.len()).map(take).collect());
    }

    fn answer(&mut self, target: NodeId) {
        let Some(flight) = self.flights.remove(&target) else {
            return;
        };
        let outcome: Result<Delivered, ()> = match flight.answer {
            Some(accepted) => self
                .holder
                .log
                .acknowledge(flight.batch.pending, &accepted, is_owned)
                .map_err(drop),
            None => Err(()),
        };
        match outcome {
            Ok(delivered) => self.delivery.on_delivered(target, delivered, self.now),
            Err(()) => self.delivery.on_failed(target, self.now),
        }
    }

    /// Everything in memory is lost; what was sent may still arrive nowhere.
    fn restart(&mut self, reopen: impl FnOnce(Holder) -> Holder) {
        let holder = std::mem::replace(&mut self.holder, Holder::new());
        self.holder = reopen(holder);
        self.flights.clear();
        self.unacknowledged.clear();
        self.delivery = schedule();
        self.up
            .iter()
            .for_each(|target| self.delivery.on_up(*target));
    }

    /// Each acknowledged hint is with its target, or here with a marker for it; and each marker is found.
    fn check_nothing_is_lost(&self) {
        for (key, target) in (0..KEYS).flat_map(|key| TARGETS.map(|target| (nth_key(key), target)))
        {
            let marker = [&target.0.to_be_bytes()[..], &key.encode()].concat();
            let is_there = self.holder.disk.get(&Family::HINTS, &marker).unwrap();
            let is_found = self.holder.log.is_marked_for(&key, target).unwrap();
            assert_eq!(is_found, is_there.is_some(), "{key} for {target}");
        }
        for ((target, key), promised) in &self.acknowledged {
            let mut found = self
                .received
                .get(&(*target, key.clone()))
                .cloned()
                .unwrap_or_default();
            if self.holder.log.is_held_for(key, *target).unwrap() {
                found.join_ref(&self.holder.store.get(key).unwrap().unwrap_or_default());
            }
            assert!(
                contains(&found, promised),
                "{key} for {target}: {promised:?} is lost, found {found:?}"
            );
        }
    }

    /// Faults are over: every batch arrives, every answer comes back.
    fn settle(&mut self) {
        self.apply(Step::Restart);
        (0..TARGETS.len()).for_each(|target| self.apply(Step::Up(target)));
        for _ in 0..200 {
            match self.send() {
                Some(target) => {
                    self.arrive(target, u8::MAX);
                    self.answer(target);
                }
                None => match self.delivery.next_wakeup(self.now) {
                    Some(at) if self.holds() => self.now = at,
                    _ => return,
                },
            }
            self.check_nothing_is_lost();
        }
    }

    /// Whether anything is held for anybody.
    fn holds(&self) -> bool {
        let held = |target: &NodeId| self.holder.log.held(*target).unwrap();
        !TARGETS.iter().all(|target| held(target).is_empty())
    }
}

fn schedule() -> Delivery {
    Delivery::new(DeliveryConfig {
        batch_items: at_most(2),
        backoff_min: Duration::from_millis(50),
        ..DeliveryConfig::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_acknowledged_hint_is_lost_and_all_are_delivered_in_the_end(
        steps in steps(),
        hints_max in hints_max(),
    ) {
        let mut world = World::new(hints_max);
        for step in steps {
            world.apply(step);
            world.check_nothing_is_lost();
        }
        world.settle();
        for ((target, key), promised) in &world.acknowledged {
            let received = world.received.get(&(*target, key.clone())).cloned().unwrap_or_default();
            prop_assert!(contains(&received, promised), "{} lacks {}", target, key);
        }
        prop_assert!(!world.holds());
    }

    /// What was held for others alone is let go with the last marker; what is owned is not.
    #[test]
    fn after_all_deliveries_the_holder_has_what_it_owns_and_nothing_else(
        hints in prop::collection::vec((0..KEYS, 0..3_usize), 1..30),
        hints_max in hints_max(),
    ) {
        let mut world = World::new(hints_max);
        let mut owned = State::default();
        for (key, targets) in hints {
            let targets = [targets != 0, targets != 1];
            world.hint(&nth_key(key), targets, false);
            if key == 0 {
                owned = world.holder.store.get(&nth_key(0)).unwrap().unwrap();
            }
        }
        world.settle();
        prop_assert!(!world.holds());
        prop_assert_eq!(world.holder.store.get(&nth_key(0)).unwrap().unwrap_or_default(), owned);
        for number in 1..KEYS {
            prop_assert_eq!(world.holder.store.get(&nth_key(number)).unwrap(), None);
        }
    }
}
