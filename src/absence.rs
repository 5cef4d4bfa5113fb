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
use tokio::time::Instant;

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
/// Between two attempts to note it, on a disk that takes nothing.
const RETRY: Duration = Duration::from_secs(1);
/// For so many rounds after the start a member that nobody has told of yet may live.
const MEETING_ROUNDS: u32 = 30;

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
    /// In heartbeats.
    ahead: u64,
    /// How long it may take to meet the members that live.
    meeting: Duration,
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
            meeting: config.gossip_interval() * MEETING_ROUNDS,
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
    ///
    /// # Errors
    /// The store's failure, or that the disk was restored from a snapshot and has compared nothing since.
    pub(crate) fn end<T: Transport>(&self, core: &Core<T>, marks: &Marks) -> Result<bool, Error> {
        if self.away <= marks.grace {
            let mark = marks.after(self.last.heartbeats, (core.wall_clock)());
            persist::save_alive(&core.store, mark)?;
            allow(core, mark.heartbeats);
            return Ok(false);
        }
        let view = core.cluster.view();
        if view.forgotten.len() == view.current.partitions() as usize {
            let why =
                "it was restored from a snapshot that is older than `tombstone-grace-s` by now";
            return Err(Error::OlderDisk { why: why.into() });
        }
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
    let began = Instant::now();
    while core.cluster.stands_aside() {
        let meeting = began.elapsed() < marks.meeting;
        let gossip = core.cluster.gossip();
        if !gossip.with(|gossip| is_taken_up(gossip, meeting)) {
            gossip.kick();
            tokio::time::sleep(LOOK_EVERY).await;
        } else if mark(&core, &marks).await {
            tracing::info!("the others have taken this node up again");
            core.cluster.step_in();
        } else {
            tracing::warn!("nothing is served before the disk takes a mark of life");
            tokio::time::sleep(RETRY).await;
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

/// Whether every other member that lives has taken up this node's new life, and with it they are more than half of those that nobody
/// asked to remove: what this node said before is then known to one of them. While they are `meeting`, one that nobody has told of
/// may live.
fn is_taken_up(gossip: &Gossip, meeting: bool) -> bool {
    let Some(facts) = gossip.facts() else {
        return true;
    };
    let (me, removals) = (gossip.id(), gossip.removals());
    let members = facts.current.members.iter().map(|member| member.id);
    let others: Vec<NodeId> = members
        .filter(|id| *id != me && !removals.contains(id))
        .collect();
    let may_live = |id: NodeId| gossip.is_live(id) || (meeting && gossip.address_of(id).is_none());
    let knowing = others.iter().filter(|id| gossip.is_known_to(**id)).count();
    let all_live = others
        .iter()
        .all(|id| gossip.is_known_to(*id) || !may_live(*id));
    all_live && 2 * (knowing + 1) > others.len() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_are_allowed_for_an_hour_and_for_a_quarter_of_the_grace_time_at_most() {
        let marks = |grace_s, interval_ms| {
            Marks::new(&NodeConfig {
                tombstone_grace_s: grace_s,
                gossip_interval_ms: interval_ms,
                ..NodeConfig::default()
            })
        };
        let usual = marks(864_000, 1_000);
        assert_eq!((usual.ahead, usual.every), (3_600, MARK_EVERY_MAX));
        assert_eq!(marks(864_000, 500).ahead, 7_200);
        let short = marks(80, 1_000);
        assert_eq!((short.ahead, short.every), (20, Duration::from_secs(5)));
        let mark = short.after(100, 7);
        assert_eq!((mark.heartbeats, mark.at_ms), (120, 7));
    }
}
