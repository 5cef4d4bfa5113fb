//! Properties of both placements, seen from outside.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod diffs;
mod forecasts;
mod golden;
mod identifiers;
mod lists;
mod movement;
mod partitions;
mod successive;
