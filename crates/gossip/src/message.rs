use std::time::Duration;

use dynamokv_ring::NodeId;

use crate::{ClusterFacts, FactsDigest, Profile};

/// The newest message format that this version speaks. Older ones are understood, newer ones refused.
pub const FORMAT_VERSION: u32 = 1;

/// One message of the three of an exchange: push-pull scuttlebutt (van Renesse et al. 2008).
///
/// The initiator shows what it knows (`Syn`); the peer answers with what the initiator lacks and with its own digests of
/// all that differs (`SynAck`); the initiator sends what the peer lacks (`Ack`, in an exchange of its own without an
/// answer). Any of them may be lost, doubled or reordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// What the initiator knows.
    Syn(Syn),
    /// What it lacks, and what of its news is wanted.
    SynAck(SynAck),
    /// What was wanted.
    Ack(Ack),
}

impl Message {
    /// Who sent it.
    pub fn header(&self) -> &Header {
        match self {
            Message::Syn(syn) => &syn.header,
            Message::SynAck(syn_ack) => &syn_ack.header,
            Message::Ack(ack) => &ack.header,
        }
    }

    /// The estimated size of its digests and deltas on the wire, in bytes: never less than a reasonable encoding needs.
    pub fn estimated_bytes(&self) -> usize {
        let (digests, deltas): (&[Digest], &[Delta]) = match self {
            Message::Syn(syn) => (&syn.digests, &[]),
            Message::SynAck(syn_ack) => (&syn_ack.digests, &syn_ack.deltas),
            Message::Ack(ack) => (&[], &ack.deltas),
        };
        digests.len() * Digest::BYTES + deltas.iter().map(Delta::estimated_bytes).sum::<usize>()
    }
}

/// The sender, as every message names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The format of the message.
    pub format: u32,
    /// The name of the sender's cluster.
    pub cluster_name: String,
    /// The id of its cluster; none before it was let in.
    pub cluster_id: Option<u64>,
    /// The sender.
    pub from: NodeId,
    /// Its generation.
    pub generation: u64,
    /// Its address.
    pub address: String,
    /// A random number of the sending process, by which a node knows its own messages from those of a double.
    pub process: u64,
}

/// The first message: what the sender knows of the nodes in a span of ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syn {
    /// The sender.
    pub header: Header,
    /// The ids that the digests cover completely.
    pub span: IdSpan,
    /// One for each node in the span that the sender knows.
    pub digests: Vec<Digest>,
    /// The sender's cluster facts, in short.
    pub facts: Option<FactsDigest>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynAck {
    /// The sender.
    pub header: Header,
    /// What the sender knows of each node on which the two differ; an unknown one has all zeros.
    pub digests: Vec<Digest>,
    /// What the initiator lacks.
    pub deltas: Vec<Delta>,
    /// The sender's cluster facts, in short.
    pub facts_digest: Option<FactsDigest>,
    /// The facts themselves, if the initiator's are behind.
    pub facts: Option<ClusterFacts>,
}

/// The end of the exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The sender.
    pub header: Header,
    /// What the peer lacked.
    pub deltas: Vec<Delta>,
    /// The facts, if the peer's were behind.
    pub facts: Option<ClusterFacts>,
}

/// A range of node ids, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdSpan {
    /// The lowest id.
    pub first: NodeId,
    /// The greatest id.
    pub last: NodeId,
}

impl IdSpan {
    /// All ids.
    pub const ALL: IdSpan = IdSpan {
        first: NodeId(0),
        last: NodeId(u64::MAX),
    };

    /// Whether the id is in it.
    pub fn contains(&self, id: NodeId) -> bool {
        (self.first..=self.last).contains(&id)
    }
}

/// How much the sender knows of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The node.
    pub id: NodeId,
    /// Its generation.
    pub generation: u64,
    /// Its heartbeat.
    pub heartbeat: u64,
    /// The version up to which its state is known.
    pub version: u64,
    /// Whether it left for good.
    pub left: bool,
}

impl Digest {
    /// Four integers and a flag, as tagged varints at their longest.
    pub(crate) const BYTES: usize = 48;
}

/// What is new about one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The node.
    pub id: NodeId,
    /// Its generation.
    pub generation: u64,
    /// Its heartbeat.
    pub heartbeat: u64,
    /// The news.
    pub news: News,
}

/// The content of a [`Delta`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Writes to its state.
    Writes {
        /// The receiver must know the state up to this version, or the delta has a hole in it and is not used.
        since: u64,
        /// The version up to which the state is known with this.
        upto: u64,
        /// The profile and its version, if it is among the news.
        profile: Option<(Profile, u64)>,
        /// Keys, values and versions, oldest first.
        kv: Vec<(String, crate::Versioned)>,
    },
    /// It left for good.
    Left {
        /// How much longer its id is to be remembered.
        remember: Duration,
    },
}

impl Delta {
    /// Its estimated size on the wire, in bytes.
    pub(crate) fn estimated_bytes(&self) -> usize {
        match &self.news {
            News::Left { .. } => DELTA_BYTES,
            News::Writes { profile, kv, .. } => {
                let profile = profile
                    .as_ref()
                    .map_or(0, |(profile, _)| profile_bytes(profile));
                let items = kv
                    .iter()
                    .map(|(key, versioned)| item_bytes(key, &versioned.value));
                DELTA_BYTES + profile + items.sum::<usize>()
            }
        }
    }
}

pub(crate) fn profile_bytes(profile: &Profile) -> usize {
    profile.name.len() + profile.address.len() + profile.zone.as_str().len() + 48
}

pub(crate) fn item_bytes(key: &str, value: &str) -> usize {
    key.len() + value.len() + 32
}

/// The fixed part of a delta.
pub(crate) const DELTA_BYTES: usize = 80;
