//! Whom to talk to, and when.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dynamokv_ring::NodeId;

use super::Gossip;
use super::heartbeats::fold;
use crate::roster::Buckets;
use crate::{Event, Message, Syn};

/// A message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The address.
    pub to: String,
    /// The node that is expected there; none for a seed.
    pub to_node: Option<NodeId>,
    /// What to send.
    pub message: Message,
}

impl Gossip {
    /// One round: the own heartbeat, everybody's liveness, and the exchanges to begin now. O(nodes).
    ///
    /// Some live peers are picked at random; now and then also a seed and a node that is down, so that islands
    /// rejoin.
    pub fn tick(&mut self, now: Instant) -> Vec<Outgoing> {
        self.advance(now);
        let gap = self.last_tick.map_or(Duration::ZERO, |last| {
            self.now.saturating_duration_since(last)
        });
        self.last_tick = Some(self.now);
        let late = gap > self.config.interval * 2;
        if late {
            self.forgive_all(gap - self.config.interval);
        }
        if gap > self.config.pause_tolerance {
            self.push(Event::ClockJumped { gap });
        }
        self.assess_own_health(late);
        self.beat();
        self.forget_left();
        self.judge_all();
        if self.expelled {
            return Vec::new();
        }
        let mut chosen = self.random_peers(true, self.config.fanout);
        chosen.extend(self.down_peer());
        let mut outgoing = self.syns_to(chosen);
        if let Some(seed) = self.seed(&outgoing) {
            outgoing.push(seed);
        }
        outgoing
    }

    /// Exchanges to begin at once because something changed here, with up to [`kick_fanout`](crate::Config::kick_fanout)
    /// live peers. No round: the heartbeat stays.
    pub fn spread(&mut self, now: Instant) -> Vec<Outgoing> {
        self.advance(now);
        if self.expelled {
            return Vec::new();
        }
        let chosen = self.random_peers(true, self.config.kick_fanout);
        self.syns_to(chosen)
    }

    /// An exchange with one node, because it may have missed what a kick was for.
    pub fn contact(&mut self, now: Instant, id: NodeId) -> Option<Outgoing> {
        self.advance(now);
        if self.expelled {
            return None;
        }
        self.syns_to(vec![id]).pop()
    }

    /// The time to the next round: the interval, give or take a tenth, so that rounds of different nodes do not fall
    /// into step.
    pub fn next_interval(&mut self) -> Duration {
        let tenth = self.config.interval / 10;
        let micros = usize::try_from(tenth.as_micros() * 2).unwrap_or(usize::MAX);
        let jitter = Duration::from_micros(self.random_below(micros.max(1)) as u64);
        self.config.interval - tenth + jitter
    }

    pub(super) fn random_peers(&mut self, live: bool, count: usize) -> Vec<NodeId> {
        let own = self.local.id;
        let rows = self.roster.rows().iter();
        let mut ids: Vec<NodeId> = rows
            .filter(|row| row.pulse.live == live && row.id != own)
            .map(|row| row.id)
            .collect();
        let count = count.min(ids.len());
        for index in 0..count {
            let other = index + self.random_below(ids.len() - index);
            ids.swap(index, other);
        }
        ids.truncate(count);
        ids
    }

    /// In the whole cluster about one contact a round for each node that is down, and never fewer than one in ten rounds.
    fn down_peer(&mut self) -> Vec<NodeId> {
        let live = self.live_count();
        let down = self.roster.len() - live;
        if down == 0 || !self.chance(down as f64 / live as f64) {
            return Vec::new();
        }
        self.random_peers(false, 1)
    }

    /// A seed, always while nobody else is live, otherwise now and then.
    fn seed(&mut self, chosen: &[Outgoing]) -> Option<Outgoing> {
        let live = self.live_count();
        if live > 1 && !self.chance(seed_chance(live)) {
            return None;
        }
        let taken: BTreeSet<&str> = chosen.iter().map(|outgoing| outgoing.to.as_str()).collect();
        let own = self.local.profile.address.as_str();
        let open = |seed: &&String| seed.as_str() != own && !taken.contains(seed.as_str());
        let seeds: Vec<String> = self.seeds.iter().filter(open).cloned().collect();
        if seeds.is_empty() {
            return None;
        }
        let index = self.random_below(seeds.len());
        let to = seeds.into_iter().nth(index)?;
        Some(Outgoing {
            to,
            to_node: None,
            message: Message::Syn(self.syn()),
        })
    }

    fn syns_to(&mut self, ids: Vec<NodeId>) -> Vec<Outgoing> {
        if ids.is_empty() {
            return Vec::new();
        }
        // The same for all of them.
        let syn = self.syn();
        let outgoing = ids.into_iter().filter_map(|id| {
            Some(Outgoing {
                to: self.address_of(id)?.to_owned(),
                to_node: Some(id),
                message: Message::Syn(syn.clone()),
            })
        });
        outgoing.collect()
    }

    fn syn(&mut self) -> Syn {
        let buckets = Buckets::for_nodes(self.roster.len());
        let sums = self.sums(buckets);
        Syn {
            header: self.header(),
            view: sums.iter().fold(0, |whole, sums| whole ^ sums.view),
            buckets: sums.iter().map(|sums| fold(sums.view)).collect(),
            beats: self.beats(buckets, &sums, None),
            facts: self.facts_state(),
        }
    }
}

/// How likely a round also goes to a seed. A few visits a round by all nodes together are enough for islands to meet;
/// more would only burden the seeds of a large cluster.
fn seed_chance(live: usize) -> f64 {
    SEED_CHANCE_MAX.min(SEED_VISITS / live.max(1) as f64)
}

const SEED_CHANCE_MAX: f64 = 0.1;
/// Of all live nodes together, in a round.
const SEED_VISITS: f64 = 4.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_visited_a_few_times_a_round_however_many_there_are() {
        for live in 1..=10_000 {
            let visits = seed_chance(live) * live as f64;
            assert!(visits <= SEED_VISITS + 1e-9, "{live} nodes: {visits}");
            assert!(
                live < 40 || visits > SEED_VISITS - 1e-9,
                "{live} nodes: {visits}"
            );
        }
    }
}
