//! Scuttlebutt reconciliation: digests, deltas, and what becomes of them.

use std::collections::BTreeMap;

use dynamokv_ring::NodeId;

use super::{Gossip, Peer};
use crate::detector::Detector;
use crate::message::{DELTA_BYTES, News, item_bytes, profile_bytes};
use crate::node::{KEYS_MAX, check_item};
use crate::{Delta, Digest, Event, IdSpan, NodeState, Profile, Status, Versioned};

impl Gossip {
    /// Digests of all nodes, or of a random window of ids if they are too many for a message.
    pub(super) fn some_digests(&mut self) -> (IdSpan, Vec<Digest>) {
        let ids: Vec<NodeId> = self.known_ids().collect();
        let size = self.config.max_message_bytes / 2 / Digest::BYTES;
        let windows = ids.len().div_ceil(size).max(1);
        let window = self.random_below(windows);
        let start = window * size;
        let end = (start + size).min(ids.len());
        // The windows cover all ids, those that nobody here knows included.
        let bound = |index: usize| ids.get(index).copied();
        let first = if window == 0 {
            Some(NodeId(0))
        } else {
            bound(start)
        };
        let last = bound(end).map(|next| NodeId(next.0.saturating_sub(1)));
        let span = IdSpan {
            first: first.unwrap_or(IdSpan::ALL.first),
            last: last.unwrap_or(IdSpan::ALL.last),
        };
        let chosen = ids.iter().skip(start).take(size);
        (span, chosen.map(|id| self.digest(*id)).collect())
    }

    /// Own digests of all nodes in the span on which the two sides differ.
    pub(super) fn differing(&self, span: IdSpan, theirs: &BTreeMap<NodeId, Digest>) -> Vec<Digest> {
        let mut digests = Vec::new();
        for (id, their) in theirs {
            let own = self.digest(*id);
            if own != *their && !(own.left && their.left) {
                digests.push(own);
            }
        }
        let unknown_there = self
            .known_ids()
            .filter(|id| span.contains(*id) && !theirs.contains_key(id));
        digests.extend(unknown_there.map(|id| self.digest(id)));
        digests.truncate(self.config.max_message_bytes / 2 / Digest::BYTES);
        digests
    }

    /// What the peer lacks of these nodes, the furthest behind first, as far as the budget goes.
    /// The first delta always makes progress: the budget exceeds the greatest item.
    pub(super) fn deltas(
        &self,
        ids: &[NodeId],
        theirs: &BTreeMap<NodeId, Digest>,
        budget: usize,
    ) -> Vec<Delta> {
        let mut wanted: Vec<(u64, NodeId, u64)> = ids
            .iter()
            .filter_map(|id| {
                let (lag, since) = self.lag(*id, theirs.get(id))?;
                Some((lag, *id, since))
            })
            .collect();
        wanted.sort_by_key(|(lag, id, _)| (std::cmp::Reverse(*lag), *id));
        let mut left = budget;
        let mut deltas = Vec::new();
        for (_, id, since) in wanted {
            let Some(delta) = self.delta(id, since, left) else {
                break;
            };
            left = left.saturating_sub(delta.estimated_bytes());
            deltas.push(delta);
        }
        deltas
    }

    /// Applies what a peer says of a node, if it is news without a hole.
    pub(super) fn apply(&mut self, delta: Delta) {
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
        let known = self.peers.get(&delta.id).map(|peer| peer.state.generation);
        match (known, profile) {
            (Some(generation), profile) if generation == delta.generation => {
                self.update(delta.id, since, upto, profile, kv);
            }
            (Some(generation), _) if generation > delta.generation => return,
            (_, Some((profile, profile_version))) if since == 0 => {
                let state = NodeState {
                    id: delta.id,
                    generation: delta.generation,
                    heartbeat: delta.heartbeat,
                    version: upto,
                    profile,
                    profile_version,
                    kv: kv.into_iter().collect(),
                };
                self.begin(state, known.is_some());
            }
            _ => return,
        }
        self.heartbeat(delta.id, delta.generation, delta.heartbeat);
        self.judge(delta.id);
    }

    pub(super) fn known_ids(&self) -> impl Iterator<Item = NodeId> {
        let mut ids: Vec<NodeId> = self.peers.keys().chain(self.left.keys()).copied().collect();
        ids.push(self.local.id);
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter()
    }

    fn digest(&self, id: NodeId) -> Digest {
        let left = self.left.contains_key(&id);
        let state = self.member(id).filter(|_| !left);
        Digest {
            id,
            generation: state.map_or(0, |state| state.generation),
            heartbeat: state.map_or(0, |state| state.heartbeat),
            version: state.map_or(0, |state| state.version),
            left,
        }
    }

    /// How far the peer is behind on a node, and the version from which it needs the news; none if it is not behind.
    fn lag(&self, id: NodeId, their: Option<&Digest>) -> Option<(u64, u64)> {
        let their_left = their.is_some_and(|their| their.left);
        if self.left.contains_key(&id) {
            return (!their_left).then_some((u64::MAX, 0));
        }
        let state = self.member(id).filter(|_| !their_left)?;
        match their {
            Some(their) if their.version > 0 && their.generation > state.generation => None,
            Some(their) if their.version > 0 && their.generation == state.generation => {
                let lag = state.version.checked_sub(their.version)?;
                (lag > 0).then_some((lag, their.version))
            }
            _ => Some((u64::MAX, 0)),
        }
    }

    /// The news of a node since a version, oldest first, as far as the budget goes; none if not even the smallest part fits.
    fn delta(&self, id: NodeId, since: u64, budget: usize) -> Option<Delta> {
        let mut left = budget.checked_sub(DELTA_BYTES)?;
        if let Some(until) = self.left.get(&id) {
            let news = News::Left {
                remember: until.saturating_duration_since(self.now),
            };
            return Some(Delta {
                id,
                generation: 0,
                heartbeat: 0,
                news,
            });
        }
        let state = self.member(id)?;
        let mut profile = None;
        if since == 0 || state.profile_version > since {
            left = left.checked_sub(profile_bytes(&state.profile))?;
            profile = Some((state.profile.clone(), state.profile_version));
        }
        let mut items: Vec<(&String, &Versioned)> = state
            .kv
            .iter()
            .filter(|(_, versioned)| versioned.version > since)
            .collect();
        items.sort_by_key(|(_, versioned)| versioned.version);
        let mut kv = Vec::new();
        // Up to here the receiver will know all: what is left out is newer.
        let mut upto = state.version;
        for (key, versioned) in items {
            match left.checked_sub(item_bytes(key, &versioned.value)) {
                Some(rest) => left = rest,
                None => {
                    upto = kv
                        .last()
                        .map_or(since, |(_, last): &(String, Versioned)| last.version);
                    break;
                }
            }
            kv.push((key.clone(), versioned.clone()));
        }
        let progress = profile.is_some() || upto > since;
        progress.then_some(Delta {
            id,
            generation: state.generation,
            heartbeat: state.heartbeat,
            news: News::Writes {
                since,
                upto,
                profile,
                kv,
            },
        })
    }

    fn update(
        &mut self,
        id: NodeId,
        since: u64,
        upto: u64,
        profile: Option<(Profile, u64)>,
        kv: Vec<(String, Versioned)>,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let state = &mut peer.state;
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
        if changed {
            self.push(Event::StateChanged(id));
        }
    }

    /// A node that was not known, or its next life.
    fn begin(&mut self, state: NodeState, restarted: bool) {
        let (id, generation) = (state.id, state.generation);
        if !restarted && self.peers.len() >= self.config.max_nodes {
            return;
        }
        let was_live = self.peers.get(&id).is_some_and(|peer| peer.live);
        let live = !state.is_stopping();
        let detector = Detector::new(self.now);
        self.peers.insert(
            id,
            Peer {
                state,
                detector,
                live,
            },
        );
        self.push(if restarted {
            Event::Restarted { id, generation }
        } else {
            Event::Joined(id)
        });
        if live != was_live {
            self.push(if live { Event::Up(id) } else { Event::Down(id) });
        }
    }

    /// Whether the id is in use at another address; says so then.
    fn is_double(&mut self, id: NodeId, generation: u64, profile: &Profile) -> bool {
        let Some(known) = self.peers.get(&id).map(|peer| &peer.state) else {
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
