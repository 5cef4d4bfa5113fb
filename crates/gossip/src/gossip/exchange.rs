//! One exchange: who may talk, and what is answered.

use std::collections::BTreeMap;
use std::time::Instant;

use dynamokv_ring::NodeId;

use super::Gossip;
use crate::{
    Ack, ClusterFacts, Digest, Error, Event, FORMAT_VERSION, Header, Message, Result, Syn, SynAck,
};

impl Gossip {
    /// Takes a message that arrived. The answer goes back in the same exchange; only an answer to a `SynAck` is
    /// sent as a new one.
    ///
    /// # Errors
    /// [`Error::WrongClusterName`], [`Error::WrongClusterId`], [`Error::NewerFormat`], [`Error::IdConflict`],
    /// [`Error::MemberLeft`] for a peer that may not talk to this node, [`Error::BadFacts`] and [`Error::FactsDisagree`] for
    /// facts that cannot be used. Tell the peer the [`refusal`](Error::refusal).
    pub fn handle(&mut self, now: Instant, message: Message) -> Result<Option<Message>> {
        self.advance(now);
        if !self.admits(message.header())? {
            return Ok(None);
        }
        let answer = match message {
            Message::Syn(syn) => Some(Message::SynAck(self.handle_syn(syn))),
            Message::SynAck(syn_ack) => self.handle_syn_ack(syn_ack)?.map(Message::Ack),
            Message::Ack(ack) => {
                self.take_facts(&ack.header, ack.facts)?;
                self.take(&ack.header, ack.deltas);
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
            address: self.local.profile.address.clone(),
            process: self.process,
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
        let Some(known) = self.peers.get(&header.from).map(|peer| &peer.state) else {
            return Ok(true);
        };
        if known.profile.address == header.address {
            return Ok(true);
        }
        if known.generation == header.generation || self.holds_its_address(known) {
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
        self.heard_from(&syn.header);
        let theirs: BTreeMap<NodeId, Digest> = syn
            .digests
            .iter()
            .map(|digest| (digest.id, *digest))
            .collect();
        self.take_heartbeats(&syn.digests);
        let digests = self.differing(syn.span, &theirs);
        let ids: Vec<NodeId> = self
            .known_ids()
            .filter(|id| syn.span.contains(*id))
            .collect();
        let deltas = self.deltas(&ids, &theirs, self.config.max_message_bytes / 2);
        let facts_digest = self.facts.as_ref().map(ClusterFacts::digest);
        SynAck {
            header: self.header(),
            digests,
            deltas,
            facts_digest,
            facts: self.facts_for(syn.facts),
        }
    }

    fn handle_syn_ack(&mut self, syn_ack: SynAck) -> Result<Option<Ack>> {
        self.take_facts(&syn_ack.header, syn_ack.facts)?;
        self.take_heartbeats(&syn_ack.digests);
        self.take(&syn_ack.header, syn_ack.deltas);
        let theirs: BTreeMap<NodeId, Digest> = syn_ack
            .digests
            .iter()
            .map(|digest| (digest.id, *digest))
            .collect();
        let ids: Vec<NodeId> = theirs.keys().copied().collect();
        let deltas = self.deltas(&ids, &theirs, self.config.max_message_bytes);
        let facts = self.facts_for(syn_ack.facts_digest);
        let empty = deltas.is_empty() && facts.is_none();
        Ok((!empty).then(|| Ack {
            header: self.header(),
            deltas,
            facts,
        }))
    }

    fn take(&mut self, header: &Header, deltas: Vec<crate::Delta>) {
        for delta in deltas {
            self.apply(delta);
        }
        self.heard_from(header);
        self.echo_removals();
    }

    /// A message came from the node itself: the surest sign of life.
    fn heard_from(&mut self, header: &Header) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(&header.from)
            && peer.state.generation == header.generation
        {
            peer.detector.success(now);
            self.judge(header.from);
        }
    }

    fn take_heartbeats(&mut self, digests: &[Digest]) {
        for digest in digests.iter().filter(|digest| !digest.left) {
            let own = &self.local;
            if digest.id == own.id && digest.generation == own.generation {
                // A double at another address would have been refused: this is an earlier life under one generation.
                if digest.heartbeat > own.heartbeat || digest.version > own.version {
                    self.report_generation(digest.generation);
                }
            }
            self.heartbeat(digest.id, digest.generation, digest.heartbeat);
        }
    }

    fn facts_for(&self, theirs: Option<crate::FactsDigest>) -> Option<ClusterFacts> {
        let facts = self.facts.as_ref()?;
        facts.digest().is_news_for(theirs).then(|| facts.clone())
    }

    fn take_facts(&mut self, header: &Header, facts: Option<ClusterFacts>) -> Result<()> {
        let Some(facts) = facts else { return Ok(()) };
        let fenced = self.removals();
        let (me, from, mark) = (self.local.id, header.from, self.local.stage_mark());
        let facts = if self.facts.is_none() && !facts.current.contains(from) {
            facts.without_open()
        } else {
            facts
        };
        let changed = self.merge_facts(facts, |known, facts| {
            known.adopt(me, facts, from, &fenced, mark)
        })?;
        if changed {
            self.push(Event::FactsChanged);
            self.echo_removals();
        }
        Ok(())
    }
}
