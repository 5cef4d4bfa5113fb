//! Which range is pulled next, from whom, and when everything is there.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::{Duration, Instant};

use dynamokv_ring::{NodeId, PartitionId};
use dynamokv_storage::ObjectKey;

use crate::timing::{Backoff, Pace, Rate, later};
use crate::{Gain, Position, Positions};

/// How hard ranges are pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferConfig {
    /// Partitions that are pulled at once at most: bounds memory and the load on the sources.
    pub partitions_max: NonZeroUsize,
    /// Bytes of one page, about.
    pub page_bytes: NonZeroUsize,
    /// Bytes pulled in a second at most, over all sources: leaves the disks and the network to clients.
    /// [`NonZeroU64::MAX`] sets no limit.
    pub bytes_per_second: NonZeroU64,
    /// The wait after a first failure of a source; each further one in a row doubles it.
    pub backoff_min: Duration,
    /// The greatest wait after a failure.
    pub backoff_max: Duration,
}

impl Default for TransferConfig {
    fn default() -> Self {
        Self {
            partitions_max: NonZeroUsize::MIN.saturating_add(3),
            page_bytes: NonZeroUsize::MIN.saturating_add((1 << 20) - 1),
            bytes_per_second: NonZeroU64::MIN.saturating_add((64 << 20) - 1),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(2),
        }
    }
}

/// One page to pull: ask `source` for the objects of `partition` after `after`, make them durable here, report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// Which range.
    pub partition: PartitionId,
    /// Whom to ask.
    pub source: NodeId,
    /// Start after this key; `None` from the beginning.
    pub after: Option<ObjectKey>,
}

/// What a transfer has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Partitions to gain.
    pub partitions: usize,
    /// Partitions of which all is here.
    pub complete: usize,
    /// Pages being pulled now.
    pub under_way: usize,
    /// Objects received, those that were known already and those sent by several sources included.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Failures so far.
    pub failures: u64,
    /// Bytes received in a second of late.
    pub bytes_per_second: u64,
}

/// What comes, or should come, from one source of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// The partition.
    pub partition: PartitionId,
    /// Where it comes from.
    pub source: NodeId,
    /// Whether a page is on its way now.
    pub under_way: bool,
    /// Objects received from there.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Failures in a row; it is asked again after a while.
    pub failures: u32,
}

/// The scheduler of the ranges that a node gains: events in, [`Pull`]s out, no I/O and no clock.
///
/// Every partition is read to its end from as many of its sources as it needs, one page at a time, each source by a
/// cursor of its own. When a source fails another takes its place at once where there is one, and the failed
/// one is resumed where it stopped after a back-off. It never gives up: a transfer that cannot be completed blocks
/// its membership change, visibly, and is dropped with it.
///
/// What holds back a fast source is its receiver: no more than [`partitions_max`](TransferConfig::partitions_max) pages are
/// asked for at once, and the next one of a partition only when the one before is durable.
///
/// To go on after a restart keep [`positions`](Self::positions) of the partition after each page, and
/// [`resume`](Self::resume) from them. They need no sync: what is lost of them is pulled once more.
///
/// Every pull is answered by exactly one [`on_page`](Self::on_page) or [`on_failed`](Self::on_failed).
#[derive(Debug)]
pub struct Transfer {
    config: TransferConfig,
    pace: Pace,
    ranges: BTreeMap<PartitionId, Range>,
    /// Partitions that are neither complete nor being pulled.
    waiting: BTreeSet<PartitionId>,
    progress: Progress,
    rate: Rate,
}

/// One partition on its way.
#[derive(Debug)]
struct Range {
    sources: Vec<Source>,
    /// Sources that must still be read to the end.
    needed: usize,
    under_way: Option<NodeId>,
}

#[derive(Debug)]
struct Source {
    node: NodeId,
    after: Option<ObjectKey>,
    complete: bool,
    items: u64,
    bytes: u64,
    failures: u32,
    /// Not before this time; `None` is at once.
    due: Option<Instant>,
}

impl Range {
    fn new(gain: &Gain) -> Self {
        let source = |node: &NodeId| Source {
            node: *node,
            after: None,
            complete: false,
            items: 0,
            bytes: 0,
            failures: 0,
            due: None,
        };
        Self {
            sources: gain.sources().iter().map(source).collect(),
            needed: gain.needed(),
            under_way: None,
        }
    }

    fn incomplete(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| !source.complete)
    }

    /// The due source with the fewest failures, the first listed of several.
    fn next_source(&self, now: Instant) -> Option<&Source> {
        let due = self
            .incomplete()
            .filter(|source| source.due.is_none_or(|at| at <= now));
        due.min_by_key(|source| source.failures)
    }

    fn due(&self, now: Instant) -> Option<Instant> {
        self.incomplete()
            .map(|source| source.due.unwrap_or(now))
            .min()
    }

    /// Takes note that the pull from `node` is over; `None` if none was under way.
    fn land(&mut self, node: NodeId) -> Option<&mut Source> {
        self.under_way.take_if(|source| *source == node)?;
        self.sources.iter_mut().find(|source| source.node == node)
    }
}

impl Transfer {
    /// A transfer of `gains`; of several for one partition the last counts. Gains that need nothing are complete
    /// at once.
    pub fn new(config: TransferConfig, gains: impl IntoIterator<Item = Gain>) -> Self {
        let ranges: BTreeMap<_, _> = gains
            .into_iter()
            .map(|gain| (gain.partition(), Range::new(&gain)))
            .collect();
        let waiting: BTreeSet<_> = ranges
            .iter()
            .filter(|(_, range)| range.needed > 0)
            .map(|(id, _)| *id)
            .collect();
        let progress = Progress {
            partitions: ranges.len(),
            complete: ranges.len() - waiting.len(),
            ..Progress::default()
        };
        Self {
            pace: Pace::new(config.bytes_per_second),
            config,
            ranges,
            waiting,
            progress,
            rate: Rate::default(),
        }
    }

    /// Goes on where an earlier transfer of the same membership change was, on the same disk. Sources that are none any more are
    /// passed over. To be called before the first [`poll`](Self::poll). O(log partitions).
    pub fn resume(&mut self, partition: PartitionId, positions: &Positions) {
        let Some(range) = self.ranges.get_mut(&partition) else {
            return;
        };
        for (node, position) in &positions.0 {
            let mut sources = range.sources.iter_mut();
            let Some(source) = sources.find(|source| source.node == *node && !source.complete)
            else {
                continue;
            };
            match position {
                Position::After(key) => source.after = Some(key.clone()),
                Position::Complete => {
                    source.complete = true;
                    range.needed = range.needed.saturating_sub(1);
                }
            }
        }
        if range.needed == 0 && self.waiting.remove(&partition) {
            self.progress.complete += 1;
        }
    }

    /// How far the sources of a partition were read. O(log partitions + sources).
    pub fn positions(&self, partition: PartitionId) -> Positions {
        let range = self.ranges.get(&partition);
        let sources = range.into_iter().flat_map(|range| &range.sources);
        let position = |source: &Source| {
            let after = source.after.clone().map(Position::After);
            source.complete.then_some(Position::Complete).or(after)
        };
        let reached = sources.filter_map(|source| Some((source.node, position(source)?)));
        Positions(reached.collect())
    }

    /// What is on its way, has begun or fails, by partition, so many at most. O(partitions).
    pub fn streams(&self, limit: usize) -> Vec<Stream> {
        let unfinished = self.ranges.iter().filter(|(_, range)| range.needed > 0);
        let streams = unfinished.flat_map(|(partition, range)| {
            range.incomplete().map(|source| Stream {
                partition: *partition,
                source: source.node,
                under_way: range.under_way == Some(source.node),
                items: source.items,
                bytes: source.bytes,
                failures: source.failures,
            })
        });
        streams
            .filter(|stream| stream.under_way || stream.items > 0 || stream.failures > 0)
            .take(limit)
            .collect()
    }

    /// The settings.
    pub fn config(&self) -> &TransferConfig {
        &self.config
    }

    /// The next page to pull, if one is due. Call until it gives `None`. O(log partitions), and more only past
    /// partitions whose sources all back off.
    pub fn poll(&mut self, now: Instant) -> Option<Pull> {
        if self.is_full() || self.pace.free_at(now) > now {
            return None;
        }
        let (partition, source, after) = self.waiting.iter().find_map(|partition| {
            let source = self.ranges.get(partition)?.next_source(now)?;
            Some((*partition, source.node, source.after.clone()))
        })?;
        self.ranges.get_mut(&partition)?.under_way = Some(source);
        self.waiting.remove(&partition);
        self.progress.under_way += 1;
        self.pace.reserve(self.page_units(), now);
        Some(Pull {
            partition,
            source,
            after,
        })
    }

    /// A page of `items` objects and `bytes` bytes arrived from `source` and is durable here; the next one
    /// starts after `next`, `None` at the end of the range. Whether the partition is complete by it.
    /// O(log partitions).
    ///
    /// Only after the page is synced: the source may let go of what was read to the end.
    pub fn on_page(
        &mut self,
        partition: PartitionId,
        source: NodeId,
        next: Option<ObjectKey>,
        items: usize,
        bytes: usize,
        now: Instant,
    ) -> bool {
        let page_units = self.page_units();
        let Some(range) = self.ranges.get_mut(&partition) else {
            return false;
        };
        let Some(landed) = range.land(source) else {
            return false;
        };
        landed.items += items as u64;
        landed.bytes += bytes as u64;
        landed.failures = 0;
        landed.due = None;
        landed.complete = next.is_none();
        landed.after = next;
        if landed.complete {
            range.needed = range.needed.saturating_sub(1);
        }
        let complete = range.needed == 0;
        self.pace.correct(page_units, bytes as u64);
        self.progress.under_way -= 1;
        self.progress.items += items as u64;
        self.progress.bytes += bytes as u64;
        self.progress.bytes_per_second = self.rate.add(bytes as u64, now);
        if complete {
            self.progress.complete += 1;
        } else {
            self.waiting.insert(partition);
        }
        complete
    }

    /// A pull failed. `source` is resumed where it stopped after a back-off; another source goes on meanwhile.
    /// O(log partitions).
    pub fn on_failed(&mut self, partition: PartitionId, source: NodeId, now: Instant) {
        let backoff = Backoff {
            min: self.config.backoff_min,
            max: self.config.backoff_max,
        };
        let Some(range) = self.ranges.get_mut(&partition) else {
            return;
        };
        let Some(landed) = range.land(source) else {
            return;
        };
        landed.failures = landed.failures.saturating_add(1);
        landed.due = Some(later(now, backoff.after(landed.failures)));
        self.progress.under_way -= 1;
        self.progress.failures += 1;
        self.waiting.insert(partition);
    }

    /// When [`poll`](Self::poll) will give a pull, if nothing happens before. O(waiting partitions).
    pub fn next_wakeup(&self, now: Instant) -> Option<Instant> {
        if self.is_full() {
            return None;
        }
        let free_at = self.pace.free_at(now);
        let mut soonest: Option<Instant> = None;
        for range in self
            .waiting
            .iter()
            .filter_map(|partition| self.ranges.get(partition))
        {
            soonest = soonest.into_iter().chain(range.due(now)).min();
            if soonest.is_some_and(|at| at <= free_at) {
                break;
            }
        }
        soonest.map(|at| at.max(free_at))
    }

    /// Whether every partition is here.
    pub fn is_complete(&self) -> bool {
        self.progress.complete == self.progress.partitions
    }

    /// Figures for operators.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    fn is_full(&self) -> bool {
        self.progress.under_way >= self.config.partitions_max.get()
    }

    fn page_units(&self) -> u64 {
        self.config.page_bytes.get() as u64
    }
}
