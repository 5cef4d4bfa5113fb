//! Letting go: what this node keeps of ranges that it owns no longer is handed to their owners and then dropped.

use std::sync::Arc;
use std::time::Duration;

use dynamokv_coordinator::{Membership, View};
use dynamokv_handoff::Entry;
use dynamokv_ring::{PartitionId, Placement};
use dynamokv_storage::{ObjectKey, StateHash};

use crate::core::Core;
use crate::deliver::hand_over;
use crate::persist;
use crate::transport::Transport;

const PAGE_ITEMS: usize = 128;
const PAGE_BYTES: usize = 1 << 20;
const RETRY: Duration = Duration::from_secs(1);

/// Lets go after each finished membership change, and once at the start. What has been kept for longer than `grace` is not handed
/// over any more: its owners have had it since the change, and may have deleted it and forgotten the delete.
pub(crate) async fn run<T: Transport>(
    core: Arc<Core<T>>,
    grace: Duration,
    mut away_too_long: bool,
) {
    let mut changes = core.cluster.changes();
    let mut settled = None;
    loop {
        let view = core.cluster.view();
        let due =
            view.next.is_none() && view.fence.cluster != 0 && settled != Some(view.fence.number);
        if due {
            match sweep(&core, &view, (away_too_long, grace)).await {
                Ok(()) => {
                    away_too_long = false;
                    settled = Some(view.fence.number);
                    core.cluster.swept(view.fence.number);
                    continue;
                }
                Err(error) => {
                    tracing::debug!(%error, "strays wait");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
        }
        changes.changed().await;
    }
}

/// Goes through all that this node does not own. What cannot be handed over now does not hold up the rest.
async fn sweep<T: Transport>(
    core: &Core<T>,
    view: &View,
    (away_too_long, grace): (bool, Duration),
) -> Result<(), crate::Error> {
    let ring = view.current.as_ref();
    let now_ms = (core.wall_clock)();
    let since_ms = persist::strays_since(&core.store)?.unwrap_or(now_ms);
    let kept = Duration::from_millis(now_ms.saturating_sub(since_ms));
    let too_old = away_too_long || kept > grace;
    let mut swept = Ok(());
    for partition in ring.partition_ids() {
        if !ring.owns(core.me, partition) {
            swept = sweep_partition(core, ring, partition, too_old)
                .await
                .and(swept);
        }
    }
    // Who goes for good takes no hint along.
    if !ring.contains(core.me) {
        for target in core.hints.targets() {
            if !core.hints.held(target)?.is_empty() {
                return Err(crate::Error::HintsLeft { target });
            }
        }
    }
    swept
}

async fn sweep_partition<T: Transport>(
    core: &Core<T>,
    ring: &dyn Placement,
    partition: PartitionId,
    too_old: bool,
) -> Result<(), crate::Error> {
    let mut after: Option<ObjectKey> = None;
    let mut refused = 0;
    loop {
        let (_guard, view) = core.begin();
        let range = ring.range_of(partition);
        let page = core
            .store
            .scan(range, after.as_ref(), PAGE_ITEMS, PAGE_BYTES)?;
        let mut strays = Vec::with_capacity(page.entries.len());
        for (key, state) in page.entries {
            // Hints are delivered by themselves.
            if !core.hints.is_held(&key)? {
                strays.push(Entry { key, state });
            }
        }
        let owners = |token| view.write_sets(token).concat();
        let accepted = if too_old {
            vec![true; strays.len()]
        } else {
            hand_over(core, &view, &strays, owners).await?
        };
        for (entry, accepted) in strays.iter().zip(&accepted) {
            if *accepted {
                drop_stray(core, entry)?;
            } else {
                refused += 1;
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None if refused > 0 => {
                return Err(crate::Error::HandoverRefused { partition, refused });
            }
            None => return Ok(()),
        }
    }
}

/// Under the key's lock: only the very state that all owners acknowledged, only if nobody marked it meanwhile, and
/// only if this node has not become an owner again.
fn drop_stray<T: Transport>(core: &Core<T>, entry: &Entry) -> Result<(), crate::Error> {
    let acknowledged = StateHash::of(&entry.key, &entry.state);
    core.store
        .settle(&entry.key, |state, settle| {
            let same = state.is_some_and(|(_, hash)| hash == acknowledged);
            let owned = core.cluster.view().stores(core.me, entry.key.token());
            if same && !owned && !core.hints.is_held(&entry.key)? {
                settle.drop_record();
            }
            Ok::<(), dynamokv_storage::Error>(())
        })?
        .output?;
    Ok(())
}
