#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod config;
mod gateway;
mod metrics;
mod upstream;

pub use config::GatewayConfig;
pub use gateway::{Error, Gateway, serve};
