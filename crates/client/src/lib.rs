#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod batch;
mod budget;
mod call;
mod client;
mod config;
mod error;
mod follow;
mod grpc;
mod health;
mod keys;
mod latency;
mod operation;
mod options;
mod pipeline;
mod prepare;
mod relay;
mod resolver;
mod route;
mod shared;
mod stats;
#[cfg(test)]
mod testing;
mod topology;
mod transport;
mod update;
mod value;

pub use batch::{Done, Operation};
pub use client::Client;
pub use config::ClientConfig;
pub use error::{Details, Error, Outcome, Result};
pub use grpc::Grpc;
pub use keys::KeyPage;
pub use options::{Idempotency, Options};
pub use pipeline::Pipeline;
pub use resolver::{KeepSiblings, LastWriter, Resolver};
pub use stats::Stats;
pub use topology::{Node, Topology};
pub use transport::{Answered, Cause, Failed, Reply, Request, Transport};
pub use update::Updated;
pub use value::{Context, NewValue, Value, Versions, Written};

pub use dynamokv_coordinator::{Answer, AnswerKind, ErrorKind, QuorumMode};
pub use dynamokv_ring::NodeId;
pub use dynamokv_vclock::HybridTime;
