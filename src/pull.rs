//! Streaming the ranges that a membership change gives to this node, before it counts as their owner.

use std::time::Duration;

use dynamokv_handoff::{Gain, Progress, Pull, RangeRequest, Transfer, TransferConfig};
use dynamokv_ring::{NodeId, PartitionId};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::core::Core;
use crate::deliver::sleep_until;
use crate::transport::Transport;

const PAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// A page that is durable here.
struct Landed {
    next: Option<dynamokv_storage::ObjectKey>,
    items: usize,
    bytes: usize,
}

/// Pulls all `gains`; completes when everything is here and synced. Dropping the future abandons the rest.
pub(crate) async fn run<T: Transport>(
    core: &Core<T>,
    gains: Vec<Gain>,
    progress: &watch::Sender<Progress>,
) {
    let mut transfer = Transfer::new(TransferConfig::default(), gains);
    let mut pulls = FuturesUnordered::new();
    while !transfer.is_complete() {
        let now = Instant::now();
        while let Some(pull) = transfer.poll(now.into_std()) {
            pulls.push(pull_page(core, pull));
        }
        progress.send_replace(transfer.progress());
        let wakeup = transfer.next_wakeup(now.into_std());
        tokio::select! {
            biased;
            Some((partition, source, landed)) = pulls.next() => match landed {
                Ok(Landed { next, items, bytes }) => {
                    transfer.on_page(partition, source, next, items, bytes);
                }
                Err(error) => {
                    tracing::debug!(%partition, %source, %error, "a range could not be pulled");
                    transfer.on_failed(partition, source, Instant::now().into_std());
                }
            },
            () = sleep_until(wakeup) => {}
        }
    }
    progress.send_replace(transfer.progress());
}

async fn pull_page<T: Transport>(
    core: &Core<T>,
    pull: Pull,
) -> (PartitionId, NodeId, Result<Landed, crate::Error>) {
    let (partition, source) = (pull.partition, pull.source);
    (partition, source, try_pull(core, pull).await)
}

async fn try_pull<T: Transport>(core: &Core<T>, pull: Pull) -> Result<Landed, crate::Error> {
    let fence = core.cluster.fence();
    let request = RangeRequest {
        partition: pull.partition,
        after: pull.after,
        bytes_max: TransferConfig::default().page_bytes.get(),
    };
    let page = core
        .transport
        .fetch_range(pull.source, fence, &request, PAGE_TIMEOUT)
        .await?;
    if let Some(newest) = core.join_all(&page.entries)? {
        core.store.synced(newest).await?;
    }
    Ok(Landed {
        items: page.entries.len(),
        bytes: page.bytes(),
        next: page.next,
    })
}
