//! What holds whatever happens: random stories of writes, restarts, leaves, and messages that are lost, doubled, late and
//! out of order.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dynamokv_gossip::{Gossip, Message, Status};
use dynamokv_ring::NodeId;
use proptest::prelude::*;
use support::{SECOND, address, config, local};

const NODES: u64 = 4;
const REMEMBERED: Duration = Duration::from_secs(600);

#[derive(Clone, Debug)]
enum Step {
    Write {
        node: u64,
        key: u8,
        value: u8,
    },
    Begin {
        from: u64,
        to: u64,
    },
    Deliver {
        which: prop::sample::Index,
        keep: bool,
    },
    Lose {
        which: prop::sample::Index,
    },
    Round {
        node: u64,
    },
    Restart {
        node: u64,
    },
    Leave,
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 1..=NODES;
    prop_oneof![
        3 => (node(), 0u8..4, any::<u8>()).prop_map(|(node, key, value)| Step::Write { node, key, value }),
        4 => (node(), node()).prop_map(|(from, to)| Step::Begin { from, to }),
        12 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, keep)| Step::Deliver { which, keep }),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::Lose { which }),
        2 => node().prop_map(|node| Step::Round { node }),
        1 => node().prop_map(|node| Step::Restart { node }),
        1 => Just(Step::Leave),
    ]
}

/// The nodes, and the messages that are under way between them.
struct World {
    now: Instant,
    nodes: BTreeMap<u64, Gossip>,
    pool: Vec<(u64, u64, Message)>,
    /// The latest that each life of an observer has known of each node.
    seen: BTreeMap<(u64, u64, NodeId), (u64, u64, u64)>,
    /// Whom each life of an observer knows to have left.
    gone: BTreeSet<(u64, u64, NodeId)>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let mut world = World {
            now,
            nodes: BTreeMap::new(),
            pool: Vec::new(),
            seen: BTreeMap::new(),
            gone: BTreeSet::new(),
        };
        for id in 1..=NODES {
            world.start(id, 1);
        }
        world
    }

    fn start(&mut self, id: u64, generation: u64) {
        let mut config = config();
        config.left_lifetime = REMEMBERED;
        let seeds = (1..=NODES).map(address).collect();
        let node = Gossip::new(
            config,
            local(id, generation),
            seeds,
            id * 100 + generation,
            self.now,
        );
        self.nodes.insert(id, node.unwrap());
    }

    fn node(&mut self, id: u64) -> &mut Gossip {
        self.nodes.get_mut(&id).unwrap()
    }

    fn take(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Write { node, key, value } => {
                self.node(node)
                    .set_kv(format!("key{key}"), value.to_string())
                    .unwrap();
            }
            Step::Begin { from, to } if from != to => {
                let sent = self.node(from).contact(now, NodeId(to));
                // Strangers meet through a seed.
                let sent = sent.or_else(|| self.node(from).tick(now).pop());
                if let Some(sent) = sent {
                    let to = (1..=NODES).find(|id| address(*id) == sent.to).unwrap();
                    self.pool.push((from, to, sent.message));
                }
            }
            Step::Begin { .. } => {}
            Step::Deliver { which, keep } if !self.pool.is_empty() => {
                let index = which.index(self.pool.len());
                let (from, to, message) = if keep && self.pool.len() < 40 {
                    self.pool[index].clone()
                } else {
                    self.pool.swap_remove(index)
                };
                self.deliver(from, to, message);
            }
            Step::Lose { which } if !self.pool.is_empty() => {
                let index = which.index(self.pool.len());
                self.pool.swap_remove(index);
            }
            Step::Deliver { .. } | Step::Lose { .. } => {}
            Step::Round { node } => {
                self.now += SECOND;
                let now = self.now;
                self.node(node).tick(now);
            }
            Step::Restart { node } => {
                let before = self.node(node).local();
                if before.profile.status != Status::Left {
                    let generation = before.generation + 1;
                    self.start(node, generation);
                }
            }
            // Always the last node.
            Step::Leave => self.node(NODES).set_status(Status::Left).unwrap(),
        }
    }

    fn deliver(&mut self, from: u64, to: u64, message: Message) {
        let now = self.now;
        // A refusal is an answer like any other.
        if let Ok(Some(answer)) = self.node(to).handle(now, message) {
            self.pool.push((to, from, answer));
        }
    }

    /// No state ever moves backwards, and whoever left stays away.
    fn check(&mut self) {
        for (observer, node) in &self.nodes {
            let life = node.local().generation;
            for state in node.members() {
                let key = (*observer, life, state.id);
                let latest = (
                    state.generation,
                    state.version,
                    node.heartbeats(state.id).unwrap(),
                );
                let before = self.seen.insert(key, latest).unwrap_or_default();
                assert!(latest >= before, "{key:?}: {before:?} became {latest:?}");
                let own = state.id.0 == *observer;
                assert!(own || !self.gone.contains(&key), "{key:?} has risen again");
            }
            self.gone
                .extend(node.left().map(|id| (*observer, life, id)));
        }
    }

    /// No more faults: all pairs talk, twice.
    fn settle(&mut self) {
        self.pool.clear();
        for _ in 0..4 {
            for from in 1..=NODES {
                for to in (1..=NODES).filter(|to| *to != from) {
                    self.take(Step::Begin { from, to });
                    while let Some((from, to, message)) = self.pool.pop() {
                        self.deliver(from, to, message);
                        self.check();
                    }
                }
            }
        }
    }

    fn stays(&self) -> Vec<u64> {
        let stays = self
            .nodes
            .iter()
            .filter(|(_, node)| node.local().profile.status != Status::Left);
        stays.map(|(id, _)| *id).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn views_converge_and_never_move_backwards(steps in proptest::collection::vec(step(), 0..150)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.check();
        }
        world.settle();
        let stays = world.stays();
        for observer in &stays {
            let view = &world.nodes[observer];
            for about in &stays {
                let truth = world.nodes[about].local();
                prop_assert_eq!(view.member(NodeId(*about)), Some(truth), "{} about {}", observer, about);
            }
            prop_assert_eq!(view.members().count(), stays.len());
        }
    }

    #[test]
    fn merging_is_commutative_and_idempotent(
        writes in proptest::collection::vec((1u64..=2, 0u8..4, any::<u8>()), 1..12),
        order in any::<[prop::sample::Index; 24]>(),
    ) {
        let mut world = World::new();
        let mut messages = Vec::new();
        // What two writers say to a stranger, before and after each write.
        for (writer, key, value) in writes {
            world.take(Step::Write { node: writer, key, value });
            messages.extend(said_to_a_stranger(&mut world, writer));
        }
        let mut mixed = messages.clone();
        for index in order {
            let moved = mixed.swap_remove(index.index(mixed.len()));
            mixed.push(moved);
            mixed.extend(messages.get(index.index(messages.len())).cloned());
        }
        let one = observer_of(&world, &messages);
        let other = observer_of(&world, &mixed);
        let again = observer_of(&world, &[mixed.clone(), messages.clone(), mixed].concat());
        prop_assert_eq!(states(&one), states(&other));
        prop_assert_eq!(states(&one), states(&again));
    }

    #[test]
    fn of_any_statuses_only_the_table_s_steps_are_taken(steps in proptest::collection::vec(prop::sample::select(Status::ALL.to_vec()), 1..20)) {
        let mut node = support::machine(1, &[], Instant::now());
        for next in steps {
            let before = node.local().clone();
            let taken = node.set_status(next).is_ok();
            prop_assert_eq!(taken, before.profile.status.may_become(next));
            let after = node.local();
            prop_assert_eq!(after.profile.status, if taken { next } else { before.profile.status });
            prop_assert!(after.version >= before.version);
        }
    }
}

/// The message with the deltas that a node that knows nothing gets of the writer.
fn said_to_a_stranger(world: &mut World, writer: u64) -> Option<Message> {
    let now = world.now;
    let mut stranger = support::machine(99, &[writer], now);
    let syn = stranger.tick(now).pop()?.message;
    let syn_ack = world.node(writer).handle(now, syn).unwrap()?;
    let wanted = stranger.handle(now, syn_ack).unwrap()?;
    world.node(writer).handle(now, wanted).unwrap()
}

fn observer_of(world: &World, messages: &[Message]) -> Gossip {
    let mut observer = support::machine(50, &[], world.now);
    for message in messages {
        observer.handle(world.now, message.clone()).unwrap();
    }
    observer
}

/// All but the observer's own.
fn states(observer: &Gossip) -> Vec<dynamokv_gossip::NodeState> {
    observer
        .members()
        .filter(|state| state.id != observer.id())
        .cloned()
        .collect()
}

#[test]
fn the_left_may_come_again_only_when_everybody_has_forgotten_them() {
    let mut world = World::new();
    world.settle();
    world.take(Step::Leave);
    world.settle();
    assert!(
        world
            .stays()
            .iter()
            .all(|id| world.nodes[id].left().eq([NodeId(NODES)]))
    );
    let generation = world.nodes[&NODES].local().generation + 1;
    world.start(NODES, generation);
    world.settle();
    assert!((1..NODES).all(|id| world.nodes[&id].member(NodeId(NODES)).is_none()));

    world.now += REMEMBERED + SECOND;
    world.gone.clear();
    world.start(NODES, generation + 1);
    for id in 1..=NODES {
        world.take(Step::Round { node: id });
    }
    world.settle();
    assert!((1..NODES).all(|id| world.nodes[&id].member(NodeId(NODES)).is_some()));
}
