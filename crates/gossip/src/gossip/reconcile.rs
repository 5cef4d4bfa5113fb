//! Scuttlebutt reconciliation: deltas, and what becomes of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dynamokv_ring::NodeId;

use super::heartbeats::{has_lost_memory, made_at};
use super::{Gossip, Peer};
use crate::detector::Pulse;
use crate::moment::Moment;
use crate::node::{KEYS_MAX, check_item};
use crate::roster::Row;
use crate::wire::item_len;
use crate::{Beat, Delta, Digest, Event, News, NodeState, Profile, Status, Versioned};

impl Gossip {
    /// What the peer lacks of these nodes, as far as the budget goes. What this node has known for longest goes first, so
    /// that a node that writes all the time starves nobody. The first delta always makes progress: the budget exceeds
    /// the greatest item.
    pub(super) fn deltas(
        &self,
        ids: &[NodeId],
        theirs: &BTreeMap<NodeId, Digest>,
        budget: usize,
    ) -> Vec<Delta> {
        let mut wanted: Vec<(Moment, NodeId, u64)> = ids
            .iter()
            .filter_map(|id| {
                let since = self.since(*id, theirs.get(id))?;
                let learned = self.peers.get(id).map(|peer| peer.learned);
                Some((learned.unwrap_or(self.own_learned), *id, since))
            })
            .collect();
        wanted.sort_unstable();
        let mut left = budget;
        let mut deltas = Vec::new();
        for (_, id, since) in wanted {
            let Some(delta) = self.delta(id, since, left) else {
                break;
            };
            left = left.saturating_sub(delta.encoded_len());
            deltas.push(delta);
        }
        deltas
    }

    /// Applies what a peer says of a node, if it is news without a hole.
    pub(super) fn apply(&mut self, delta: Delta, unit: Duration) {
        if delta.id == self.local.id {
            return self.apply_to_self(delta);
        }
        let (since, upto, profile, kv) = match delta.news {
            News::Left { remember } => {
                if !remember.is_zero() {
                    self.mark_left(delta.id, remember);
                }
                return;
            }
            News::Writes {
                since,
                upto,
                profile,
                kv,
            } => (since, upto, profile, kv),
        };
        let sane = kv.len() <= KEYS_MAX
            && kv
                .iter()
                .all(|(key, versioned)| check_item(key, &versioned.value).is_ok())
            && profile
                .as_ref()
                .is_none_or(|(profile, _)| profile.validate().is_ok());
        if !sane || self.left.contains_key(&delta.id) {
            return;
        }
        if let Some((profile, _)) = &profile {
            if profile.status == Status::Left {
                return self.mark_left(delta.id, self.config.left_lifetime);
            }
            if self.is_double(delta.id, delta.generation, profile) {
                return;
            }
        }
        let (id, generation) = (delta.id, delta.generation);
        let known = self.peers.get(&id).map(|peer| peer.state.generation);
        match (known, profile) {
            (Some(generation), profile) if generation == delta.generation => {
                self.update(delta.id, since, upto, profile, kv);
            }
            // An earlier life goes on only where the later one that is known here has lost its memory.
            (Some(known), _)
                if known > generation && !has_lost_memory(self.heard(id), delta.heartbeat) =>
            {
                return;
            }
            (Some(_), _) if self.check_memory(id, generation, delta.heartbeat).is_err() => return,
            (_, Some((profile, profile_version))) if since == 0 => {
                let state = NodeState {
                    id,
                    generation,
                    version: upto,
                    profile,
                    profile_version,
                    kv: kv.into_iter().collect(),
                };
                let now = self.moment();
                let made = made_at(now, delta.age, unit);
                self.begin(state, Pulse::new(now, delta.heartbeat, made));
            }
            _ => return,
        }
        self.take_beat(id, generation, delta.heartbeat, delta.age, unit);
        self.judge(id);
    }

    /// The version from which the peer needs the news of a node; none if it is not behind.
    fn since(&self, id: NodeId, their: Option<&Digest>) -> Option<u64> {
        let their_left = their.is_some_and(|their| their.left);
        if self.left.contains_key(&id) {
            return (!their_left).then_some(0);
        }
        let state = self.member(id).filter(|_| !their_left)?;
        match their {
            Some(their) if their.version > 0 && their.generation > state.generation => {
                let refused = self.peers.get(&id).and_then(|peer| peer.refused);
                (refused >= Some(their.generation)).then_some(0)
            }
            Some(their) if their.version > 0 && their.generation == state.generation => {
                (state.version > their.version).then_some(their.version)
            }
            _ => Some(0),
        }
    }

    /// The news of a node since a version, oldest first, as far as the budget goes; none if not even the smallest part fits.
    fn delta(&self, id: NodeId, since: u64, budget: usize) -> Option<Delta> {
        if let Some(until) = self.left.get(&id) {
            let remember = until.saturating_duration_since(self.now);
            let news = News::Left { remember };
            let left = Delta {
                id,
                generation: 0,
                heartbeat: 0,
                age: Beat::TOO_OLD,
                news,
            };
            return (left.encoded_len() <= budget).then_some(left);
        }
        let state = self.member(id)?;
        let with_profile = since == 0 || state.profile_version > since;
        let mut delta = Delta {
            id,
            generation: state.generation,
            heartbeat: self.heard(id),
            age: self.age_of(id),
            news: News::Writes {
                since,
                upto: state.version,
                profile: with_profile.then(|| (Arc::clone(&state.profile), state.profile_version)),
                kv: Vec::new(),
            },
        };
        let mut left = budget.checked_sub(delta.encoded_len() + LENGTHS_BYTES_MAX)?;
        let mut items: Vec<(&String, &Versioned)> = state
            .kv
            .iter()
            .filter(|(_, versioned)| versioned.version > since)
            .collect();
        items.sort_by_key(|(_, versioned)| versioned.version);
        let News::Writes { upto, kv, .. } = &mut delta.news else {
            return None;
        };
        for (key, versioned) in items {
            let Some(rest) = left.checked_sub(item_len(key, versioned)) else {
                // Up to here the receiver will know all: what is left out is newer.
                *upto = kv
                    .last()
                    .map_or(since, |(_, last): &(String, Versioned)| last.version);
                break;
            };
            left = rest;
            kv.push((key.clone(), versioned.clone()));
        }
        let progress = with_profile || *upto > since;
        progress.then_some(delta)
    }

    fn update(
        &mut self,
        id: NodeId,
        since: u64,
        upto: u64,
        profile: Option<(Arc<Profile>, u64)>,
        kv: Vec<(String, Versioned)>,
    ) {
        let learned = self.moment();
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let state = Arc::make_mut(&mut peer.state);
        if since > state.version {
            return;
        }
        let mut changed = false;
        if let Some((profile, version)) = profile
            && version > state.profile_version
        {
            state.profile = profile;
            state.profile_version = version;
            changed = true;
        }
        for (key, versioned) in kv {
            let room = state.kv.len() < KEYS_MAX;
            match state.kv.get_mut(&key) {
                Some(known) if known.version >= versioned.version => continue,
                Some(known) => *known = versioned,
                None if room => {
                    state.kv.insert(key, versioned);
                }
                None => continue,
            }
            changed = true;
        }
        state.version = state.version.max(upto);
        if let Some(row) = self.roster.get_mut(id) {
            row.know(state.generation, state.version);
            row.pulse.stopping = state.is_stopping();
        }
        if changed {
            peer.learned = learned;
            self.push(Event::StateChanged(id));
        }
    }

    /// A node that was not known, or its next life.
    fn begin(&mut self, state: NodeState, mut pulse: Pulse) {
        let (id, generation) = (state.id, state.generation);
        let before = self.roster.get(id).map(|row| row.pulse);
        if before.is_none() && self.peers.len() >= self.config.max_nodes {
            return;
        }
        let was_live = before.is_some_and(|before| before.live);
        pulse.stopping = state.is_stopping();
        pulse.live &= !pulse.stopping;
        self.acquit(id);
        self.roster
            .put(Row::new(id, generation, state.version, pulse));
        let learned = self.moment();
        self.peers.insert(
            id,
            Peer {
                state: Arc::new(state),
                learned,
                refused: None,
            },
        );
        self.push(if before.is_some() {
            Event::Restarted { id, generation }
        } else {
            Event::Joined(id)
        });
        if pulse.live != was_live {
            self.push(if pulse.live {
                Event::Up(id)
            } else {
                Event::Down(id)
            });
        }
    }

    /// Whether the id is in use at another address; says so then.
    fn is_double(&mut self, id: NodeId, generation: u64, profile: &Profile) -> bool {
        let Some(known) = self.peers.get(&id).map(|peer| peer.state.as_ref()) else {
            return false;
        };
        let elsewhere = known.profile.address != profile.address;
        let double = elsewhere
            && (known.generation == generation
                || (known.generation < generation && self.holds_its_address(known)));
        if double {
            let known_address = known.profile.address.clone();
            self.report_conflict(id, &known_address, &profile.address);
        }
        double
    }

    /// What others say of this node: only what it never wrote is of interest.
    fn apply_to_self(&mut self, delta: Delta) {
        let own = &self.local;
        let (upto, profile) = match delta.news {
            News::Left { .. } => return self.expel(),
            News::Writes { upto, profile, .. } => (upto, profile),
        };
        if (delta.generation, upto) <= (own.generation, own.version) {
            return;
        }
        let elsewhere = profile.filter(|(profile, _)| profile.address != own.profile.address);
        if let Some((profile, _)) = elsewhere {
            let address = own.profile.address.clone();
            self.report_conflict(delta.id, &address, &profile.address);
        } else {
            self.report_generation(delta.generation);
        }
    }

    /// The cluster remembers a later state of this node than it has itself, under its own address.
    pub(super) fn report_generation(&mut self, seen: u64) {
        if self
            .generation_reported
            .is_none_or(|reported| seen > reported)
        {
            self.generation_reported = Some(seen);
            self.push(Event::GenerationAhead { seen });
        }
    }
}

/// The lengths of the lists that grow.
const LENGTHS_BYTES_MAX: usize = 16;
