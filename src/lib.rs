#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod absence;
mod change;
mod changes;
mod cluster;
mod collect;
mod config;
mod core;
mod deliver;
mod engine;
mod error;
mod exchange;
mod hints;
mod let_go;
mod metrics;
mod network;
mod node;
mod opening;
mod parts;
mod persist;
mod pull;
mod pulse;
mod refill;
#[cfg(feature = "rocksdb")]
mod restore;
mod serve;
mod service;
mod standalone;
mod transport;
mod trees;
mod watch;

pub use dynamokv_antientropy as antientropy;
pub use dynamokv_coordinator as coordinator;
pub use dynamokv_gossip as gossip;
pub use dynamokv_handoff as handoff;
pub use dynamokv_ring as ring;
pub use dynamokv_rpc as rpc;
pub use dynamokv_settings as settings;
pub use dynamokv_storage as storage;
pub use dynamokv_vclock as vclock;

pub use config::{DurabilityMode, EngineKind, NodeConfig};
pub use dynamokv_settings::Invalid as ConfigError;
pub use error::Error;
pub use network::Network;
pub use node::{Node, NodeBuilder};
pub use parts::{Addresses, Parts, Surroundings};
#[cfg(feature = "rocksdb")]
pub use restore::{Restore, restore};
pub use serve::{asked_to_stop, serve};
pub use service::Service;
pub use standalone::Standalone;
pub use transport::{ExchangeTransport, HandoverTransport, ListingTransport, Transport};
