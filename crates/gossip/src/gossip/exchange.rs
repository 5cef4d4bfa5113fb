//! One exchange: who may talk, and what is answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dynamokv_ring::NodeId;

use super::Gossip;
use super::heartbeats::age_unit;
use crate::roster::Buckets;
use crate::{
    Ack, Digest, Error, FORMAT_OLDEST, FORMAT_VERSION, Header, Message, Result, Syn, SynAck,
};

impl Gossip {
    /// Takes a message that arrived. The answer goes back in the same exchange; only an answer to a `SynAck` is
    /// sent as a new one.
    ///
    /// # Errors
    /// [`Error::WrongClusterName`], [`Error::WrongClusterId`], [`Error::NewerFormat`], [`Error::IdConflict`],
    /// [`Error::MemberLeft`], [`Error::LostMemory`] for a peer that may not talk to this node, [`Error::BadFacts`] and [`Error::FactsDisagree`] for
    /// facts that cannot be used. Tell the peer the [`refusal`](Error::refusal).
    pub fn handle(&mut self, now: Instant, message: Message) -> Result<Option<Message>> {
        self.advance(now);
        if !self.admits(message.header())? {
            return Ok(None);
        }
        self.heard_from(message.header());
        let answer = match message {
            Message::Syn(syn) => Some(Message::SynAck(self.handle_syn(syn))),
            Message::SynAck(syn_ack) => self.handle_syn_ack(syn_ack)?.map(Message::Ack),
            Message::Ack(ack) => self.handle_ack(ack)?.map(Message::Ack),
            Message::Ping(_) => Some(Message::Pong(self.header())),
            Message::Pong(header) => {
                self.was_answered();
                self.handle_pong(&header);
                None
            }
            Message::Probe(probe) => {
                self.handle_probe(probe);
                None
            }
            Message::Vouch(vouch) => {
                self.handle_vouch(&vouch);
                None
            }
        };
        Ok(answer.filter(|_| !self.expelled))
    }

    pub(super) fn header(&self) -> Header {
        Header {
            format: FORMAT_VERSION,
            cluster_name: self.config.cluster_name.clone(),
            cluster_id: self.facts.as_ref().map(|facts| facts.cluster_id),
            from: self.local.id,
            generation: self.local.generation,
            heartbeat: self.heard(self.local.id),
            address: self.local.profile.address.clone(),
            process: self.process,
            interval: self.config.interval,
        }
    }

    /// Whether to take the message (no: it is this node's own, or from an earlier life of it).
    fn admits(&mut self, header: &Header) -> Result<bool> {
        if header.format > FORMAT_VERSION {
            return Err(Error::NewerFormat {
                ours: FORMAT_VERSION,
                theirs: header.format,
            });
        }
        if header.format < FORMAT_OLDEST {
            return Err(Error::OlderFormat {
                oldest: FORMAT_OLDEST,
                theirs: header.format,
            });
        }
        if header.cluster_name != self.config.cluster_name {
            return Err(Error::WrongClusterName {
                ours: self.config.cluster_name.clone(),
                theirs: header.cluster_name.clone(),
            });
        }
        let ours = self.facts.as_ref().map(|facts| facts.cluster_id);
        if let (Some(ours), Some(theirs)) = (ours, header.cluster_id)
            && ours != theirs
        {
            return Err(Error::WrongClusterId { ours, theirs });
        }
        if self.left.contains_key(&header.from) {
            return Err(Error::MemberLeft { id: header.from });
        }
        let own_address = &self.local.profile.address;
        if header.from != self.local.id {
            return self.admits_address(header);
        }
        if header.process == self.process
            || (header.address == *own_address && header.generation < self.local.generation)
        {
            return Ok(false);
        }
        let own_address = own_address.clone();
        Err(self.conflict(header, own_address))
    }

    /// Refuses a second node under an id that is certainly in use.
    fn admits_address(&mut self, header: &Header) -> Result<bool> {
        let peer = self.peers.get(&header.from);
        let Some(known) = peer.map(|peer| Arc::clone(&peer.state)) else {
            return Ok(true);
        };
        if header.generation > known.generation {
            self.check_memory(header.from, header.generation, header.heartbeat)?;
        }
        if known.profile.address == header.address {
            return Ok(true);
        }
        if known.generation == header.generation || self.holds_its_address(&known) {
            let known_address = known.profile.address.clone();
            return Err(self.conflict(header, known_address));
        }
        Ok(true)
    }

    fn conflict(&mut self, header: &Header, known: String) -> Error {
        self.report_conflict(header.from, &known, &header.address);
        Error::IdConflict {
            id: header.from,
            known,
            other: header.address.clone(),
        }
    }

    fn handle_syn(&mut self, syn: Syn) -> SynAck {
        self.take_beats(&syn.header, &syn.beats);
        let header = self.header();
        // A count that is no power of two: then everything counts as different.
        let buckets = Buckets::of_count(syn.buckets.len()).unwrap_or(Buckets::ONE);
        let sums = self.sums(buckets);
        let room = self.config.max_message_bytes / DIGESTS_SHARE;
        let (spans, mut digests) =
            if sums.iter().fold(0, |whole, sums| whole ^ sums.view) == syn.view {
                self.has_heard(syn.header.from, self.local.version);
                Default::default()
            } else {
                self.differing(buckets, &sums, &syn.buckets, room)
            };
        if !spans.is_empty() {
            // The two themselves get to know each other, wherever the budget ended.
            for id in [syn.header.from, self.local.id] {
                if !digests.iter().any(|digest| digest.id == id) {
                    digests.push(self.digest(id));
                }
            }
        }
        let mut answer = SynAck {
            header,
            spans,
            digests,
            beats: self.beats(buckets, &sums, Some(&syn.beats)),
            facts: self.facts_state(),
            part: None,
        };
        if self.is_ahead_of(syn.facts) {
            let sent = Message::SynAck(answer.clone()).encoded_len();
            let room = self.config.max_message_bytes.saturating_sub(sent);
            answer.part = self.facts_for(syn.facts, room);
        }
        answer
    }

    fn handle_syn_ack(&mut self, syn_ack: SynAck) -> Result<Option<Ack>> {
        let SynAck {
            header,
            spans,
            digests,
            beats,
            facts,
            part,
        } = syn_ack;
        self.was_answered();
        self.take_part(header.from, part)?;
        self.take_beats(&header, &beats);
        let own = digests.iter().find(|digest| digest.id == self.local.id);
        match own {
            None if spans.is_empty() => self.has_heard(header.from, self.local.version),
            // What it knows of an earlier life says nothing, however late its version.
            Some(own) if own.generation == self.local.generation => {
                self.has_heard(header.from, own.version);
            }
            _ => {}
        }
        let room = self.config.max_message_bytes;
        let theirs: BTreeMap<NodeId, Digest> =
            digests.iter().map(|digest| (digest.id, *digest)).collect();
        let unknown_there = self.known_in(&spans).filter(|id| !theirs.contains_key(id));
        let ids: Vec<NodeId> = unknown_there.chain(theirs.keys().copied()).collect();
        let wanted = self.wanted(&digests, room / WANTED_SHARE);
        let part = self.facts_for(facts, room / PART_SHARE);
        let deltas = self.deltas(&ids, &theirs, room / DELTAS_SHARE);
        let empty = deltas.is_empty() && wanted.is_empty() && part.is_none();
        Ok((!empty).then(|| Ack {
            header: self.header(),
            deltas,
            wanted,
            part,
        }))
    }

    fn handle_ack(&mut self, ack: Ack) -> Result<Option<Ack>> {
        let Ack {
            header,
            deltas,
            wanted,
            part,
        } = ack;
        self.take_part(header.from, part)?;
        let unit = age_unit(header.interval);
        for delta in deltas {
            self.apply(delta, unit);
        }
        // What it brought may be of the sender itself.
        self.heard_from(&header);
        self.echo_removals();
        let theirs: BTreeMap<NodeId, Digest> =
            wanted.iter().map(|digest| (digest.id, *digest)).collect();
        let ids: Vec<NodeId> = theirs.keys().copied().collect();
        let room = self.config.max_message_bytes - self.config.max_message_bytes / WANTED_SHARE;
        let deltas = self.deltas(&ids, &theirs, room);
        Ok((!deltas.is_empty()).then(|| Ack {
            header: self.header(),
            deltas,
            wanted: Vec::new(),
            part: None,
        }))
    }

    /// The peer knows this node's state up to there.
    pub(super) fn has_heard(&mut self, peer: NodeId, upto: u64) {
        let known = self.told.entry(peer).or_default();
        *known = upto.max(*known);
    }

    /// A message came from the node itself: the surest sign of life.
    fn heard_from(&mut self, header: &Header) {
        let known = self.roster.get(header.from);
        if known.is_some_and(|row| row.generation() == header.generation) {
            self.take_beat(
                header.from,
                header.generation,
                header.heartbeat,
                0,
                Duration::ZERO,
            );
            self.answered_by(header.from);
        }
    }
}

// Shares of the greatest message, as divisors. Each leaves room for the header, and the deltas' for the greatest item.
const DIGESTS_SHARE: usize = 4;
const WANTED_SHARE: usize = 8;
const PART_SHARE: usize = 4;
const DELTAS_SHARE: usize = 2;
