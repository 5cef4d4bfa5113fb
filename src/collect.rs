//! Letting go of deleted objects for good, once nothing can bring them back.
//!
//! The first owner of a partition asks the others whether they have exactly its tombstone, synced. When all do, it notes the time: from
//! then on no owner has anything older, and the grace time is for whoever else may hold something: a hint, a stray, a copy
//! of a disk. After it, with the same ring and no change in between, all owners let go of exactly this state.

use std::sync::Arc;
use std::time::Duration;

use dynamokv_coordinator::{Fence, Membership, Refusal, ReplicaError, View};
use dynamokv_handoff::{CollectRequest, CollectStep};
use dynamokv_ring::{NodeId, PartitionId};
#[cfg(feature = "planted-bugs")]
use dynamokv_storage::planted::{self, Bug};
use dynamokv_storage::{ObjectKey, Proof, StateHash, Tombstone, WriteSeq};
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::core::Core;
use crate::transport::Transport;

/// So many are asked about in one message.
const PAGE_ITEMS: usize = 256;
/// How long an owner may take to look them up and to sync.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// When tombstones are looked at and how long they are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CollectConfig {
    /// Between two looks at all of them.
    pub(crate) interval: Duration,
    /// How long all owners have had it when it goes.
    pub(crate) grace: Duration,
}

type Found = (ObjectKey, StateHash);

/// Collects for as long as the node runs.
pub(crate) async fn run<T: Transport>(core: Arc<Core<T>>, config: CollectConfig) {
    loop {
        tokio::time::sleep(config.interval).await;
        for partition in core.cluster.view().current.partition_ids() {
            if let Err(error) = sweep(&core, partition, config).await {
                tracing::debug!(%partition, %error, "tombstones wait");
            }
        }
    }
}

/// Looks at the tombstones of one partition, page by page.
async fn sweep<T: Transport>(
    core: &Core<T>,
    partition: PartitionId,
    config: CollectConfig,
) -> Result<(), crate::Error> {
    let mut after = None;
    loop {
        let view = core.cluster.view();
        if !leads(&view, partition) {
            return Ok(());
        }
        let range = view.current.range_of(partition);
        let (page, next) = core.store.tombstones(range, after.as_ref(), PAGE_ITEMS)?;
        #[cfg(feature = "planted-bugs")]
        let config = CollectConfig {
            grace: if planted::is(Bug::TombstoneCollectedEarly) {
                Duration::ZERO
            } else {
                config.grace
            },
            ..config
        };
        let change = view.fence.number;
        let (unproven, due) = sort(page, change, (core.wall_clock)(), config.grace);
        let others = others(&view, partition);
        // A proof is written after the state that it is of, so it is never durable without it.
        for (key, hash) in ask_all(core, &view, &others, CollectStep::Confirm, unproven).await? {
            let since_ms = (core.wall_clock)();
            core.store.prove(&key, hash, Proof { change, since_ms })?;
        }
        let gone = ask_all(core, &view, &others, CollectStep::Drop, due).await?;
        if !gone.is_empty() && !drop_own(core, &view, &gone)? {
            return Ok(());
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Lets go of what the others have let go of, unless something has changed meanwhile: then they get it back.
fn drop_own<T: Transport>(
    core: &Core<T>,
    asked: &View,
    gone: &[Found],
) -> Result<bool, crate::Error> {
    let (_guard, view) = core.begin();
    if view.fence != asked.fence || view.next.is_some() {
        return Ok(false);
    }
    for (key, hash) in gone {
        core.store.collect(key, *hash)?;
    }
    tracing::info!(
        objects = gone.len(),
        "deleted objects are let go of for good"
    );
    Ok(true)
}

/// Whether this node collects in a partition under this view.
fn leads(view: &View, partition: PartitionId) -> bool {
    view.next.is_none() && view.current.owners_of(partition).first() == Some(&view.me)
}

fn others(view: &View, partition: PartitionId) -> Vec<NodeId> {
    let owners = view.current.owners_of(partition).iter();
    owners.copied().filter(|owner| *owner != view.me).collect()
}

/// Those without a proof under the present ring, and those whose grace is over. A proof from the future is none: a clock was
/// set back since.
fn sort(
    page: Vec<Tombstone>,
    change: u64,
    now_ms: u64,
    grace: Duration,
) -> (Vec<Found>, Vec<Found>) {
    let (mut unproven, mut due) = (Vec::new(), Vec::new());
    for Tombstone { key, hash, proof } in page {
        match proof.filter(|proof| proof.change == change && proof.since_ms <= now_ms) {
            None => unproven.push((key, hash)),
            Some(proof) if Duration::from_millis(now_ms - proof.since_ms) >= grace => {
                due.push((key, hash))
            }
            Some(_) => {}
        }
    }
    (unproven, due)
}

/// Those to which every other owner, and this node, agrees.
async fn ask_all<T: Transport>(
    core: &Core<T>,
    view: &View,
    others: &[NodeId],
    step: CollectStep,
    tombstones: Vec<Found>,
) -> Result<Vec<Found>, crate::Error> {
    if tombstones.is_empty() {
        return Ok(tombstones);
    }
    let request = CollectRequest { step, tombstones };
    let asked = others.iter().map(|to| async {
        let transport = &core.transport;
        let answer = transport
            .collect_tombstones(*to, view.fence, &request, ANSWER_TIMEOUT)
            .await;
        core.report(*to, &answer);
        answer
    });
    let answers = join_all(asked).await;
    #[cfg(feature = "planted-bugs")]
    let answers: Vec<_> = answers
        .into_iter()
        .filter(|answer| answer.is_ok() || !planted::is(Bug::TombstoneCollectedEarly))
        .collect();
    let answers: Vec<Vec<bool>> = answers.into_iter().collect::<Result<_, _>>()?;
    let agreed = |nth: usize| {
        answers
            .iter()
            .all(|flags| flags.get(nth).copied().unwrap_or(false))
    };
    let found = request.tombstones.into_iter().enumerate();
    Ok(found
        .filter(|(nth, _)| agreed(*nth))
        .map(|(_, found)| found)
        .collect())
}

/// The other side: agrees only as an owner, under the very ring of the asker, with no change open, and unless this process has
/// just stood still.
///
/// # Errors
/// A refusal, with nothing done, or a failure of the store.
pub(crate) async fn answer<T: Transport>(
    core: &Core<T>,
    fence: Fence,
    request: CollectRequest,
) -> Result<Vec<bool>, ReplicaError> {
    let (_guard, view) = core.begin();
    view.fence.admit(&fence, view.required)?;
    if view.fence != fence || view.next.is_some() {
        return Err(Refusal::StaleRing {
            required: view.fence.seen.max(fence.seen),
        }
        .into());
    }
    if !core.pulse.is_steady(Instant::now()) {
        return Err(ReplicaError::Failed(
            "this process stood still, and may go on with what it began before".to_owned(),
        ));
    }
    let mut newest: Option<WriteSeq> = None;
    let mut agreed = Vec::with_capacity(request.tombstones.len());
    for (key, hash) in &request.tombstones {
        if !view.stores(view.me, key.token()) {
            return Err(Refusal::NotOwner.into());
        }
        let (agrees, seq) = match request.step {
            CollectStep::Confirm => core.store.is_tombstone(key, *hash),
            CollectStep::Drop => core.store.collect(key, *hash),
        }
        .map_err(failed)?;
        newest = newest.max(Some(seq));
        agreed.push(agrees);
    }
    if let Some(newest) = newest {
        core.store.synced(newest).await.map_err(failed)?;
    }
    Ok(agreed)
}

fn failed(error: dynamokv_storage::Error) -> ReplicaError {
    ReplicaError::Failed(error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_counts_under_its_own_ring_and_from_the_end_of_the_grace_time_on() {
        let key = ObjectKey::new("default", "k").unwrap();
        let sorted = |change, since_ms| {
            let tombstone = Tombstone {
                key: key.clone(),
                hash: StateHash(1),
                proof: Some(Proof { change, since_ms }),
            };
            let (unproven, due) = sort(vec![tombstone], 7, 1_000, Duration::from_millis(100));
            (unproven.len(), due.len())
        };
        assert_eq!(sorted(7, 900), (0, 1));
        assert_eq!(sorted(7, 901), (0, 0), "the grace is not over");
        assert_eq!(sorted(6, 900), (1, 0), "a change has come between");
        assert_eq!(sorted(7, 1_001), (1, 0), "a clock was set back");
    }
}
