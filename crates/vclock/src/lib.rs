#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod actor;
mod context;
mod dot;
mod error;
mod hybrid_time;
mod inline;
mod lease;
mod position;
#[cfg(feature = "serde")]
mod serde_forms;
mod siblings;
mod sorted;
mod token;
pub mod varint;
mod vector;
mod wire;

pub use actor::{Actor, ActorId, Epoch};
pub use context::CausalContext;
pub use dot::Dot;
pub use error::Error;
pub use hybrid_time::{HybridClock, HybridTime};
pub use lease::EpochLease;
pub use position::{Position, issue};
pub use siblings::Siblings;
pub use token::ContextToken;
pub use vector::VersionVector;
