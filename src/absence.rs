//! How long a node was away before its start, and whether its disk is the one that it left.
//!
//! Beyond the grace time of tombstones what it holds for others may have been deleted, and the delete been forgotten: that is let go
//! of. What it owns is as good as ever, since nothing of that is collected without it; unless the disk is an older copy, put in the
//! place of one that has agreed to collect. So a node that was away for so long stands aside until the others have taken up
//! its new life, which they do not if they have heard later heartbeats of it than the disk knows of.

use std::sync::Arc;
use std::time::Duration;

use dynamokv_coordinator::Membership;
use dynamokv_gossip::Gossip;
use dynamokv_ring::NodeId;
use dynamokv_storage::{ObjectKey, ObjectStore};

use crate::core::Core;
use crate::persist::{self, Alive};
use crate::transport::Transport;
use crate::{Error, NodeConfig};

/// How far ahead of what was made heartbeats are allowed: a copy of the disk that is older than this is recognised, and on a disk that
/// takes nothing any more a node has heartbeats for so long.
const AHEAD_MAX: Duration = Duration::from_secs(3600);
/// Between two marks of life, unless there is less grace.
const MARK_EVERY_MAX: Duration = Duration::from_secs(60);
/// Between two looks at who has taken up the new life.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the disk says of the life before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Absence {
    last: Alive,
    away: Duration,
}

/// How marks of life are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    grace: Duration,
    every: Duration,
    ahead: u64,
}

impl Marks {
    pub(crate) fn new(config: &NodeConfig) -> Self {
        let grace = config.collect().grace;
        let ahead = AHEAD_MAX.min(grace / 4);
        let rounds = ahead.as_millis() / config.gossip_interval().as_millis().max(1);
        Self {
            grace,
            every: MARK_EVERY_MAX.min(ahead / 4),
            ahead: u64::try_from(rounds).unwrap_or(u64::MAX).max(1),
        }
    }

    fn after(&self, heartbeats: u64, now_ms: u64) -> Alive {
        Alive {
            at_ms: now_ms,
            heartbeats: heartbeats.saturating_add(self.ahead),
        }
    }
}

impl Absence {
    pub(crate) fn before(store: &ObjectStore, now_ms: u64) -> Result<Self, Error> {
        let last = persist::load_alive(store)?.unwrap_or(Alive {
            at_ms: now_ms,
            heartbeats: 0,
        });
        let away = Duration::from_millis(now_ms.saturating_sub(last.at_ms));
        Ok(Self { last, away })
    }

    /// What no heartbeat went beyond.
    pub(crate) fn heartbeats(&self) -> u64 {
        self.last.heartbeats
    }

    /// Lets go of what was held for too long, and stands aside if a copy as old as the disk may be would do harm; says whether the node
    /// was away for so long. Before anything is served.
    pub(crate) fn end<T: Transport>(&self, core: &Core<T>, marks: &Marks) -> Result<bool, Error> {
        if self.away <= marks.grace {
            let mark = marks.after(self.last.heartbeats, (core.wall_clock)());
            persist::save_alive(&core.store, mark)?;
            allow(core, mark.heartbeats);
            return Ok(false);
        }
        let view = core.cluster.view();
        let keeps = |key: &ObjectKey| view.stores(core.me, key.token());
        let objects = core.hints.forget(keeps)?;
        tracing::warn!(
            away = ?self.away,
            objects,
            "away for longer than `tombstone-grace-s`: what was held for other nodes is let go of, and nothing is served until \
             the others have taken this node up again"
        );
        // No heartbeat is made either, or in the end it would be a later one than any that was heard.
        allow(core, self.last.heartbeats);
        core.cluster.stand_aside();
        Ok(true)
    }
}

/// Steps in where this node stood aside; then marks that it lives for as long as it does.
pub(crate) async fn run<T: Transport>(core: Arc<Core<T>>, marks: Marks) {
    while core.cluster.stands_aside() {
        let taken_up = core.cluster.gossip().with(|gossip| is_taken_up(gossip));
        if taken_up && mark(&core, &marks).await {
            tracing::info!("the others have taken this node up again");
            core.cluster.step_in();
        } else {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    loop {
        tokio::time::sleep(marks.every).await;
        mark(&core, &marks).await;
    }
}

/// Marks that this node lives, and allows it further heartbeats; says whether it could.
async fn mark<T: Transport>(core: &Core<T>, marks: &Marks) -> bool {
    let made = core
        .cluster
        .gossip()
        .with(|gossip| gossip.heartbeats(core.me));
    let mark = marks.after(made.unwrap_or_default(), (core.wall_clock)());
    let kept = persist::keep_alive(&core.store, mark).await;
    match &kept {
        Ok(()) => allow(core, mark.heartbeats),
        Err(error) => tracing::debug!(%error, "it could not be noted that this node runs"),
    }
    kept.is_ok()
}

fn allow<T: Transport>(core: &Core<T>, upto: u64) {
    let gossip = core.cluster.gossip();
    gossip.with(|gossip| gossip.allow_heartbeats(upto));
}

/// Whether every other member that lives has taken up this node's new life, and with it they are more than half of all: what this
/// node said before is then known to one of them.
fn is_taken_up(gossip: &Gossip) -> bool {
    let Some(facts) = gossip.facts() else {
        return true;
    };
    let me = gossip.id();
    let members: Vec<NodeId> = facts
        .current
        .members
        .iter()
        .map(|member| member.id)
        .collect();
    let others = members.iter().filter(|id| **id != me);
    let (mut knowing, mut all_live) = (1, true);
    for other in others {
        if gossip.is_known_to(*other) {
            knowing += 1;
        } else {
            all_live &= !gossip.is_live(*other);
        }
    }
    all_live && 2 * knowing > members.len()
}
