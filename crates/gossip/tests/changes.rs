//! Membership changes among real machines: random delay, loss, restarts, rival proposals and removals; then a quiet
//! phase in which all must come to an end.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use dynamokv_gossip::{
    ChangeProgress, ClusterFacts, Error, Gossip, KEY_CHANGE, KEY_REMOVE, KEY_REPLACES, LocalNode,
    Message, Stage, StageMark, Status, Wishes,
};
use dynamokv_ring::{Member, NodeId};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use support::{SECOND, address, local, machine_of};

/// A node as a composition runs it: the machine and the duties around it.
struct Node {
    gossip: Gossip,
    progress: ChangeProgress,
}

/// Who removes nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Absent,
    /// Declares nodes dead that are.
    Truthful,
    /// Declares nodes dead that go on running.
    Mistaken,
}

struct World {
    now: Instant,
    nodes: BTreeMap<u64, Node>,
    /// Whom an operator declared dead.
    declared: BTreeSet<u64>,
    /// Those that really are.
    dead: BTreeSet<u64>,
    pool: Vec<(u64, u64, Message)>,
    rng: ChaCha8Rng,
    /// What each number came to: two nodes never finish different changes under one number.
    finished: BTreeMap<u64, ClusterFacts>,
}

impl Node {
    fn start(local: LocalNode, facts: Option<ClusterFacts>, now: Instant) -> Self {
        let mark = local.kv.get(KEY_CHANGE).map(|mark| mark.parse().unwrap());
        let progress = ChangeProgress::new(local.id, mark);
        let mut gossip = machine_of(local, &[1, 2, 3], now);
        if let Some(facts) = facts {
            gossip.set_facts(facts).unwrap();
        }
        Node { gossip, progress }
    }

    fn step(&mut self) -> bool {
        let Some(facts) = self.gossip.facts().cloned() else {
            return false;
        };
        let view = self.gossip.change_view();
        let Some(step) = self.progress.next_step(&facts, &view) else {
            return self.settle(&facts);
        };
        self.progress.entered(step, &facts, &view).unwrap();
        self.gossip.set_kv(KEY_CHANGE, step.to_string()).unwrap();
        if step.stage == Stage::Finished {
            self.gossip.finish(step.change).unwrap();
        }
        true
    }

    /// The status follows the ring.
    fn settle(&mut self, facts: &ClusterFacts) -> bool {
        let member = facts.current.contains(self.gossip.id());
        match self.gossip.local().profile.status {
            Status::Joining | Status::Replacing if member => {
                self.gossip.set_status(Status::Up).is_ok()
            }
            Status::Leaving if !facts.in_a_ring(self.gossip.id()) => {
                self.gossip.set_status(Status::Left).is_ok()
            }
            _ => false,
        }
    }
}

impl World {
    /// Members 1..=3, and two nodes that want in.
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let mut facts = ClusterFacts::found(9, "test", 8, 3, Member::new(NodeId(1))).unwrap();
        facts.current.members = (1..=3).map(|id| Member::new(NodeId(id))).collect();
        let mut nodes = BTreeMap::new();
        for id in 1..=5 {
            let mut local = local(id, 1);
            let member = id <= 3;
            local.profile.status = if member { Status::Up } else { Status::Joining };
            nodes.insert(id, Node::start(local, member.then(|| facts.clone()), now));
        }
        World {
            now,
            nodes,
            declared: BTreeSet::new(),
            dead: BTreeSet::new(),
            pool: Vec::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            finished: BTreeMap::new(),
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.rng.next_u64() % limit as u64) as usize
    }

    fn somebody(&mut self) -> u64 {
        let alive: Vec<u64> = self
            .nodes
            .keys()
            .copied()
            .filter(|id| !self.dead.contains(id))
            .collect();
        alive[self.below(alive.len())]
    }

    fn act(&mut self, operator: Operator) {
        let id = self.somebody();
        match self.below(100) {
            0..20 => self.begin_exchange(id),
            20..60 => self.deliver_any(),
            60..64 => self.propose_blindly(id),
            64..66 => self.restart(id),
            // Some remain: nobody can leave an empty ring behind.
            66..67 if id > 2 => {
                let _ = self.node(id).gossip.set_status(Status::Leaving);
            }
            67..68 => self.declare_dead(id, operator),
            _ => {
                self.node(id).step();
            }
        }
        self.check();
    }

    fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    fn begin_exchange(&mut self, id: u64) {
        let now = self.now;
        let mut sent = self.node(id).gossip.tick(now);
        if sent.is_empty() {
            return;
        }
        let index = self.below(sent.len());
        let outgoing = sent.swap_remove(index);
        let to = (1..=5).find(|to| address(*to) == outgoing.to).unwrap();
        self.pool.push((id, to, outgoing.message));
    }

    /// Any message that is under way: lost, delivered, or delivered and kept for another time.
    fn deliver_any(&mut self) {
        if self.pool.is_empty() {
            return;
        }
        let index = self.below(self.pool.len());
        let (from, to, message) = self.pool[index].clone();
        match self.below(10) {
            0 if self.pool.len() < 50 => {}
            _ => drop(self.pool.swap_remove(index)),
        }
        if self.below(10) > 0 {
            self.deliver(from, to, message);
        }
    }

    fn deliver(&mut self, from: u64, to: u64, message: Message) {
        if self.dead.contains(&to) || !self.nodes.contains_key(&to) {
            return;
        }
        let now = self.now;
        match self.node(to).gossip.handle(now, message) {
            Ok(Some(answer)) => self.pool.push((to, from, answer)),
            Ok(None) | Err(Error::MemberLeft { .. }) => {}
            Err(error) => panic!("{to} met {error}"),
        }
    }

    /// A proposal under a random opinion of who is live.
    fn propose_blindly(&mut self, id: u64) {
        let opinion = self.rng.next_u64();
        let node = self.node(id);
        let candidates: Vec<_> = node
            .gossip
            .members()
            .map(|state| dynamokv_gossip::Candidate {
                member: state.member(),
                status: state.profile.status,
                live: state.id == NodeId(id) || opinion >> state.id.0 & 1 == 1,
                replaces: state.replaces(),
            })
            .collect();
        let removals = node.gossip.removals();
        let proposal = node.gossip.facts().and_then(|facts| {
            let wishes = Wishes {
                facts,
                candidates: &candidates,
                remove: &removals,
                left: &node.gossip.left().collect(),
            };
            wishes.change(NodeId(id))
        });
        if let Some(change) = proposal {
            node.gossip.open(change).unwrap();
        }
    }

    fn restart(&mut self, id: u64) {
        let now = self.now;
        let before = &self.node(id).gossip;
        let state = before.local();
        let mut again = local(id, state.generation + 1);
        again.profile.status = state.profile.status;
        for key in [KEY_CHANGE, KEY_REMOVE] {
            if let Some(value) = state.value(key) {
                again.kv.insert(key.to_owned(), value.to_owned());
            }
        }
        let facts = before.facts().cloned();
        self.nodes.insert(id, Node::start(again, facts, now));
    }

    fn declare_dead(&mut self, id: u64, operator: Operator) {
        if operator == Operator::Absent || id > 3 || !self.declared.is_empty() {
            return;
        }
        let other = self.somebody();
        let asked = self.node(other).gossip.request_removal(NodeId(id));
        if asked.is_ok() {
            self.declared.insert(id);
            if operator == Operator::Truthful {
                self.dead.insert(id);
            }
        }
    }

    fn check(&mut self) {
        let marks: BTreeMap<NodeId, StageMark> = self
            .nodes
            .values()
            .filter_map(|node| Some((node.gossip.id(), node.progress.mark()?)))
            .collect();
        let mut past = BTreeMap::new();
        for mark in marks.values().filter(|mark| mark.stage > Stage::Announced) {
            let proposer = past
                .entry(mark.change.number)
                .or_insert(mark.change.proposer);
            assert_eq!(
                *proposer, mark.change.proposer,
                "two rivals are under way: {marks:?}"
            );
        }
        for node in self.nodes.values() {
            let Some(facts) = node.gossip.facts() else {
                continue;
            };
            let plain = facts.without_open();
            let known = self
                .finished
                .entry(facts.current.number)
                .or_insert_with(|| plain.clone());
            assert_eq!(*known, plain, "two targets under one number");
            let Some(stage) = node.progress.stage(facts) else {
                continue;
            };
            for needed in facts
                .needed()
                .into_iter()
                .filter(|id| !self.declared.contains(&id.0))
            {
                let theirs = marks
                    .get(&needed)
                    .and_then(|mark| mark.stage_of(facts.open_id().unwrap()));
                assert!(
                    theirs >= stage.before(),
                    "{needed} is left behind: {marks:?}"
                );
            }
        }
    }

    /// No more faults: everybody gossips, steps and proposes until nothing changes.
    fn quiet(&mut self) {
        self.pool.clear();
        for _ in 0..150 {
            self.now += SECOND;
            for id in self.nodes.keys().copied().collect::<Vec<_>>() {
                if self.dead.contains(&id) {
                    continue;
                }
                let now = self.now;
                for outgoing in self.node(id).gossip.tick(now) {
                    let to = (1..=5).find(|to| address(*to) == outgoing.to).unwrap();
                    match outgoing.to_node {
                        Some(dead) if self.dead.contains(&to) => {
                            self.node(id).gossip.report_failure(dead, now)
                        }
                        _ => self.deliver(id, to, outgoing.message),
                    }
                    while let Some((from, to, message)) = self.pool.pop() {
                        self.deliver(from, to, message);
                    }
                }
                self.node(id).gossip.request_replacements();
                if let Some(change) = self.node(id).gossip.proposal() {
                    self.node(id).gossip.open(change).unwrap();
                }
                while self.node(id).step() {
                    self.check();
                }
            }
        }
    }

    fn assert_done(&self) {
        let running = self
            .nodes
            .values()
            .filter(|node| !self.dead.contains(&node.gossip.id().0));
        let running: Vec<&Node> = running.collect();
        let members: Vec<&&Node> = running
            .iter()
            .filter(|node| node.gossip.local().profile.status == Status::Up)
            .collect();
        let facts = members[0].gossip.facts().unwrap();
        assert_eq!(facts.open, None, "unfinished");
        let expected: BTreeSet<NodeId> = members.iter().map(|node| node.gossip.id()).collect();
        assert_eq!(facts.current.ids().collect::<BTreeSet<_>>(), expected);
        for node in &members {
            assert_eq!(node.gossip.facts(), Some(facts));
        }
        for node in &running {
            let status = node.gossip.local().profile.status;
            // The last member cannot leave.
            let last = members.is_empty();
            assert!(
                last || matches!(status, Status::Up | Status::Left),
                "{status}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn rivals_joins_and_leaves_stay_in_step_and_all_come_to_an_end(seed in any::<u64>()) {
        let mut world = World::new(seed);
        (0..600).for_each(|_| world.act(Operator::Absent));
        world.quiet();
        world.assert_done();
    }

    #[test]
    fn a_dead_member_is_removed_at_any_moment(seed in any::<u64>()) {
        let mut world = World::new(seed);
        (0..600).for_each(|_| world.act(Operator::Truthful));
        world.quiet();
        world.assert_done();
    }

    #[test]
    fn even_a_mistaken_operator_does_not_get_two_rivals_under_way(seed in any::<u64>()) {
        let mut world = World::new(seed);
        (0..900).for_each(|_| world.act(Operator::Mistaken));
        world.quiet();
    }
}

#[test]
fn several_nodes_join_in_one_change() {
    let mut world = World::new(1);
    world.quiet();
    let facts = world.nodes[&1].gossip.facts().unwrap();
    assert_eq!(facts.current.members.len(), 5);
    world.assert_done();
}

#[test]
fn a_member_that_is_down_blocks_the_change_until_it_is_removed() {
    let mut world = World::new(1);
    world.dead.insert(3);
    world.quiet();
    let facts = world.nodes[&1].gossip.facts().unwrap();
    assert_eq!(facts.current.number, 0);
    assert!(facts.open.is_some());
    let target = &facts.open.as_ref().unwrap().target;
    // Which of the two the proposer met first is chance.
    let let_in = target.ids().find(|id| id.0 > 3).unwrap();
    let newcomer = &world.nodes[&let_in.0];
    let blocked = newcomer
        .progress
        .blocked_by(facts, &newcomer.gossip.change_view());
    assert_eq!(blocked, [NodeId(3)]);

    world.declared.insert(3);
    world.node(2).gossip.request_removal(NodeId(3)).unwrap();
    world.quiet();
    world.assert_done();
    let facts = world.nodes[&1].gossip.facts().unwrap();
    assert!(!facts.in_a_ring(NodeId(3)));
    assert_eq!(facts.current.members.len(), 4);
    assert_eq!(
        world.nodes[&4].gossip.status_of(NodeId(3)),
        Some(Status::Left)
    );
    assert!(
        world.nodes[&1].gossip.removals().is_empty(),
        "the request is done with"
    );
}

#[test]
fn a_new_node_takes_the_place_of_a_dead_one_even_where_that_one_blocks_an_open_change() {
    let mut world = World::new(1);
    world.dead.insert(3);
    world.quiet();
    assert!(world.nodes[&1].gossip.open_change().is_some(), "blocked");

    // Node 5 starts anew: it does not come as a further node any more.
    let mut heir = local(5, 2);
    heir.profile.status = Status::Replacing;
    heir.kv
        .insert(KEY_REPLACES.to_owned(), NodeId(3).to_string());
    let facts = world.nodes[&5].gossip.facts().cloned();
    let mark = world.nodes[&5].progress.mark();
    if let Some(mark) = mark {
        heir.kv.insert(KEY_CHANGE.to_owned(), mark.to_string());
    }
    let now = world.now;
    world.nodes.insert(5, Node::start(heir, facts, now));
    world.declared.insert(3);
    world.quiet();
    world.assert_done();
    let facts = world.nodes[&1].gossip.facts().unwrap();
    assert_eq!(
        facts.current.ids().collect::<Vec<_>>(),
        [1, 2, 4, 5].map(NodeId)
    );
    assert_eq!(world.nodes[&5].gossip.local().profile.status, Status::Up);
}
