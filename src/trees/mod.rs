//! The hash trees of this node: kept current by its store, saved at a clean stop, counted from disk where they are not.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use dynamokv_antientropy::{Forest, Prefix, Recount, Recounted, SAVED_PARTS};
use dynamokv_coordinator::Membership;
use dynamokv_handoff::Pace;
use dynamokv_ring::{Placement, TokenRange};
use dynamokv_storage::{Batch, Change, Moment, ObjectStore, Observer, Opened, StateHash};
use tokio::time::Instant;

use crate::core::Core;
use crate::exchange::ExchangeConfig;
use crate::transport::Transport;

/// Tells the trees what the store does.
pub(crate) struct Gardener(pub(crate) Arc<Forest>);

impl Observer for Gardener {
    fn changed(&self, change: &Change) {
        let hash = |state: Option<StateHash>| state.map(|state| state.0);
        self.0
            .change(change.token, hash(change.old), hash(change.new));
    }

    fn cleared(&self, range: TokenRange) {
        self.0.clear(range);
    }
}

/// Which opening of the store saved the trees.
const SAVED_BY: &str = "trees/saved-by";

fn part_entry(part: usize) -> String {
    format!("trees/{part:03}")
}

/// Adds the trees to the batch of a clean stop. Not if a write has failed: it may come back behind their back.
pub(crate) fn save(forest: &Forest, store: &ObjectStore, batch: &mut Batch) {
    if store.has_failed_writes() || !forest.is_ready() {
        return;
    }
    for part in 0..SAVED_PARTS {
        if let Some(saved) = forest.save(part) {
            ObjectStore::stage_meta(batch, &part_entry(part), saved);
        }
    }
    ObjectStore::stage_meta(batch, SAVED_BY, store.generation().to_be_bytes());
}

/// Takes the trees that the very last stop of this store has saved; whether there were any. What is missing is counted.
pub(crate) fn load(forest: &Forest, store: &ObjectStore) -> bool {
    let loaded = || -> Option<()> {
        let saved_by = store.meta_get(SAVED_BY).ok()??;
        let saved_by = u64::from_be_bytes(saved_by.as_ref().try_into().ok()?);
        (store.opened() == Opened::Clean && saved_by.checked_add(1) == Some(store.generation()))
            .then_some(())?;
        for part in 0..SAVED_PARTS {
            let saved = store.meta_get(&part_entry(part)).ok()??;
            forest.load(part, &saved).ok()?;
        }
        Some(())
    };
    loaded().is_some()
}

/// A step of counting reads about so much.
const STEP_BYTES: u64 = 1 << 20;
const STEP_BUCKETS_MAX: usize = 1_024;

/// What a scrub may read in a second.
const SCRUB_BYTES_PER_SECOND: u64 = 1 << 20;

/// Counts what is due, and everything again and again, slowly, for as long as the node runs.
pub(crate) async fn keep<T: Transport>(core: Arc<Core<T>>, config: ExchangeConfig) {
    let forest = core.trees.as_ref();
    let began = Instant::now();
    let mut pace = Pace::new(config.bytes_per_second);
    let mut rebuilding = !forest.is_ready();
    let mut buckets_a_step = 64;
    let mut scrub = Scrub { at: 0, buckets: 64 };
    loop {
        reach_partitions(&core);
        if let Some(due) = forest.due(buckets_a_step) {
            let count = due.len();
            pace.reserve(STEP_BYTES, Instant::now().into_std());
            match recount(&core.store, forest, due) {
                Ok((_, bytes)) => {
                    pace.correct(STEP_BYTES, bytes);
                    buckets_a_step = fitting(count, bytes);
                }
                Err(error) => {
                    tracing::warn!(%error, "the hash trees could not be counted");
                    tokio::time::sleep(config.interval).await;
                }
            }
            let now = Instant::now();
            match pace.free_at(now.into_std()) {
                at if at > now.into_std() => tokio::time::sleep_until(at.into()).await,
                _ => tokio::task::yield_now().await,
            }
            continue;
        }
        if rebuilding {
            rebuilding = false;
            let (keys, took) = (forest.keys(Prefix::ROOT), began.elapsed());
            tracing::info!(keys, ?took, "hash trees are counted");
        }
        tokio::time::sleep(scrub.step(&core).max(config.interval)).await;
    }
}

/// Goes round all buckets, so that what rots on the disk behind the store's back is found.
struct Scrub {
    at: usize,
    /// So many at once.
    buckets: usize,
}

impl Scrub {
    /// Counts some buckets from disk. How long that is to last.
    fn step<T: Transport>(&mut self, core: &Core<T>) -> Duration {
        let forest = core.trees.as_ref();
        let first = self.at % forest.buckets();
        let end = (first + self.buckets).min(forest.buckets());
        self.at = end;
        match recount(&core.store, forest, first..end) {
            Ok((recounted, bytes)) => {
                self.buckets = fitting(end - first, bytes);
                if recounted.corrected > 0 {
                    let leaves = recounted.corrected;
                    tracing::info!(
                        leaves,
                        "hash trees differed from the disk and were put right"
                    );
                }
                Duration::from_millis(bytes.saturating_mul(1_000) / SCRUB_BYTES_PER_SECOND)
            }
            Err(error) => {
                tracing::warn!(%error, "the hash trees could not be scrubbed");
                Duration::ZERO
            }
        }
    }
}

/// So many buckets that a step reads about as much as it shall.
fn fitting(buckets: usize, bytes: u64) -> usize {
    if bytes > STEP_BYTES {
        (buckets / 2).max(1)
    } else if bytes < STEP_BYTES / 2 {
        (buckets.saturating_mul(2)).min(STEP_BUCKETS_MAX)
    } else {
        buckets
    }
}

/// The partitions of the ring must end between leaves.
fn reach_partitions<T: Transport>(core: &Core<T>) {
    let view = core.cluster.view();
    let ring: &dyn Placement = view.current.as_ref();
    core.trees.reach(ring.partitions().ilog2() as u8);
}

/// Counts some buckets while the store is written to. Blocks for the reading; says how many bytes it read.
fn recount(
    store: &ObjectStore,
    forest: &Forest,
    buckets: Range<usize>,
) -> Result<(Recounted, u64), dynamokv_storage::Error> {
    Count::begin(store, forest, buckets).finish()
}

/// A count of some buckets, as they are at one moment.
struct Count<'a> {
    range: TokenRange,
    recount: Recount<'a>,
    moment: Moment<'a>,
}

impl<'a> Count<'a> {
    fn begin(store: &'a ObjectStore, forest: &'a Forest, buckets: Range<usize>) -> Self {
        let range = forest.range_of(&buckets);
        let (ready, _) = forest.ready_share();
        let keys_expected = forest.keys(Prefix::ROOT) / ready.max(1) as u64;
        let (recount, moment) =
            store.moment_of_rest(|| forest.begin_recount(buckets, keys_expected));
        Self {
            range,
            recount,
            moment,
        }
    }

    fn finish(mut self) -> Result<(Recounted, u64), dynamokv_storage::Error> {
        let mut bytes = 0;
        self.moment.walk(self.range, |walked| {
            bytes += walked.bytes as u64;
            self.recount.add(walked.key.token(), walked.hash.0);
            ControlFlow::Continue(())
        })?;
        Ok((self.recount.finish(), bytes))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
