#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod accept;
mod admission;
mod api;
mod context;
mod key;
mod keys;
mod named;
mod path;
mod problem;
mod serve;
mod siblings;

pub use api::{Limits, openapi, routes};
pub use context::CONTEXT_HEADER;
pub use serve::Server;

pub use dynamokv_rpc::KeyValue;
