//! Servers and clients over loopback, with small fakes behind the servers.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admin;
mod fakes;
mod in_memory;
mod kv;
mod peers;
mod raw;
mod replication;
mod running;
mod serving;
