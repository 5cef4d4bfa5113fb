//! What happens to a cluster under load.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::network::Manner;
use crate::support::dice::Dice;
use crate::support::eventually;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accident {
    /// One node at a time is killed with -9, at any moment, and comes back.
    KillOne,
    /// Two of five are killed at once, and come back.
    KillTwoOfFive,
    /// A node stands still, and goes on as if nothing had been.
    Pause,
    /// Two of five are cut off from the other three.
    Partition,
    /// Two nodes join, and one leaves.
    JoinTwoLeaveOne,
    /// A node and its disk are lost: it is removed, and an empty one takes its place.
    LostDisk,
    /// One node after the other is restarted.
    RollingRestart,
    /// All are killed at once, and come back.
    RestartAll,
}

impl Accident {
    pub const ALL: [Self; 8] = [
        Self::KillOne,
        Self::KillTwoOfFive,
        Self::Pause,
        Self::Partition,
        Self::JoinTwoLeaveOne,
        Self::LostDisk,
        Self::RollingRestart,
        Self::RestartAll,
    ];

    /// As the command line names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::KillOne => "kill-one",
            Self::KillTwoOfFive => "kill-two-of-five",
            Self::Pause => "pause",
            Self::Partition => "partition",
            Self::JoinTwoLeaveOne => "join-two-leave-one",
            Self::LostDisk => "lost-disk",
            Self::RollingRestart => "rolling-restart",
            Self::RestartAll => "restart-all",
        }
    }

    /// Members before it.
    pub fn size(self) -> usize {
        match self {
            Self::KillTwoOfFive | Self::Partition => 5,
            Self::LostDisk => 4,
            _ => 3,
        }
    }

    /// Whether it lasts as long as one likes. The others take the time that they need.
    pub fn has_length(self) -> bool {
        matches!(
            self,
            Self::KillOne | Self::KillTwoOfFive | Self::Pause | Self::Partition
        )
    }

    /// Strikes, for about so long where it lasts as long as one likes; complete with the end of the fault.
    pub async fn strike(self, cluster: &mut Cluster, lasts: Duration, dice: &mut Dice) {
        match self {
            Self::KillOne => kill_again_and_again(cluster, lasts, dice).await,
            Self::KillTwoOfFive => {
                let nodes = some_two(cluster, dice);
                cluster.kill_all(&nodes).await;
                tokio::time::sleep(lasts).await;
                cluster.restart_all(&nodes).await;
            }
            Self::Pause => {
                let node = any(cluster, dice);
                cluster.signal(node, "-STOP").await;
                tokio::time::sleep(lasts).await;
                cluster.signal(node, "-CONT").await;
            }
            Self::Partition => partition(cluster, lasts, dice).await,
            Self::JoinTwoLeaveOne => {
                let leaver = any(cluster, dice);
                cluster.add().await;
                cluster.add().await;
                cluster.settle().await;
                cluster.leave(leaver).await;
                cluster.settle().await;
            }
            Self::LostDisk => {
                let node = any(cluster, dice);
                cluster.kill(node).await;
                cluster.lose_disk(node);
                tokio::time::sleep(dice.moment(1_000)).await;
                cluster.remove(node).await;
                cluster.add().await;
                cluster.settle().await;
            }
            Self::RollingRestart => {
                for node in cluster.running() {
                    cluster.stop(node).await;
                    cluster.restart(node).await;
                    cluster.settle().await;
                }
            }
            Self::RestartAll => {
                let nodes = cluster.running();
                cluster.kill_all(&nodes).await;
                tokio::time::sleep(dice.moment(1_000)).await;
                cluster.restart_all(&nodes).await;
            }
        }
    }
}

impl std::str::FromStr for Accident {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL
            .into_iter()
            .find(|accident| accident.name() == name);
        let known = || Self::ALL.map(Self::name).join(", ");
        found.ok_or_else(|| format!("no accident is named {name:?}; known are {}", known()))
    }
}

/// Never two at a time.
async fn kill_again_and_again(cluster: &mut Cluster, lasts: Duration, dice: &mut Dice) {
    let until = Instant::now() + lasts;
    loop {
        let node = any(cluster, dice);
        cluster.kill(node).await;
        tokio::time::sleep(dice.moment(2_000)).await;
        cluster.restart(node).await;
        if Instant::now() >= until {
            return;
        }
        tokio::time::sleep(dice.moment(1_000)).await;
    }
}

async fn partition(cluster: &mut Cluster, lasts: Duration, dice: &mut Dice) {
    let manner = [Manner::Silence, Manner::Reset][dice.below(2) as usize];
    let island = some_two(cluster, dice);
    println!("partition by {manner:?}: nodes {island:?} are on their own");
    let began = Instant::now();
    cluster.cut(BTreeSet::from(island), manner);
    for node in cluster.running() {
        let side = if island.contains(&node) { 2 } else { 3 };
        eventually("each side sees itself alone", async || {
            cluster.status(node).await.nodes_live == side
        })
        .await;
    }
    tokio::time::sleep(lasts.saturating_sub(began.elapsed())).await;
    cluster.heal();
}

fn any(cluster: &Cluster, dice: &mut Dice) -> usize {
    let running = cluster.running();
    running[dice.below(running.len() as u64) as usize]
}

fn some_two(cluster: &Cluster, dice: &mut Dice) -> [usize; 2] {
    let first = any(cluster, dice);
    loop {
        let second = any(cluster, dice);
        if second != first {
            return [first, second];
        }
    }
}
