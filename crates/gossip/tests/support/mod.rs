//! A cluster of pure machines in virtual time: everything follows from the seed.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dynamokv_gossip::{Config, Error, Event, Gossip, LocalNode, Message, Outgoing};
use dynamokv_ring::NodeId;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub const SECOND: Duration = Duration::from_secs(1);

pub fn config() -> Config {
    Config::new("test")
}

pub fn address(id: u64) -> String {
    format!("node{id}:1")
}

pub fn local(id: u64, generation: u64) -> LocalNode {
    LocalNode::new(NodeId(id), generation, address(id))
}

pub fn machine(id: u64, seeds: &[u64], now: Instant) -> Gossip {
    machine_of(local(id, 1), seeds, now)
}

pub fn machine_of(local: LocalNode, seeds: &[u64], now: Instant) -> Gossip {
    let rng_seed = local.id.0 * 1000 + local.generation;
    let seeds = seeds.iter().map(|seed| address(*seed)).collect();
    Gossip::new(config(), local, seeds, rng_seed, now).unwrap()
}

/// One whole exchange without loss; the errors met on the way.
pub fn exchange(from: &mut Gossip, to: &mut Gossip, now: Instant) -> Vec<Error> {
    let syn = syn_of(from, to.local().profile.address.clone(), now);
    deliver(from, to, syn, now)
}

/// Carries a message and all that follows from it.
pub fn deliver(from: &mut Gossip, to: &mut Gossip, message: Message, now: Instant) -> Vec<Error> {
    match to.handle(now, message) {
        Err(error) => vec![error],
        Ok(None) => Vec::new(),
        Ok(Some(answer)) => deliver(to, from, answer, now),
    }
}

/// The message with which a machine would begin an exchange now.
pub fn syn_of(from: &mut Gossip, to: String, now: Instant) -> Message {
    let known = from
        .spread(now)
        .into_iter()
        .find(|outgoing| outgoing.to == to);
    let mut rounds = (0..200).map(|_| from.tick(now));
    let found = known
        .or_else(|| rounds.find_map(|sent| sent.into_iter().find(|outgoing| outgoing.to == to)));
    found.expect("the peer is neither known nor a seed").message
}

pub fn events(machine: &mut Gossip) -> Vec<Event> {
    std::iter::from_fn(|| machine.poll_event()).collect()
}

#[derive(Debug)]
struct InFlight {
    from: NodeId,
    to: String,
    to_node: Option<NodeId>,
    message: Message,
}

/// The network and the nodes on it.
pub struct Cluster {
    pub now: Instant,
    pub start: Instant,
    pub nodes: BTreeMap<NodeId, Gossip>,
    pub down: BTreeSet<NodeId>,
    /// Nodes of different islands do not hear each other; no entry is island 0.
    pub island: BTreeMap<NodeId, u8>,
    /// Of each message, in percent.
    pub loss: u64,
    /// Messages that arrive twice, in percent.
    pub doubled: u64,
    pub delay_max: Duration,
    pub bytes_max: usize,
    pub events: Vec<(NodeId, Event)>,
    in_flight: BTreeMap<(Instant, u64), InFlight>,
    due: BTreeMap<(Instant, NodeId), ()>,
    sequence: u64,
    rng: ChaCha8Rng,
}

impl Cluster {
    pub fn new(seed: u64) -> Self {
        let now = Instant::now();
        Cluster {
            now,
            start: now,
            nodes: BTreeMap::new(),
            down: BTreeSet::new(),
            island: BTreeMap::new(),
            loss: 0,
            doubled: 0,
            delay_max: Duration::from_millis(50),
            bytes_max: 0,
            events: Vec::new(),
            in_flight: BTreeMap::new(),
            due: BTreeMap::new(),
            sequence: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Nodes 1..=n, all seeded by node 1.
    pub fn of(count: u64, seed: u64) -> Self {
        let mut cluster = Cluster::new(seed);
        for id in 1..=count {
            let node = machine(id, &[1], cluster.now);
            cluster.add(node);
        }
        cluster
    }

    pub fn add(&mut self, node: Gossip) {
        let id = node.id();
        self.down.remove(&id);
        self.due.retain(|(_, due), ()| *due != id);
        let first = self.now + Duration::from_millis(self.below(1000));
        self.due.insert((first, id), ());
        self.nodes.insert(id, node);
    }

    pub fn node(&mut self, id: u64) -> &mut Gossip {
        self.nodes.get_mut(&NodeId(id)).unwrap()
    }

    pub fn crash(&mut self, id: u64) {
        self.down.insert(NodeId(id));
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.rng.next_u64() % limit
    }

    pub fn up(&self) -> Vec<NodeId> {
        let up = self.nodes.keys().filter(|id| !self.down.contains(id));
        up.copied().collect()
    }

    /// Whether all nodes that run say so.
    pub fn all(&self, holds: impl Fn(&Gossip) -> bool) -> bool {
        self.up().iter().all(|id| holds(&self.nodes[id]))
    }

    /// Runs for that long.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until it holds and says how long that took; none if it takes longer than `limit`.
    pub fn run_until(
        &mut self,
        limit: Duration,
        holds: impl Fn(&Cluster) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        loop {
            if holds(self) {
                return Some(self.now - start);
            }
            if !self.step(start + limit) {
                return None;
            }
        }
    }

    /// Begins exchanges of the node at once.
    pub fn kick(&mut self, id: NodeId) {
        let now = self.now;
        let sent = self.nodes.get_mut(&id).unwrap().spread(now);
        self.send(id, sent);
    }

    fn step(&mut self, end: Instant) -> bool {
        let message = self.in_flight.first_key_value().map(|((at, _), _)| *at);
        let round = self.due.first_key_value().map(|((at, _), ())| *at);
        let next = match (message, round) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => match a.or(b) {
                Some(at) => at,
                None => return false,
            },
        };
        if next > end {
            return false;
        }
        self.now = next;
        if round == Some(next) {
            let ((_, id), ()) = self.due.pop_first().unwrap();
            self.round(id);
        } else {
            let (_, message) = self.in_flight.pop_first().unwrap();
            self.arrive(message);
        }
        true
    }

    fn round(&mut self, id: NodeId) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        let next = node.next_interval();
        self.due.insert((now + next, id), ());
        if !self.down.contains(&id) {
            let sent = node.tick(now);
            self.send(id, sent);
        }
        self.drain(id);
    }

    fn arrive(&mut self, sent: InFlight) {
        let Some(to) = self.resolve(&sent) else {
            if let (Some(to_node), false) = (sent.to_node, self.down.contains(&sent.from)) {
                let now = self.now;
                self.nodes
                    .get_mut(&sent.from)
                    .unwrap()
                    .report_failure(to_node, now);
                self.drain(sent.from);
            }
            return;
        };
        let now = self.now;
        let answer = self.nodes.get_mut(&to).unwrap().handle(now, sent.message);
        if let Ok(Some(message)) = answer {
            let address = self.nodes[&sent.from].local().profile.address.clone();
            let answer = Outgoing {
                to: address,
                to_node: Some(sent.from),
                message,
            };
            self.send(to, vec![answer]);
        }
        self.drain(to);
    }

    /// Who hears the message, if anybody.
    fn resolve(&self, sent: &InFlight) -> Option<NodeId> {
        let at = |(_, node): &(&NodeId, &Gossip)| node.local().profile.address == sent.to;
        let (to, _) = self.nodes.iter().find(at)?;
        let island = |id: &NodeId| self.island.get(id).copied().unwrap_or(0);
        let heard = !self.down.contains(to)
            && !self.down.contains(&sent.from)
            && island(to) == island(&sent.from);
        heard.then_some(*to)
    }

    fn send(&mut self, from: NodeId, sent: Vec<Outgoing>) {
        for outgoing in sent {
            self.bytes_max = self.bytes_max.max(outgoing.message.encoded_len());
            let copies = 1 + u64::from(self.below(100) < self.doubled);
            for _ in 0..copies {
                if self.below(100) < self.loss {
                    continue;
                }
                let delay = self.below(self.delay_max.as_micros() as u64 + 1);
                self.sequence += 1;
                let at = self.now + Duration::from_micros(delay);
                let message = InFlight {
                    from,
                    to: outgoing.to.clone(),
                    to_node: outgoing.to_node,
                    message: outgoing.message.clone(),
                };
                self.in_flight.insert((at, self.sequence), message);
            }
        }
    }

    fn drain(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).unwrap();
        while let Some(event) = node.poll_event() {
            self.events.push((id, event));
        }
        let further = std::iter::from_fn(|| node.poll_outgoing()).collect();
        self.send(id, further);
    }
}
