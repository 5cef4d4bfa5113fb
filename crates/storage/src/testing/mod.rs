//! The conformance suite of the [`Engine`] trait.
//!
//! ```
//! use dynamokv_storage::testing::{Disk, FAMILIES, engine_suite};
//! use dynamokv_storage::{Engine, MemoryEngine};
//!
//! struct MemoryDisk(MemoryEngine);
//!
//! impl Disk for MemoryDisk {
//!     fn open(&mut self) -> Box<dyn Engine> {
//!         Box::new(self.0.clone())
//!     }
//!     fn lose_power(&mut self) {} // It needs no sync.
//! }
//!
//! engine_suite(|| MemoryDisk(MemoryEngine::new(FAMILIES)));
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod model;
#[cfg(test)]
pub(crate) mod strategies;
mod suite;

pub use model::engine_model;
pub use suite::engine_suite;

use crate::engine::{Engine, Family};

/// The families that the suite's engines are opened with.
pub const FAMILIES: [Family; 3] = [Family::DEFAULT, Family::META, Family::OBJECTS];

/// Something that outlives engines: a folder, or memory.
pub trait Disk {
    /// Opens an engine with [`FAMILIES`] on it. The one before was dropped.
    fn open(&mut self) -> Box<dyn Engine>;

    /// Forgets what was not synced, as far as this disk can. No engine is open on it.
    fn lose_power(&mut self);
}
