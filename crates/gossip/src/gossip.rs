//! The machine: its state, what the embedder says to it and what it answers. Rounds, exchanges and liveness are in
//! modules of their own.

mod agreement;
mod compare;
mod exchange;
mod heartbeats;
mod liveness;
mod probing;
mod reconcile;
mod removal;
mod rounds;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use dynamokv_ring::{NodeId, Zone};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::detector::{Lag, Pulse, deviations_at};
use crate::moment::Moment;
use crate::node::too_long;
use crate::roster::{Roster, Row};
use crate::{
    ClusterFacts, Config, Error, Event, KEY_STOPPING, LocalNode, NodeState, Profile, Refusal,
    Result, Seen, Snapshot, Status,
};

use agreement::Beginning;
use probing::Probing;

pub use rounds::Outgoing;

/// The membership of one node, without I/O and without a clock: messages and instants in, messages and events out.
///
/// Drive it with [`tick`](Self::tick) every [`interval`](Config::interval), hand every arriving message to
/// [`handle`](Self::handle), and drain [`poll_event`](Self::poll_event) after each call. [`spawn`](crate::spawn) does so
/// on tokio. The same calls with the same seed give the same results.
#[derive(Debug)]
pub struct Gossip {
    config: Config,
    local: NodeState,
    seeds: Vec<String>,
    peers: BTreeMap<NodeId, Peer>,
    /// Everybody's pulse, this node's included.
    roster: Roster,
    /// How old news get here before newer ones come, over all nodes.
    usual_lag: Lag,
    /// Deviations from the mean lag at which phi reaches its threshold.
    deviations: f64,
    /// When this node was last seen to have written its own state.
    own_learned: Moment,
    /// When heartbeats came last, from anybody.
    heard_at: Moment,
    probing: Probing,
    /// Who knows this node's state, and up to which version.
    told: BTreeMap<NodeId, u64>,
    /// Who has shown that it knows this life of the node.
    taken_up_by: BTreeSet<NodeId>,
    /// The heartbeat that this life began with, and the greatest that it may make.
    first_heartbeat: u64,
    heartbeats_allowed: u64,
    /// Who left, and until when that is remembered.
    left: BTreeMap<NodeId, Instant>,
    facts: Option<ClusterFacts>,
    facts_begun: Option<Beginning>,
    rng: ChaCha8Rng,
    /// This process, among all that may claim the id.
    process: u64,
    began: Instant,
    /// The latest instant that was passed in.
    now: Instant,
    last_tick: Option<Instant>,
    /// Removed by the others: says nothing any more.
    expelled: bool,
    generation_reported: Option<u64>,
    conflicts_reported: BTreeSet<(NodeId, String)>,
    events: VecDeque<Event>,
}

#[derive(Debug)]
struct Peer {
    state: Arc<NodeState>,
    /// When the latest of it was learned.
    learned: Moment,
    /// The latest life of it that was refused.
    refused: Option<u64>,
}

impl Gossip {
    /// A machine that knows itself and the addresses of some seeds (its own may be among them).
    ///
    /// `rng_seed` must differ from process to process: it also tells two processes with one id apart.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::TooLong`] or [`Error::Malformed`] for a setting, a name, an address, a seed or a key-value out of its
    /// limits.
    pub fn new(
        config: Config,
        local: LocalNode,
        seeds: Vec<String>,
        rng_seed: u64,
        now: Instant,
    ) -> Result<Self> {
        config.validate()?;
        if seeds.len() > SEEDS_MAX {
            return Err(too_long("seeds", seeds.len(), SEEDS_MAX));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(rng_seed);
        let first_heartbeat = heartbeats::first(local.heartbeats_before);
        let local = NodeState::new(local)?;
        let began = Moment::after(std::time::Duration::ZERO);
        let mut roster = Roster::default();
        let pulse = Pulse::new(began, first_heartbeat, Some(began));
        roster.put(Row::new(local.id, local.generation, local.version, pulse));
        Ok(Gossip {
            usual_lag: Lag::assumed(config.interval),
            deviations: deviations_at(config.phi_threshold),
            config,
            roster,
            own_learned: began,
            heard_at: began,
            probing: Probing::default(),
            told: BTreeMap::new(),
            taken_up_by: BTreeSet::new(),
            first_heartbeat,
            heartbeats_allowed: u64::MAX,
            began: now,
            facts_begun: None,
            process: rng.next_u64(),
            rng,
            generation_reported: None,
            local,
            seeds,
            peers: BTreeMap::new(),
            left: BTreeMap::new(),
            facts: None,
            now,
            last_tick: None,
            expelled: false,
            conflicts_reported: BTreeSet::new(),
            events: VecDeque::new(),
        })
    }

    /// The next thing that happened, oldest first. Undrained, the oldest beyond 65,536 are dropped.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next message that is to be sent without being an answer, oldest first: drain it after each call. Undrained, the
    /// oldest beyond 1,024 are dropped.
    pub fn poll_outgoing(&mut self) -> Option<Outgoing> {
        self.probing.poll_outgoing()
    }

    pub(crate) fn has_outgoing(&self) -> bool {
        self.probing.has_outgoing()
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.local.id
    }

    /// This node's own state.
    pub fn local(&self) -> &NodeState {
        &self.local
    }

    /// Every node that is known and has not left, this one included, by id.
    pub fn members(&self) -> impl Iterator<Item = &NodeState> {
        let (before, after) = (
            self.peers.range(..self.local.id),
            self.peers.range(self.local.id..),
        );
        before
            .map(|(_, peer)| peer.state.as_ref())
            .chain(std::iter::once(&self.local))
            .chain(after.map(|(_, peer)| peer.state.as_ref()))
    }

    /// The state of a node. O(log nodes).
    pub fn member(&self, id: NodeId) -> Option<&NodeState> {
        if id == self.local.id {
            return Some(&self.local);
        }
        self.peers.get(&id).map(|peer| peer.state.as_ref())
    }

    /// The view as it is now, to be kept. O(nodes), without copying their states.
    pub fn snapshot(&self) -> Snapshot {
        let own = (self.local.id, Arc::new(self.local.clone()));
        let others = self
            .peers
            .iter()
            .map(|(id, peer)| (*id, Arc::clone(&peer.state)));
        let seen = |(id, state): (NodeId, Arc<NodeState>)| {
            let status = self.status_of(id).unwrap_or(state.profile.status);
            (
                id,
                Seen {
                    live: self.is_live(id),
                    status,
                    state,
                },
            )
        };
        Snapshot {
            members: others.chain([own]).map(seen).collect(),
            left: self.left.keys().copied().collect(),
            facts: self.facts.as_ref().map(ClusterFacts::digest),
        }
    }

    /// How many peers are known to know the latest that this node said.
    pub fn told(&self) -> usize {
        let latest = self.local.version;
        self.told.values().filter(|upto| **upto >= latest).count()
    }

    /// Whether the peer has shown that it knows this life of the node. O(log nodes).
    pub fn is_known_to(&self, peer: NodeId) -> bool {
        self.taken_up_by.contains(&peer)
    }

    /// The nodes that left and are still remembered, by id.
    pub fn left(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.left.keys().copied()
    }

    /// A node's value under a key; an empty one counts as none.
    pub fn kv(&self, id: NodeId, key: &str) -> Option<&str> {
        self.member(id)?.value(key)
    }

    /// Where a node is reached.
    pub fn address_of(&self, id: NodeId) -> Option<&str> {
        self.member(id).map(|state| state.profile.address.as_str())
    }

    /// What a node is to the cluster as seen from here: what it says of itself, unless it left or is to be removed.
    pub fn status_of(&self, id: NodeId) -> Option<Status> {
        if self.left.contains_key(&id) {
            return Some(Status::Left);
        }
        let said = self.member(id)?.profile.status;
        let removing = self
            .open_change()
            .is_some_and(|open| open.removing.contains(&id));
        let removing = removing || self.removals().contains(&id);
        Some(if removing { Status::Removing } else { said })
    }

    /// Says a key-value of this node to all; an empty value takes it back. Returns whether anything changed.
    ///
    /// # Errors
    /// [`Error::TooLong`] beyond 256 bytes of key, 8 KiB of value or 256 keys.
    pub fn set_kv(&mut self, key: impl Into<String>, value: impl Into<String>) -> Result<bool> {
        self.local.set(key.into(), value.into())
    }

    /// Changes this node's own status.
    ///
    /// # Errors
    /// [`Error::IllegalStatus`] if the table at [`Status`] does not allow it.
    pub fn set_status(&mut self, status: Status) -> Result<()> {
        let profile = &self.local.profile;
        if !profile.status.may_become(status) {
            return Err(Error::IllegalStatus {
                from: profile.status,
                to: status,
            });
        }
        if profile.status != status {
            let profile = Profile {
                status,
                ..Profile::clone(profile)
            };
            self.local.set_profile(profile);
        }
        Ok(())
    }

    /// Changes the weight and zone that this node asks for; as a member it gets them by the next membership change. Returns
    /// whether anything changed.
    ///
    /// # Errors
    /// [`Error::TooLong`] for a zone of more than 256 bytes.
    pub fn set_place(&mut self, weight: NonZeroU32, zone: Zone) -> Result<bool> {
        let known = &self.local.profile;
        if known.weight == weight && known.zone == zone {
            return Ok(false);
        }
        let profile = Profile {
            weight,
            zone,
            ..Profile::clone(known)
        };
        profile.validate()?;
        self.local.set_profile(profile);
        Ok(true)
    }

    /// Says that this process is about to end: the others take it for down at once.
    pub fn announce_stop(&mut self) {
        // A short constant key and value; only a node with 256 other keys cannot say it, and then silence does.
        let _ = self.local.set(KEY_STOPPING.to_owned(), "1".to_owned());
    }

    /// Takes a greater generation, after [`Event::GenerationAhead`]; it must be durable already. Of no help to a node that keeps count of
    /// its heartbeats: it is refused for these as well.
    ///
    /// # Errors
    /// [`Error::GenerationNotAhead`] if it is not greater than the present one.
    pub fn raise_generation(&mut self, generation: u64) -> Result<()> {
        let known = self.local.generation;
        if generation <= known {
            return Err(Error::GenerationNotAhead {
                known,
                given: generation,
            });
        }
        self.local.generation = generation;
        self.told.clear();
        self.taken_up_by.clear();
        Ok(())
    }

    /// A peer would not talk to this node: an event says so. That this node was removed is believed to it.
    pub fn refused(&mut self, address: &str, refusal: Refusal) {
        if refusal == Refusal::MemberLeft {
            self.expel();
            // After a leave of its own this is how it hears that others know.
            let knows = self
                .peers
                .values()
                .find(|peer| peer.state.profile.address == address);
            if let Some(id) = knows.map(|peer| peer.state.id) {
                self.has_heard(id, self.local.version);
            }
        }
        self.push(Event::Refused {
            address: address.to_owned(),
            refusal,
        });
    }

    /// The others let this node go, whether it knows or not: from now on it keeps silent.
    fn expel(&mut self) {
        if self.local.profile.status != Status::Left && !self.expelled {
            self.expelled = true;
            self.push(Event::Left(self.local.id));
        }
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn moment(&self) -> Moment {
        self.moment_of(self.now)
    }

    fn moment_of(&self, instant: Instant) -> Moment {
        Moment::after(instant.saturating_duration_since(self.began))
    }

    fn push(&mut self, event: Event) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn report_conflict(&mut self, id: NodeId, known: &str, other: &str) {
        if self.conflicts_reported.len() >= CONFLICTS_MAX {
            self.conflicts_reported.clear();
        }
        if self.conflicts_reported.insert((id, other.to_owned())) {
            self.push(Event::IdConflict {
                id,
                known: known.to_owned(),
                other: other.to_owned(),
            });
        }
    }

    /// A uniform number below `limit`, which is not zero.
    fn random_below(&mut self, limit: usize) -> usize {
        let scaled = u128::from(self.rng.next_u64()) * limit as u128;
        (scaled >> 64) as usize
    }

    fn chance(&mut self, probability: f64) -> bool {
        let unit = (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        unit < probability
    }
}

const SEEDS_MAX: usize = 1024;
const EVENTS_MAX: usize = 65_536;
const CONFLICTS_MAX: usize = 64;
