//! What is measured while a run goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::mix::Action;
use crate::target::{Failure, FailureKind};

/// One action that ended, at times after the start of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    /// When it was to begin.
    pub(crate) due: Duration,
    /// When it began.
    pub(crate) began: Duration,
    /// When it ended.
    pub(crate) ended: Duration,
}

/// What an action came to.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) action: Action,
    /// Whether the record was there.
    pub(crate) found: bool,
    /// Concurrent values that were seen.
    pub(crate) values: usize,
    /// Whether a write had to read first, as nothing was remembered of the key.
    pub(crate) read_first: bool,
}

/// Collects from many tasks at once.
#[derive(Debug)]
pub(crate) struct Recorder {
    warm_up: Duration,
    window: Duration,
    shards: Vec<Mutex<Record>>,
    progress: Arc<Progress>,
}

/// How far a run is, to be shown while it goes on.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    failed: AtomicU64,
}

impl Progress {
    /// Actions that succeeded, the warm-up included.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Actions that failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// All that was counted.
#[derive(Debug)]
pub(crate) struct Record {
    /// Microseconds from when actions were to begin to their ends, failures left out.
    pub(crate) latencies: BTreeMap<Action, Latencies>,
    /// Microseconds by which actions began late: what the load tool itself added, or the limit on what is under way.
    pub(crate) lag: Latencies,
    /// By the window in which they ended.
    pub(crate) timeline: BTreeMap<u64, Latencies>,
    pub(crate) failures: BTreeMap<FailureKind, (u64, String)>,
    pub(crate) missing: u64,
    pub(crate) read_first: u64,
    pub(crate) values_max: usize,
    /// When the last of them ended.
    pub(crate) last: Duration,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            latencies: BTreeMap::new(),
            lag: Latencies::fine(),
            timeline: BTreeMap::new(),
            failures: BTreeMap::new(),
            missing: 0,
            read_first: 0,
            values_max: 0,
            last: Duration::ZERO,
        }
    }
}

/// Microseconds.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(pub(crate) Histogram<u64>);

impl Latencies {
    /// With three significant digits.
    fn fine() -> Self {
        Self::with_digits(3)
    }

    /// With two: a twentieth of the memory.
    fn coarse() -> Self {
        Self::with_digits(2)
    }

    #[expect(
        clippy::expect_used,
        reason = "the library takes 0 to 5 digits, whatever a run brings"
    )]
    fn with_digits(digits: u8) -> Self {
        Self(Histogram::new(digits).expect("digits that the library takes"))
    }

    fn add(&mut self, time: Duration) {
        let us = micros(time);
        // It grows as need be; what does not fit into 64 bits counts as the greatest.
        if self.0.record(us).is_err() {
            self.0.saturating_record(us);
        }
    }
}

impl Recorder {
    pub(crate) fn new(warm_up: Duration, duration: Duration) -> Self {
        let seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        Self {
            warm_up,
            window: Duration::from_secs(seconds.div_ceil(WINDOWS_MAX).max(1).into()),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            progress: Arc::default(),
        }
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Counts an action, unless it was to begin during the warm-up. `lane` spreads tasks over locks.
    pub(crate) fn note(&self, lane: usize, at: Ended, result: Result<Done, Failure>) {
        let counter = match &result {
            Ok(_) => &self.progress.done,
            Err(_) => &self.progress.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let Some(due) = at.due.checked_sub(self.warm_up) else {
            return;
        };
        let Some(shard) = self.shards.get(lane % SHARDS) else {
            return;
        };
        let ended = at.ended.saturating_sub(self.warm_up);
        let mut record = shard.lock();
        record.last = record.last.max(ended);
        record.lag.add(at.began.saturating_sub(at.due));
        match result {
            Ok(done) => {
                let latency = ended.saturating_sub(due);
                record
                    .latencies
                    .entry(done.action)
                    .or_insert_with(Latencies::fine)
                    .add(latency);
                let window = ended.as_secs() / self.window.as_secs().max(1);
                record
                    .timeline
                    .entry(window)
                    .or_insert_with(Latencies::coarse)
                    .add(latency);
                record.missing += u64::from(!done.found);
                record.read_first += u64::from(done.read_first);
                record.values_max = record.values_max.max(done.values);
            }
            Err(failure) => {
                let of_kind = record.failures.entry(failure.kind);
                of_kind.or_insert((0, failure.message)).0 += 1;
            }
        }
    }

    /// All of it, and the length of a window of the timeline.
    pub(crate) fn sum(&self) -> (Record, Duration) {
        let mut sum = Record::default();
        for shard in &self.shards {
            sum.add(&shard.lock());
        }
        (sum, self.window)
    }
}

impl Record {
    fn add(&mut self, other: &Self) {
        for (action, latencies) in &other.latencies {
            merge(
                self.latencies
                    .entry(*action)
                    .or_insert_with(Latencies::fine),
                latencies,
            );
        }
        for (window, latencies) in &other.timeline {
            merge(
                self.timeline
                    .entry(*window)
                    .or_insert_with(Latencies::coarse),
                latencies,
            );
        }
        merge(&mut self.lag, &other.lag);
        for (kind, (count, message)) in &other.failures {
            self.failures
                .entry(*kind)
                .or_insert_with(|| (0, message.clone()))
                .0 += count;
        }
        self.missing += other.missing;
        self.read_first += other.read_first;
        self.values_max = self.values_max.max(other.values_max);
        self.last = self.last.max(other.last);
    }
}

fn merge(into: &mut Latencies, from: &Latencies) {
    // Both resize, so there is nothing that does not fit.
    let _ = into.0.add(&from.0);
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

const SHARDS: usize = 8;
const WINDOWS_MAX: u32 = 120;
