//! A node and its disk when that is full, read-only, or somebody else's.
#![allow(unreachable_pub)] // The modules of one test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod faults;
#[cfg(all(feature = "rocksdb", target_os = "linux"))]
mod folders;
#[cfg(all(feature = "rocksdb", target_os = "linux"))]
mod mounted;
#[path = "../support/mod.rs"]
mod support;
#[cfg(all(feature = "rocksdb", target_os = "linux"))]
mod tmpfs;
