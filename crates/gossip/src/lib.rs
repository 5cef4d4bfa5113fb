#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod change;
mod config;
mod detector;
mod driver;
mod error;
mod event;
mod facts;
mod gossip;
mod ids;
mod message;
mod moment;
mod node;
mod proposal;
mod roster;
mod snapshot;
mod stage;
mod status;
mod wire;

pub use change::{ChangeProgress, ChangeView, Illegal};
pub use config::Config;
pub use driver::{GossipHandle, GossipTransport, Metrics, TransportError, run, spawn};
pub use error::{Error, Refusal};
pub use event::Event;
pub use facts::{Change, ChangeId, ClusterFacts, FactsDigest, Target};
pub use gossip::{Gossip, Outgoing};
pub use ids::{format_ids, parse_ids};
pub use message::{
    Ack, Beat, Beats, BucketRoster, Delta, Digest, FORMAT_OLDEST, FORMAT_VERSION, FactsPart,
    FactsState, Header, KeySpan, Message, News, Probe, Syn, SynAck, Vouch,
};
pub use node::{
    KEY_CHANGE, KEY_REMOVE, KEY_REPLACES, KEY_STOPPING, LocalNode, NodeState, Profile,
    TEXT_BYTES_MAX, VALUE_BYTES_MAX, Versioned,
};
pub use proposal::{Candidate, Pending, Wait, Wish, Wishes};
pub use snapshot::{Seen, Snapshot};
pub use stage::{Reads, Stage, StageMark, Writes};
pub use status::Status;

/// The result of the fallible calls of this crate.
pub type Result<T> = std::result::Result<T, Error>;
