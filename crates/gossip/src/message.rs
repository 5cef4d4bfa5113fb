use std::sync::Arc;
use std::time::Duration;

use dynamokv_ring::NodeId;

use crate::{FactsDigest, Profile};

/// The message format that this version speaks. Within one format, fields that a later version appends are skipped
/// by an earlier one.
pub const FORMAT_VERSION: u32 = 2;
/// The oldest format that is understood. Format 1 was never released.
pub const FORMAT_OLDEST: u32 = 2;

/// One message. An exchange is push-pull scuttlebutt (van Renesse et al. 2008) over hashes:
///
/// | message  | says                                              | answered by |
/// |----------|---------------------------------------------------|-------------|
/// | `Syn`    | hashes of the sender's view, bucket by bucket; heartbeats | `SynAck` |
/// | `SynAck` | the digests of the buckets that differ; heartbeats | an `Ack` in an exchange of its own, if anything differs |
/// | `Ack`    | what the peer lacks, and what is wanted of it     | an `Ack` with that, if any |
/// | `Ping`   | are you there?                                    | `Pong`      |
/// | `Pong`   | yes                                               | nothing     |
/// | `Probe`  | ping that node, which I do not hear               | nothing; a `Vouch` if the node answered |
/// | `Vouch`  | the node that you asked about answered me         | nothing     |
///
/// Any of them may be lost, doubled or reordered. [`encode`](Self::encode) has the wire form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// What the initiator knows.
    Syn(Syn),
    /// Where that differs from what the peer knows.
    SynAck(SynAck),
    /// What the receiver lacks.
    Ack(Ack),
    /// Asks for a sign of life.
    Ping(Header),
    /// Gives it.
    Pong(Header),
    /// Asks for a sign of life of somebody else.
    Probe(Probe),
    /// Gives that.
    Vouch(Vouch),
}

impl Message {
    /// Who sent it.
    pub fn header(&self) -> &Header {
        match self {
            Message::Syn(syn) => &syn.header,
            Message::SynAck(syn_ack) => &syn_ack.header,
            Message::Ack(ack) => &ack.header,
            Message::Ping(header) | Message::Pong(header) => header,
            Message::Probe(probe) => &probe.header,
            Message::Vouch(vouch) => &vouch.header,
        }
    }

    /// The name of its kind, for logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Message::Syn(_) => "syn",
            Message::SynAck(_) => "syn-ack",
            Message::Ack(_) => "ack",
            Message::Ping(_) => "ping",
            Message::Pong(_) => "pong",
            Message::Probe(_) => "probe",
            Message::Vouch(_) => "vouch",
        }
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
    /// Its heartbeat.
    pub heartbeat: u64,
    /// Its address.
    pub address: String,
    /// A random number of the sending process, by which a node knows its own messages from those of a double.
    pub process: u64,
    /// The time between its rounds. [`Beat::age`] is in eighths of it.
    pub interval: Duration,
}

/// The first message: the sender's view, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syn {
    /// The sender.
    pub header: Header,
    /// The sum of all that it knows of everybody.
    pub view: u64,
    /// The same for each bucket of ids, a power of two of them, folded to 32 bits.
    pub buckets: Vec<u32>,
    /// How everybody is.
    pub beats: Beats,
    /// The sender's cluster facts, in short.
    pub facts: FactsState,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynAck {
    /// The sender.
    pub header: Header,
    /// Stretches of ids that the digests cover completely.
    pub spans: Vec<KeySpan>,
    /// What the sender knows of each node in them.
    pub digests: Vec<Digest>,
    /// How everybody is.
    pub beats: Beats,
    /// The sender's cluster facts, in short.
    pub facts: FactsState,
    /// Some of them, if the initiator's are behind.
    pub part: Option<FactsPart>,
}

/// The end of the exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The sender.
    pub header: Header,
    /// What the peer lacked.
    pub deltas: Vec<Delta>,
    /// What the sender lacks: what it knows of those nodes, all zeros for an unknown one.
    pub wanted: Vec<Digest>,
    /// Some of the facts, if the peer's were behind.
    pub part: Option<FactsPart>,
}

/// Asks for a ping of a third node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The sender.
    pub header: Header,
    /// The node that it does not hear.
    pub target: NodeId,
}

/// Says that a third node answered a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouch {
    /// The sender.
    pub header: Header,
    /// The node that answered it.
    pub target: NodeId,
    /// That node's generation.
    pub generation: u64,
    /// Its heartbeat.
    pub heartbeat: u64,
}

/// A range of the order in which nodes are compared (ids, mixed), both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpan {
    /// Where it begins.
    pub first: u64,
    /// Where it ends.
    pub last: u64,
}

/// How much the sender knows of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The node.
    pub id: NodeId,
    /// Its generation.
    pub generation: u64,
    /// The version up to which its state is known.
    pub version: u64,
    /// Whether it left for good.
    pub left: bool,
}

/// The heartbeats of all nodes in some buckets, without their ids: three bytes a node. They mean something to a peer that knows the
/// same nodes in that bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beats {
    /// Into how many buckets ids are divided: a power of two.
    pub buckets: u32,
    /// The first bucket that is covered.
    pub first: u32,
    /// Each bucket that is covered.
    pub rosters: Vec<BucketRoster>,
    /// One for each node, in the order of comparison.
    pub beats: Vec<Beat>,
}

/// Whose heartbeats a bucket holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketRoster {
    /// The sum of ids and generations, folded to 32 bits.
    pub sum: u32,
    /// How many heartbeats there are; none where the peer is known to know other nodes.
    pub nodes: u32,
}

/// One heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Its number, modulo 2^16.
    pub number: u16,
    /// How long ago it was made, in eighths of the sender's interval, rounded up; 255 for longer.
    pub age: u8,
}

impl Beat {
    /// The age of a heartbeat that says nothing any more.
    pub const TOO_OLD: u8 = u8::MAX;
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
    /// How old that is: as [`Beat::age`].
    pub age: u8,
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
        profile: Option<(Arc<Profile>, u64)>,
        /// Keys, values and versions, oldest first.
        kv: Vec<(String, crate::Versioned)>,
    },
    /// It left for good.
    Left {
        /// How much longer its id is to be remembered.
        remember: Duration,
    },
}

/// How far the sender has come with the cluster facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FactsState {
    /// The facts that it has.
    pub known: Option<FactsDigest>,
    /// The facts of which it has only the beginning, and how many bytes of that.
    pub partial: Option<(FactsDigest, u32)>,
}

/// A stretch of encoded facts: as much as fits a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactsPart {
    /// Of which facts.
    pub digest: FactsDigest,
    /// The size of the whole, in bytes.
    pub total: u32,
    /// Where this part begins.
    pub offset: u32,
    /// The part.
    pub bytes: Vec<u8>,
}
