//! The crate `foca`: SWIM with suspicions, sans-IO. Facts travel as its custom broadcasts.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foca::{
    AccumulatingRuntime, BroadcastHandler, Config, Identity, Invalidates, OwnedNotification,
    PostcardCodec, Timer,
};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

use crate::protocol::{Place, Protocol, Sent, Start, Verdict};

pub struct Foca {
    machine: foca::Foca<Id, PostcardCodec, SmallRng, Facts>,
    facts: Facts,
    seeds: Vec<Place>,
    /// When to look for the seeds again, as long as nobody is known.
    knocks_at: Instant,
    interval: Duration,
    timers: BinaryHeap<Reverse<(Instant, u64, OrderedTimer)>>,
    scheduled: u64,
    live: BTreeSet<Place>,
    verdicts: Vec<Verdict>,
}

impl Protocol for Foca {
    type Message = Vec<u8>;
    const NAME: &'static str = "foca 1.0";

    fn start(start: Start) -> Self {
        let size = u32::try_from(start.cluster_size)
            .ok()
            .and_then(NonZeroU32::new);
        let config = Config::new_lan(size.unwrap_or(NonZeroU32::MIN));
        let id = Id {
            place: start.place as u32,
            generation: start.generation as u32,
            renewed: 0,
        };
        let rng = SmallRng::seed_from_u64(start.random_seed);
        let facts = Facts::default();
        Foca {
            machine: foca::Foca::with_custom_broadcast(
                id,
                config,
                rng,
                PostcardCodec,
                facts.clone(),
            ),
            facts,
            seeds: start.seeds,
            knocks_at: start.now,
            interval: start.interval,
            timers: BinaryHeap::new(),
            scheduled: 0,
            live: BTreeSet::from([start.place]),
            verdicts: Vec::new(),
        }
    }

    fn wakes_at(&self) -> Instant {
        let knock = self.alone().then_some(self.knocks_at);
        let timer = self.timers.peek().map(|Reverse((at, ..))| *at);
        let next = [knock, timer].into_iter().flatten().min();
        next.unwrap_or(self.knocks_at + IDLE)
    }

    fn wake(&mut self, now: Instant, out: &mut Vec<Sent<Vec<u8>>>) {
        let mut runtime = AccumulatingRuntime::new();
        if self.alone() && self.knocks_at <= now {
            self.knocks_at = now + self.interval;
            for seed in &self.seeds {
                let seed = Id::at(*seed);
                if seed.place != self.machine.identity().place {
                    self.machine
                        .announce(seed, &mut runtime)
                        .expect("a short message");
                }
            }
        }
        while let Some(Reverse((at, ..))) = self.timers.peek()
            && *at <= now
        {
            let Some(Reverse((.., OrderedTimer(timer)))) = self.timers.pop() else {
                break;
            };
            // Timers of an identity that was given up are refused.
            let _ = self.machine.handle_timer(timer, &mut runtime);
        }
        self.drain(runtime, now, out);
    }

    fn receive(&mut self, now: Instant, _: Place, message: Vec<u8>, out: &mut Vec<Sent<Vec<u8>>>) {
        let mut runtime = AccumulatingRuntime::new();
        // What is meant for an earlier process here is refused.
        let _ = self.machine.handle_data(&message, &mut runtime);
        self.drain(runtime, now, out);
    }

    fn bytes(message: &Vec<u8>) -> usize {
        message.len()
    }

    fn write(&mut self, value: u64, now: Instant, out: &mut Vec<Sent<Vec<u8>>>) {
        let place = self.machine.identity().place;
        let fact = postcard::to_stdvec(&(place, value)).expect("two numbers");
        self.machine.add_broadcast(&fact).expect("a short fact");
        let mut runtime = AccumulatingRuntime::new();
        self.machine.gossip(&mut runtime).expect("short messages");
        self.drain(runtime, now, out);
    }

    fn reads(&self, of: Place) -> Option<u64> {
        self.facts.0.lock().get(&(of as u32)).copied()
    }

    fn leave(&mut self, now: Instant, out: &mut Vec<Sent<Vec<u8>>>) {
        let mut runtime = AccumulatingRuntime::new();
        self.machine
            .leave_cluster(&mut runtime)
            .expect("short messages");
        self.drain(runtime, now, out);
    }

    fn knows(&self, of: Place) -> bool {
        self.live.contains(&of)
    }

    fn takes_for_live(&self, of: Place) -> bool {
        self.live.contains(&of)
    }

    fn verdicts(&mut self) -> Vec<Verdict> {
        std::mem::take(&mut self.verdicts)
    }
}

impl Foca {
    fn alone(&self) -> bool {
        self.machine.num_members() == 0
    }

    fn drain(
        &mut self,
        mut runtime: AccumulatingRuntime<Id>,
        now: Instant,
        out: &mut Vec<Sent<Vec<u8>>>,
    ) {
        while let Some((to, message)) = runtime.to_send() {
            out.push(Sent {
                to: to.place as Place,
                message: message.to_vec(),
            });
        }
        while let Some((after, timer)) = runtime.to_schedule() {
            self.scheduled += 1;
            let due = (now + after, self.scheduled, OrderedTimer(timer));
            self.timers.push(Reverse(due));
        }
        while let Some(notification) = runtime.to_notify() {
            let (about, down) = match notification {
                OwnedNotification::MemberUp(id) => (id.place as Place, false),
                OwnedNotification::MemberDown(id) => (id.place as Place, true),
                _ => continue,
            };
            if down {
                self.live.remove(&about);
            } else {
                self.live.insert(about);
            }
            self.verdicts.push(Verdict { about, down });
        }
    }
}

/// A process: its place, how many ran there before it, and how often it had to take another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Id {
    place: u32,
    generation: u32,
    renewed: u32,
}

impl Id {
    /// Whoever runs there: only its place matters for an announcement.
    fn at(place: Place) -> Self {
        Id {
            place: place as u32,
            generation: 0,
            renewed: 0,
        }
    }
}

impl Identity for Id {
    type Addr = u32;

    fn renew(&self) -> Option<Self> {
        Some(Id {
            renewed: self.renewed + 1,
            ..*self
        })
    }

    fn addr(&self) -> u32 {
        self.place
    }

    fn win_addr_conflict(&self, other: &Self) -> bool {
        (self.generation, self.renewed) > (other.generation, other.renewed)
    }
}

/// The latest fact of each place.
#[derive(Clone, Default)]
struct Facts(Arc<Mutex<HashMap<u32, u64>>>);

impl BroadcastHandler<Id> for Facts {
    type Key = Fact;
    type Error = Infallible;

    fn receive_item(&mut self, data: &[u8], _: Option<&Id>) -> Result<Option<Fact>, Infallible> {
        let Ok((place, value)) = postcard::from_bytes::<(u32, u64)>(data) else {
            return Ok(None);
        };
        let mut facts = self.0.lock();
        let known = facts.entry(place).or_default();
        let news = value > *known;
        *known = value.max(*known);
        Ok(news.then_some(Fact(place)))
    }
}

struct Fact(u32);

impl Invalidates for Fact {
    fn invalidates(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// Timers have no order of their own that is total; here they come in that of their numbers.
struct OrderedTimer(Timer<Id>);

impl PartialEq for OrderedTimer {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for OrderedTimer {}

impl PartialOrd for OrderedTimer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OrderedTimer {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

const IDLE: Duration = Duration::from_secs(3600);
