//! Streaming the ranges that a membership change gives to this node, before it counts as their owner.

use std::sync::Arc;
use std::time::Duration;

use dynamokv_gossip::ChangeId;
use dynamokv_handoff::{
    Gain, Position, Progress, Pull, RangeRequest, Stream, Transfer, TransferConfig,
};
use dynamokv_ring::{NodeId, PartitionId};
use dynamokv_storage::ObjectKey;
#[cfg(feature = "planted-bugs")]
use dynamokv_storage::planted::{self, Bug};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::core::Core;
use crate::deliver::sleep_until;
use crate::persist;
use crate::transport::Transport;

const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the log tells of the progress.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Shown to operators at most.
const STREAMS_SHOWN_MAX: usize = 64;

/// What operators see of it.
#[derive(Debug, Clone)]
pub(crate) struct Streaming {
    pub(crate) change: ChangeId,
    pub(crate) began: Instant,
    /// When it was complete, or given up for another plan.
    pub(crate) ended: Option<Instant>,
    pub(crate) progress: Progress,
    pub(crate) streams: Vec<Stream>,
}

/// A page that is durable here.
struct Landed {
    next: Option<ObjectKey>,
    items: usize,
    bytes: usize,
}

type Pulled = (PartitionId, NodeId, Result<Landed, crate::Error>);

/// Pulls all `gains`; completes when everything is here and synced. Goes on where it was when the process, or an earlier plan
/// for the same change, ended. Dropping the future abandons the rest.
pub(crate) async fn run<T: Transport>(
    core: &Arc<Core<T>>,
    config: &TransferConfig,
    change: ChangeId,
    gains: Vec<Gain>,
    shown: &watch::Sender<Option<Streaming>>,
) -> Result<(), crate::Error> {
    let partitions: Vec<PartitionId> = gains.iter().map(Gain::partition).collect();
    let mut transfer = Transfer::new(config.clone(), gains);
    for partition in partitions {
        let positions = persist::load_positions(&core.store, change, partition);
        transfer.resume(partition, &positions);
    }
    let began = Instant::now();
    let resumed = transfer.progress().complete;
    tracing::info!(
        %change, partitions = transfer.progress().partitions, complete = resumed, "streaming begins"
    );
    let mut telling = Telling {
        shown,
        change,
        began,
        told: began,
    };
    // Tasks of their own: pages are joined on as many threads as the runtime has.
    let mut pulls: JoinSet<Pulled> = JoinSet::new();
    while !transfer.is_complete() {
        let now = Instant::now();
        while let Some(pull) = transfer.poll(now.into_std()) {
            #[cfg(feature = "planted-bugs")]
            let confirmed = (pull.partition, pull.source);
            let (core, page_bytes) = (Arc::clone(core), config.page_bytes.get());
            pulls.spawn(async move {
                let (partition, source) = (pull.partition, pull.source);
                (partition, source, pull_page(&core, pull, page_bytes).await)
            });
            #[cfg(feature = "planted-bugs")]
            if planted::is(Bug::TransferConfirmedEarly) {
                let (partition, source) = confirmed;
                transfer.on_page(partition, source, None, 0, 0, now.into_std());
            }
        }
        telling.tell(&transfer, now);
        let wakeup = transfer.next_wakeup(now.into_std());
        tokio::select! {
            biased;
            Some(pulled) = pulls.join_next() => match pulled {
                Ok(pulled) => land(core, change, &mut transfer, pulled),
                // They are aborted together with this future only.
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => return Err(crate::Error::Stopped),
                },
            },
            () = sleep_until(wakeup) => {}
        }
    }
    let Progress {
        items,
        bytes,
        failures,
        ..
    } = transfer.progress();
    let took = began.elapsed();
    tracing::info!(%change, items, bytes, failures, ?took, "everything gained is here");
    telling.show(&transfer, Some(Instant::now()));
    Ok(())
}

fn land<T: Transport>(
    core: &Core<T>,
    change: ChangeId,
    transfer: &mut Transfer,
    (partition, source, landed): Pulled,
) {
    let now = Instant::now().into_std();
    match landed {
        Ok(Landed { next, items, bytes }) => {
            transfer.on_page(partition, source, next, items, bytes, now);
            let positions = transfer.positions(partition);
            let noted = persist::save_positions(&core.store, change, partition, &positions);
            if let Err(error) = noted {
                tracing::debug!(%partition, %error, "the position could not be noted");
            }
            if positions.0.get(&source) == Some(&Position::Complete) {
                tracing::debug!(%partition, %source, "read to the end");
            }
        }
        Err(error) => {
            tracing::debug!(%partition, %source, %error, "a range could not be pulled");
            transfer.on_failed(partition, source, now);
        }
    }
}

async fn pull_page<T: Transport>(
    core: &Core<T>,
    pull: Pull,
    bytes_max: usize,
) -> Result<Landed, crate::Error> {
    let fence = core.cluster.fence();
    let request = RangeRequest {
        partition: pull.partition,
        after: pull.after,
        bytes_max,
    };
    let page = core
        .transport
        .fetch_range(pull.source, fence, &request, PAGE_TIMEOUT)
        .await?;
    #[cfg(feature = "planted-bugs")]
    let page = {
        let mut page = page;
        if planted::is(Bug::MoveSkipsKey) {
            page.entries.pop();
        }
        page
    };
    if let Some(newest) = core.join_all(page.entries.iter()).await? {
        core.store.synced(newest).await?;
    }
    Ok(Landed {
        items: page.entries.len(),
        bytes: page.bytes(),
        next: page.next,
    })
}

/// Tells operators and the log.
struct Telling<'a> {
    shown: &'a watch::Sender<Option<Streaming>>,
    change: ChangeId,
    began: Instant,
    told: Instant,
}

impl Telling<'_> {
    fn tell(&mut self, transfer: &Transfer, now: Instant) {
        self.show(transfer, None);
        if now.saturating_duration_since(self.told) >= TELL_EVERY {
            self.told = now;
            let Progress {
                partitions,
                complete,
                bytes,
                bytes_per_second,
                failures,
                ..
            } = transfer.progress();
            let change = self.change;
            tracing::info!(%change, partitions, complete, bytes, bytes_per_second, failures, "streaming");
        }
    }

    fn show(&self, transfer: &Transfer, ended: Option<Instant>) {
        self.shown.send_replace(Some(Streaming {
            change: self.change,
            began: self.began,
            ended,
            progress: transfer.progress(),
            streams: transfer.streams(STREAMS_SHOWN_MAX),
        }));
    }
}
