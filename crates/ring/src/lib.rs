#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod balance;
mod diff;
mod error;
mod fingerprint;
mod forecast;
mod member;
mod members;
mod node;
mod partition_ring;
mod placement;
mod shares;
mod spread;
mod token;
mod token_ring;

pub use balance::{Balance, NodeLoad};
pub use diff::{Move, Release, diff, releases};
pub use error::Error;
pub use forecast::Forecast;
pub use member::{Member, Zone};
pub use node::NodeId;
pub use partition_ring::PartitionRing;
pub use placement::{PartitionId, Placement};
pub use token::{Token, TokenRange};
pub use token_ring::TokenRing;

/// The result of the fallible calls of this crate.
pub type Result<T> = std::result::Result<T, Error>;
