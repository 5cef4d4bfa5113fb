//! Walking this node through membership changes: stage by stage, each with its duty, durable before it is said.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dynamokv_gossip::{
    ChangeProgress, ClusterFacts, Gossip, KEY_CHANGE, KEY_REMOVE, KEY_REPLACES, Stage, StageMark,
    Status,
};
use dynamokv_handoff::{Gain, TransferConfig, gains};
use dynamokv_ring::NodeId;
use tokio::sync::watch;

use crate::Error;
use crate::core::Core;
use crate::persist::{self, Remembered};
use crate::pull::Streaming;
use crate::transport::Transport;

/// How often a node with a full disk tries to remember what it learned.
const ROOM_RETRY: Duration = Duration::from_secs(1);

/// One node's way through all changes; the rules are those of the table at [`Stage`].
pub(crate) struct Walker<T> {
    core: Arc<Core<T>>,
    progress: ChangeProgress,
    transfer: TransferConfig,
    streaming: watch::Sender<Option<Streaming>>,
    /// What is durable, so that only changes are written.
    remembered: Remembered,
    /// The ring under which it was noted last that no strays are left.
    strays_forgotten: Option<u64>,
}

impl<T: Transport> Walker<T> {
    pub(crate) fn new(
        core: Arc<Core<T>>,
        remembered: Remembered,
        transfer: TransferConfig,
        streaming: watch::Sender<Option<Streaming>>,
    ) -> Self {
        let progress = ChangeProgress::new(core.me, remembered.mark);
        Self {
            core,
            progress,
            transfer,
            streaming,
            remembered,
            strays_forgotten: None,
        }
    }

    /// Walks for as long as the node runs; ends with the reason why the node must stop.
    pub(crate) async fn walk(mut self) -> Error {
        let mut changes = self.core.cluster.changes();
        let mut swept = self.core.cluster.last_swept();
        loop {
            changes.mark_seen();
            match self.advance().await {
                Err(error) => return error,
                Ok(true) => continue,
                Ok(false) => {}
            }
            tokio::select! {
                biased;
                () = changes.changed() => {}
                Ok(()) = swept.changed() => {}
            }
        }
    }

    /// One step, if there is one to take.
    async fn advance(&mut self) -> Result<bool, Error> {
        self.remember().await?;
        self.forget_strays();
        self.follow_status()?;
        Ok(self.propose().await? || self.step().await?)
    }

    fn with_gossip<R>(&self, work: impl FnOnce(&mut Gossip) -> R) -> R {
        self.core.cluster.gossip().with(work)
    }

    /// Makes durable what must outlive a restart, before anything is said that relies on it.
    async fn remember(&mut self) -> Result<(), Error> {
        let me = self.core.me;
        let now = self.with_gossip(|gossip| Remembered {
            facts: gossip.facts().cloned(),
            mark: self.progress.mark(),
            removals: gossip.kv(me, KEY_REMOVE).unwrap_or_default().to_owned(),
            peers: persist::addresses(gossip, &self.remembered.peers),
            leaving: gossip.local().profile.status == Status::Leaving,
            member: self.remembered.member
                || gossip
                    .facts()
                    .is_some_and(|facts| facts.current.contains(me)),
        });
        self.save(now).await
    }

    /// Waits for room where the disk is full: the node goes on serving what it has, and says nothing new meanwhile.
    async fn save(&mut self, now: Remembered) -> Result<(), Error> {
        loop {
            let now_ms = (self.core.wall_clock)();
            match persist::save(&self.core.store, &self.remembered, &now, now_ms).await {
                Err(Error::Storage(
                    error @ (dynamokv_storage::Error::DiskFull { .. }
                    | dynamokv_storage::Error::Unsynced { .. }),
                )) => {
                    tracing::warn!(%error, "what was learned of the cluster waits for room on the disk");
                    tokio::time::sleep(ROOM_RETRY).await;
                }
                saved => {
                    saved?;
                    self.remembered = now;
                    return Ok(());
                }
            }
        }
    }

    /// Nothing is left of what the rings before the remembered one had given this node, if it was swept under that.
    fn forget_strays(&mut self) {
        let swept = *self.core.cluster.last_swept().borrow();
        if swept.is_none()
            || swept == self.strays_forgotten
            || swept != self.remembered.ring_number()
        {
            return;
        }
        match persist::forget_strays(&self.core.store) {
            Ok(()) => self.strays_forgotten = swept,
            // They seem older than they are, until the next try.
            Err(error) => {
                tracing::debug!(%error, "that nothing is left of other rings is not noted")
            }
        }
    }

    /// Says `Up` when let in, and `Left` when nothing is left to hand over.
    fn follow_status(&self) -> Result<(), Error> {
        let me = self.core.me;
        let swept = *self.core.cluster.last_swept().borrow();
        self.with_gossip(|gossip| {
            let Some(facts) = gossip.facts() else {
                return Ok(());
            };
            let (member, coming) = (facts.current.contains(me), facts.in_a_ring(me));
            let empty = swept == Some(facts.current.number);
            match gossip.local().profile.status {
                Status::Joining | Status::Replacing if member => {
                    gossip.set_status(Status::Up)?;
                    gossip.set_kv(KEY_REPLACES, "")?;
                }
                Status::Leaving if !coming && empty => {
                    gossip.set_status(Status::Left)?;
                    return Err(Error::Left);
                }
                Status::Up if !coming => return Err(Error::Removed),
                _ => {}
            }
            Ok(())
        })
    }

    /// Opens the change that this node should propose, if any.
    async fn propose(&mut self) -> Result<bool, Error> {
        if self.request_replacements() {
            // Durable before it is acted on.
            return Ok(true);
        }
        let proposal =
            self.with_gossip(|gossip| Some((gossip.facts()?.clone(), gossip.proposal()?)));
        let Some((mut facts, change)) = proposal else {
            return Ok(false);
        };
        facts.open(change.clone())?;
        self.save(Remembered {
            facts: Some(facts),
            ..self.remembered.clone()
        })
        .await?;
        let (id, members) = (change.id(), change.target.members.len());
        // A rival may have arrived meanwhile; then that one is followed.
        if self.with_gossip(|gossip| gossip.open(change)).is_ok() {
            tracing::info!(change = %id, members, "membership change proposed");
            self.core.cluster.refresh();
            self.core.cluster.gossip().kick();
        }
        Ok(true)
    }

    /// Asks for the removal of those in whose place others want to come, if that is this node's to do; whether it did.
    fn request_replacements(&self) -> bool {
        let dead = self.with_gossip(Gossip::request_replacements);
        if dead.is_empty() {
            return false;
        }
        tracing::info!(?dead, "removal asked for: others take their places");
        self.core.cluster.refresh();
        true
    }

    /// Enters the next stage that the others allow, if any.
    async fn step(&mut self) -> Result<bool, Error> {
        let allowed = self.with_gossip(|gossip| {
            let facts = gossip.facts()?;
            Some((
                facts.clone(),
                self.progress.next_step(facts, &gossip.change_view())?,
            ))
        });
        let Some((facts, step)) = allowed else {
            return Ok(false);
        };
        // Superseded before or while the duty was done: then the step is not taken.
        let entered = self.duty(&facts, step).await?
            && self.core.cluster.gossip().with(|gossip| {
                let view = gossip.change_view();
                gossip
                    .facts()
                    .is_some_and(|now| self.progress.entered(step, now, &view).is_ok())
            });
        if !entered {
            self.core.cluster.act_on(self.progress.mark());
            return Ok(true);
        }
        if step.stage == Stage::Finished {
            self.finish(facts, step).await?;
        } else {
            self.remember().await?;
            self.with_gossip(|gossip| gossip.set_kv(KEY_CHANGE, step.to_string()))?;
            self.core.cluster.act_on(Some(step));
        }
        tracing::debug!(change = %step.change, stage = %step.stage, "stage entered");
        self.core.cluster.gossip().kick();
        Ok(true)
    }

    /// The stage's duty. False where the change was superseded meanwhile.
    async fn duty(&self, facts: &ClusterFacts, step: StageMark) -> Result<bool, Error> {
        match step.stage {
            Stage::Double | Stage::ReadNew | Stage::SingleNew => {
                let phase = self.core.cluster.act_on(Some(step));
                self.core.coordinator.drain().ended_before(phase).await;
                Ok(true)
            }
            Stage::Streamed => self.stream(facts, step).await,
            Stage::Announced | Stage::Finished => Ok(true),
        }
    }

    /// Pulls what this node gains, as long as the change is the open one and no further source was given up: then the plan is another
    /// one. A source whose place another node wants to take may be given up by nobody but this node.
    async fn stream(&self, facts: &ClusterFacts, step: StageMark) -> Result<bool, Error> {
        let gone = self.gone();
        let gains = self.gains(facts, &gone)?;
        let mut changes = self.core.cluster.changes();
        let superseded = async {
            let open = || self.with_gossip(|gossip| gossip.facts().and_then(ClusterFacts::open_id));
            while open() == Some(step.change) && self.gone() == gone && !self.request_replacements()
            {
                changes.changed().await;
            }
        };
        tokio::select! {
            biased;
            pulled = crate::pull::run(&self.core, &self.transfer, step.change, gains, &self.streaming) => {
                pulled.map(|()| true)
            }
            () = superseded => Ok(false),
        }
    }

    /// What this node gets by the open change.
    fn gains(&self, facts: &ClusterFacts, gone: &BTreeSet<NodeId>) -> Result<Vec<Gain>, Error> {
        let (current, next) = (facts.current_ring()?, facts.next_ring()?);
        let gained = next.map(|next| {
            let Core {
                me, write_quorum, ..
            } = *self.core;
            gains(&current, &next, me, write_quorum, gone)
        });
        Ok(gained.transpose()?.unwrap_or_default())
    }

    /// The members whose data cannot be had any more: those that the open change removes, and those that everybody
    /// has given up since.
    fn gone(&self) -> BTreeSet<NodeId> {
        self.with_gossip(|gossip| {
            let mut gone = gossip.change_view().excused;
            gone.extend(
                gossip
                    .open_change()
                    .iter()
                    .flat_map(|open| open.removing.iter()),
            );
            gone
        })
    }

    async fn finish(&mut self, mut facts: ClusterFacts, step: StageMark) -> Result<(), Error> {
        let gained = self.gains(&facts, &BTreeSet::new())?;
        facts.finish(step.change)?;
        let mark = self.progress.mark();
        self.save(Remembered {
            facts: Some(facts),
            mark,
            ..self.remembered.clone()
        })
        .await?;
        self.with_gossip(|gossip| {
            gossip.set_kv(KEY_CHANGE, step.to_string())?;
            match gossip.finish(step.change) {
                // Somebody's finished facts came first.
                Err(dynamokv_gossip::Error::ChangeNotOpen { .. }) => Ok(()),
                finished => finished,
            }
        })?;
        self.core.cluster.act_on(Some(step));
        let positions =
            persist::drop_positions(&self.core.store, gained.iter().map(Gain::partition));
        if let Err(error) = positions {
            // They are of no use to a later change, which writes over them.
            tracing::debug!(%error, "notes of the transfer are left");
        }
        tracing::info!(change = %step.change, "membership change finished");
        Ok(())
    }
}
