#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod accept;
mod admission;
mod api;
mod context;
mod key;
mod keys;
mod metrics;
mod named;
mod operators;
mod path;
mod problem;
mod requests;
mod serve;
mod siblings;

pub use api::{Limits, openapi, routes};
pub use context::CONTEXT_HEADER;
pub use metrics::{Label, Metric, Page};
pub use operators::{Watched, operators, probes};
pub use requests::Requests;
pub use serve::Server;

pub use axum::Router;
pub use dynamokv_rpc::KeyValue;
