#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod config;
mod drain;
mod driver;
mod error;
mod get;
mod plan;
mod put;
mod recent;
mod replica;
mod request;
mod trace;
mod transport;
mod view;

pub use config::Config;
pub use drain::{Drain, DrainGuard};
pub use driver::{Coordinator, WallClock};
pub use error::{Error, ErrorKind};
pub use get::{GetAction, GetOp, GetVerdict};
pub use plan::{Fallbacks, LocalRole, ReadPlan, WritePlan};
pub use put::{PutAction, PutOp, PutVerdict};
pub use replica::{FORGOTTEN, Replica};
pub use request::{
    Answer, AnswerKind, Forwarded, GetReply, GetRequest, Options, PutReply, PutRequest, QuorumMode,
    ReplicaAnswer, ReplicaError, ReplicaRead, ReplicaState, ReplicaWrite,
};
pub use trace::RequestId;
pub use transport::{HintSink, ReplicaTransport};
pub use view::{Fence, Membership, ReadPhase, Refusal, View, WritePhase};
