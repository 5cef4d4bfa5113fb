//! Whom to talk to, and when.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dynamokv_ring::NodeId;

use super::Gossip;
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
        if let Some(last) = self.last_tick {
            let gap = self.now.saturating_duration_since(last);
            if gap > self.config.pause_tolerance {
                self.push(Event::ClockJumped { gap });
                self.forgive_all();
            }
        }
        self.last_tick = Some(self.now);
        self.local.heartbeat += 1;
        self.forget_left();
        self.judge_all();
        if self.expelled {
            return Vec::new();
        }
        let mut chosen = self.random_peers(true, self.config.fanout);
        chosen.extend(self.down_peer());
        let mut outgoing: Vec<Outgoing> = chosen
            .into_iter()
            .filter_map(|id| self.syn_to(id))
            .collect();
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
        chosen
            .into_iter()
            .filter_map(|id| self.syn_to(id))
            .collect()
    }

    /// An exchange with one node, because it may have missed what a kick was for.
    pub fn contact(&mut self, now: Instant, id: NodeId) -> Option<Outgoing> {
        self.advance(now);
        if self.expelled {
            return None;
        }
        self.syn_to(id)
    }

    /// The time to the next round: the interval, give or take a tenth, so that rounds of different nodes do not fall
    /// into step.
    pub fn next_interval(&mut self) -> Duration {
        let tenth = self.config.interval / 10;
        let micros = usize::try_from(tenth.as_micros() * 2).unwrap_or(usize::MAX);
        let jitter = Duration::from_micros(self.random_below(micros.max(1)) as u64);
        self.config.interval - tenth + jitter
    }

    fn random_peers(&mut self, live: bool, count: usize) -> Vec<NodeId> {
        let mut ids: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.live == live)
            .map(|(id, _)| *id)
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
        let down = self.peers.values().filter(|peer| !peer.live).count();
        let live = self.peers.len() - down + 1;
        if down == 0 || !self.chance(down as f64 / live as f64) {
            return Vec::new();
        }
        self.random_peers(false, 1)
    }

    /// A seed, always while nobody else is live, otherwise now and then.
    fn seed(&mut self, chosen: &[Outgoing]) -> Option<Outgoing> {
        let alone = self.peers.values().all(|peer| !peer.live);
        if !alone && !self.chance(SEED_CHANCE) {
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

    fn syn_to(&mut self, id: NodeId) -> Option<Outgoing> {
        let to = self.address_of(id)?.to_owned();
        Some(Outgoing {
            to,
            to_node: Some(id),
            message: Message::Syn(self.syn()),
        })
    }

    fn syn(&mut self) -> Syn {
        let (span, digests) = self.some_digests();
        Syn {
            header: self.header(),
            span,
            digests,
            facts: self.facts.as_ref().map(|facts| facts.digest()),
        }
    }
}

const SEED_CHANCE: f64 = 0.1;
