//! Clusters of real processes that accidents happen to, under a steady load: in the end all that was acknowledged is there, all
//! replicas are equal though nobody read, and nothing is left over. The example `chaos` runs the same for as long as one likes.
#![cfg(all(feature = "rocksdb", target_os = "linux"))]
#![allow(unreachable_pub)] // The modules of one test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use harness::accident::Accident;
use harness::run::run;
use support::dice::Dice;
use tokio::sync::Semaphore;

/// Two clusters at a time are enough for two cores.
static CLUSTERS: Semaphore = Semaphore::const_new(2);

async fn survives(accident: Accident, lasts: Duration) {
    let _turn = CLUSTERS.acquire().await.unwrap();
    let report = run(accident, lasts, Dice::new("DYNAMOKV_CHAOS_SEED")).await;
    println!("{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_one_node_killed_at_any_moment() {
    survives(Accident::KillOne, Duration::from_secs(6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_five_killed_at_once() {
    survives(Accident::KillTwoOfFive, Duration::from_secs(6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stands_still() {
    survives(Accident::Pause, Duration::from_secs(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_five_cut_off_from_the_others() {
    survives(Accident::Partition, Duration::from_secs(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_join_and_one_that_leaves() {
    survives(Accident::JoinTwoLeaveOne, Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_disk_whose_node_is_replaced() {
    survives(Accident::LostDisk, Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_restart_after_the_other() {
    survives(Accident::RollingRestart, Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_killed_at_once() {
    survives(Accident::RestartAll, Duration::ZERO).await;
}
