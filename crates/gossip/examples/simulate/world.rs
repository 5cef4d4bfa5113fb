//! The network and the nodes on it, in virtual time: everything follows from the seed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::protocol::{Place, Protocol, Sent, Start};

/// What the network does to messages.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    pub latency_min: Duration,
    pub latency_max: Duration,
    /// Of each message, in thousandths.
    pub loss_per_mille: u64,
}

impl Network {
    /// A few racks: 1 to 20 ms one way.
    pub fn losing(loss_per_mille: u64) -> Self {
        Network {
            latency_min: Duration::from_millis(1),
            latency_max: Duration::from_millis(20),
            loss_per_mille,
        }
    }
}

pub struct World<P: Protocol> {
    pub now: Instant,
    start: Instant,
    interval: Duration,
    /// How many places there are going to be.
    expected: usize,
    pub network: Network,
    hosts: Vec<Host<P>>,
    queue: BinaryHeap<Reverse<Due<P::Message>>>,
    sequence: u64,
    rng: ChaCha8Rng,
    accusations: Accusations,
    outbox: Vec<Sent<P::Message>>,
}

/// A place and the process that runs there, if any.
struct Host<P> {
    node: Option<P>,
    generation: u64,
    seeds: Vec<Place>,
    paused_until: Option<Instant>,
    /// Added to every message from and to it.
    slowness: Duration,
    island: u8,
    bytes_sent: u64,
    messages_sent: u64,
    message_bytes_max: usize,
    /// Not to be held against anybody: it was paused or away a moment ago.
    excused_until: Instant,
}

struct Due<M> {
    at: Instant,
    sequence: u64,
    what: What<M>,
}

enum What<M> {
    Wake { place: Place, generation: u64 },
    Arrive { from: Place, to: Place, message: M },
}

impl<M> PartialEq for Due<M> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<M> Eq for Due<M> {}

impl<M> PartialOrd for Due<M> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<M> Ord for Due<M> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// Who takes whom for down although it runs.
#[derive(Default)]
struct Accusations {
    /// Who takes each place for down now.
    accusers: Vec<BTreeSet<Place>>,
    /// Times at which a running node, neither paused nor just back, went from nobody's suspect to somebody's.
    episodes: u64,
    /// The same for paused ones and those that were just back.
    excused: u64,
}

/// What was counted since [`World::reset_counts`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub bytes_per_node_second: f64,
    pub bytes_per_second_of_the_busiest: f64,
    pub messages_per_node_second: f64,
    pub message_bytes_max: usize,
    pub false_positives: u64,
    pub excused_accusations: u64,
}

impl<P: Protocol> World<P> {
    pub fn new(seed: u64, interval: Duration, network: Network) -> Self {
        let now = Instant::now();
        World {
            now,
            start: now,
            interval,
            expected: 1,
            network,
            hosts: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            accusations: Accusations::default(),
            outbox: Vec::new(),
        }
    }

    /// A cluster of that many, all of which know the first three.
    pub fn of(count: usize, seed: u64, interval: Duration, network: Network) -> Self {
        let mut world = World::new(seed, interval, network);
        world.expected = count;
        for _ in 0..count {
            world.add(vec![0, 1, 2]);
        }
        world
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub fn node(&self, place: Place) -> Option<&P> {
        self.hosts[place].node.as_ref()
    }

    /// Those that run.
    pub fn running(&self) -> impl Iterator<Item = (Place, &P)> {
        let numbered = self.hosts.iter().enumerate();
        numbered.filter_map(|(place, host)| Some((place, host.node.as_ref()?)))
    }

    /// A further place, started within the next interval.
    pub fn add(&mut self, seeds: Vec<Place>) -> Place {
        let place = self.hosts.len();
        self.hosts.push(Host {
            node: None,
            generation: 0,
            seeds,
            paused_until: None,
            slowness: Duration::ZERO,
            island: 0,
            bytes_sent: 0,
            messages_sent: 0,
            message_bytes_max: 0,
            excused_until: self.now,
        });
        self.accusations.accusers.push(BTreeSet::new());
        self.boot(place);
        place
    }

    /// Starts the process of a place (anew).
    pub fn boot(&mut self, place: Place) {
        self.crash(place);
        let random_seed = self.rng.next_u64();
        let host = &mut self.hosts[place];
        host.generation += 1;
        host.paused_until = None;
        let node = P::start(Start {
            place,
            generation: host.generation,
            seeds: host.seeds.clone(),
            cluster_size: self.expected,
            random_seed,
            interval: self.interval,
            now: self.now,
        });
        host.excused_until = self.now + EXCUSED;
        host.node = Some(node);
        let first = self.now + self.within(Duration::ZERO, self.interval);
        self.wake_at(place, first);
    }

    pub fn crash(&mut self, place: Place) {
        self.hosts[place].node = None;
        for accusers in &mut self.accusations.accusers {
            accusers.remove(&place);
        }
    }

    /// The process stands still; what reaches it waits.
    pub fn pause(&mut self, place: Place, time: Duration) {
        let until = self.now + time;
        let host = &mut self.hosts[place];
        host.paused_until = Some(until);
        host.excused_until = until + EXCUSED;
    }

    pub fn slow_down(&mut self, place: Place, slowness: Duration) {
        self.hosts[place].slowness = slowness;
    }

    /// Nodes of different islands do not hear each other.
    pub fn isolate(&mut self, place: Place, island: u8) {
        self.hosts[place].island = island;
    }

    /// Lets the node of a place do something.
    pub fn with(
        &mut self,
        place: Place,
        work: impl FnOnce(&mut P, Instant, &mut Vec<Sent<P::Message>>),
    ) {
        let now = self.now;
        let mut outbox = std::mem::take(&mut self.outbox);
        if let Some(node) = &mut self.hosts[place].node {
            work(node, now, &mut outbox);
        }
        for sent in outbox.drain(..) {
            self.send(place, sent);
        }
        self.outbox = outbox;
        self.judge(place);
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.rng.next_u64() % limit.max(1)
    }

    fn within(&mut self, min: Duration, max: Duration) -> Duration {
        let span = (max - min).as_micros() as u64;
        min + Duration::from_micros(self.below(span + 1))
    }

    pub fn reset_counts(&mut self) {
        for host in &mut self.hosts {
            host.bytes_sent = 0;
            host.messages_sent = 0;
            host.message_bytes_max = 0;
        }
        self.accusations.episodes = 0;
        self.accusations.excused = 0;
    }

    /// What was counted in the last `time`.
    pub fn counts(&self, time: Duration) -> Counts {
        let seconds = time.as_secs_f64();
        let nodes = self.running().count().max(1) as f64;
        let sum = |of: fn(&Host<P>) -> u64| self.hosts.iter().map(of).sum::<u64>() as f64;
        let greatest = self.hosts.iter().map(|host| host.bytes_sent).max();
        let message_bytes_max = self.hosts.iter().map(|host| host.message_bytes_max).max();
        Counts {
            bytes_per_node_second: sum(|host| host.bytes_sent) / nodes / seconds,
            bytes_per_second_of_the_busiest: greatest.unwrap_or(0) as f64 / seconds,
            messages_per_node_second: sum(|host| host.messages_sent) / nodes / seconds,
            message_bytes_max: message_bytes_max.unwrap_or(0),
            false_positives: self.accusations.episodes,
            excused_accusations: self.accusations.excused,
        }
    }

    fn step(&mut self, end: Instant) -> bool {
        if self.queue.peek().is_none_or(|Reverse(due)| due.at > end) {
            return false;
        }
        let Some(Reverse(due)) = self.queue.pop() else {
            return false;
        };
        self.now = due.at;
        match due.what {
            What::Wake { place, generation } => self.wake(place, generation),
            What::Arrive { from, to, message } => self.arrive(from, to, message),
        }
        true
    }

    fn wake(&mut self, place: Place, generation: u64) {
        let host = &mut self.hosts[place];
        if host.node.is_none() || host.generation != generation {
            return;
        }
        if let Some(until) = host.paused_until.filter(|until| *until > self.now) {
            return self.wake_at(place, until);
        }
        self.with(place, |node, now, out| node.wake(now, out));
        let next = self.hosts[place].node.as_ref().map(P::wakes_at);
        if let Some(next) = next {
            self.wake_at(place, next);
        }
    }

    fn wake_at(&mut self, place: Place, at: Instant) {
        let generation = self.hosts[place].generation;
        self.push(at, What::Wake { place, generation });
    }

    fn arrive(&mut self, from: Place, to: Place, message: P::Message) {
        let host = &self.hosts[to];
        if host.node.is_none() || host.island != self.hosts[from].island {
            return;
        }
        if let Some(until) = host.paused_until.filter(|until| *until > self.now) {
            return self.push(until, What::Arrive { from, to, message });
        }
        self.with(to, |node, now, out| node.receive(now, from, message, out));
    }

    fn send(&mut self, from: Place, sent: Sent<P::Message>) {
        let bytes = P::bytes(&sent.message);
        let host = &mut self.hosts[from];
        host.bytes_sent += bytes as u64;
        host.messages_sent += 1;
        host.message_bytes_max = host.message_bytes_max.max(bytes);
        let slowness = host.slowness;
        if sent.to >= self.hosts.len() || self.below(1000) < self.network.loss_per_mille {
            return;
        }
        let slowness = slowness + self.hosts[sent.to].slowness;
        let latency = self.within(self.network.latency_min, self.network.latency_max);
        let what = What::Arrive {
            from,
            to: sent.to,
            message: sent.message,
        };
        self.push(self.now + latency + slowness, what);
    }

    fn push(&mut self, at: Instant, what: What<P::Message>) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.queue.push(Reverse(Due { at, sequence, what }));
    }

    /// Takes note of the node's verdicts.
    fn judge(&mut self, place: Place) {
        let Some(node) = &mut self.hosts[place].node else {
            return;
        };
        for verdict in node.verdicts() {
            let accusers = &mut self.accusations.accusers[verdict.about];
            if !verdict.down {
                accusers.remove(&place);
                continue;
            }
            accusers.insert(place);
            let about = &self.hosts[verdict.about];
            if accusers.len() == 1 && about.node.is_some() {
                if about.excused_until >= self.now {
                    self.accusations.excused += 1;
                } else {
                    self.accusations.episodes += 1;
                }
            }
        }
    }
}

/// Nobody is wrong who takes a node for down that stood still a moment ago: the news of its return need this long.
const EXCUSED: Duration = Duration::from_secs(15);
