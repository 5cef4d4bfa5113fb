//! Handoff, from the outside: the log on a disk that forgets, the schedulers in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bounds;
mod delivery;
mod gains;
mod hint_log;
mod lossless;
mod support;
mod transfer;
