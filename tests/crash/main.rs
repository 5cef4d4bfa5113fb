//! Writers on one data folder whose node is killed with -9 at random moments, again and again: what was acknowledged is there,
//! whole, and nothing is numbered twice.
#![cfg(feature = "rocksdb")]
#![allow(unreachable_pub)] // The modules of one test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cluster;
mod raw;
mod rounds;
#[path = "../support/mod.rs"]
mod support;

/// What every run of the tests repeats.
const SHORT: usize = 10;
/// What is run by hand and by night: see docs/testing.md.
const LONG: usize = 200;
/// On the disk, and with the operating system only.
const DURABILITIES: [&str; 2] = ["sync", "os"];

#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_node_keeps_what_it_acknowledged_over_ten_kills() {
    for durability in DURABILITIES {
        rounds::run::<raw::Keys>(SHORT, durability).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_a_cluster_keeps_what_it_acknowledged_over_ten_kills() {
    for durability in DURABILITIES {
        rounds::run::<cluster::Keys>(SHORT, durability).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo test --test crash -- --ignored"]
async fn a_standalone_node_keeps_what_it_acknowledged_over_two_hundred_kills() {
    for durability in DURABILITIES {
        rounds::run::<raw::Keys>(LONG, durability).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo test --test crash -- --ignored"]
async fn a_member_of_a_cluster_keeps_what_it_acknowledged_over_two_hundred_kills() {
    for durability in DURABILITIES {
        rounds::run::<cluster::Keys>(LONG, durability).await;
    }
}
