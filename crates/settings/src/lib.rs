#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "clap")]
pub mod cli;
mod error;
mod kind;
mod layers;
mod loaded;
mod origin;
mod page;
mod schema;

pub use error::{Error, Invalid};
pub use kind::{Choice, Kind};
pub use layers::Layers;
pub use loaded::Loaded;
pub use origin::Origin;
pub use schema::{Schema, Setting, Settings};
