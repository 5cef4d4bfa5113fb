//! The crate against oracles that keep everything: sets of dots, and full causal histories.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clients;
mod clocks;
mod cluster;
mod encodings;
mod epochs;
mod histories;
mod oracle;
#[cfg(feature = "serde")]
mod serde_forms;
mod small_cases;
mod world;
