//! What runs came to: plain data, kept as JSON and compared.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cpu::CpuUse;
use crate::mix::Action;
use crate::plan::Plan;
use crate::record::{Latencies, Record};
use crate::target::FailureKind;

/// Several runs, and what they ran against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Of this shape: [`FORMAT`](Self::FORMAT).
    pub format: u32,
    /// What was loaded, and how, in words: for people who compare.
    pub about: BTreeMap<String, String>,
    /// In the order in which they ran.
    pub runs: Vec<RunResult>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Unique among the runs; by it runs are compared.
    pub name: String,
    /// What was to be done.
    pub plan: Plan,
    /// Seconds that were counted: until the last action ended that was to begin within them.
    pub elapsed_s: f64,
    /// Actions that succeeded.
    pub operations: u64,
    /// Of these, in a second.
    pub throughput: f64,
    /// Actions that failed.
    pub failed: u64,
    /// Why.
    pub failures: Vec<FailureCount>,
    /// Actions of an open loop that could not begin until long after the end. More than 0 means that the rate cannot be served.
    pub unsent: u64,
    /// Records that were asked for and not there.
    pub missing: u64,
    /// Writes and deletes that read first, as nothing was remembered of their keys.
    pub read_first: u64,
    /// The most concurrent values that were seen of a key.
    pub values_max: usize,
    /// By how much actions began late. In an open loop this is part of their latency.
    pub lag: Distribution,
    /// Latencies by action, failures left out.
    pub actions: Vec<ActionResult>,
    /// Seconds of a window of the timeline.
    pub window_s: f64,
    /// What ended in each window, failures left out. The last one may be cut short.
    pub timeline: Vec<Window>,
    /// What it cost in CPU time, if somebody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuUse>,
}

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureCount {
    /// What they mean.
    pub kind: FailureKind,
    /// How many.
    pub count: u64,
    /// The store's words for one of them.
    pub example: String,
}

/// The latencies of one action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionResult {
    /// Which.
    pub action: Action,
    /// Of these, in a second.
    pub throughput: f64,
    /// How long they took.
    pub latency: Distribution,
}

/// A distribution of microseconds, exact to three digits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// How many there are.
    pub count: u64,
    /// Their mean.
    pub mean_us: f64,
    /// The least.
    pub min_us: u64,
    /// Half are at most this.
    pub p50_us: u64,
    /// 90 % are at most this.
    pub p90_us: u64,
    /// 99 % are at most this.
    pub p99_us: u64,
    /// 99.9 % are at most this.
    pub p99_9_us: u64,
    /// 99.99 % are at most this.
    pub p99_99_us: u64,
    /// The greatest.
    pub max_us: u64,
    /// Pairs of a quantile, 0..=1, and what so many are at most: denser towards 1.
    pub curve: Vec<(f64, u64)>,
}

/// What ended within a window of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Seconds from the end of the warm-up to its beginning.
    pub at_s: f64,
    /// Actions that succeeded.
    pub operations: u64,
    /// Half of them took at most this.
    pub p50_us: u64,
    /// 99 % of them took at most this.
    pub p99_us: u64,
}

impl Results {
    /// The version of the JSON shape.
    pub const FORMAT: u32 = 1;

    /// No run so far.
    pub fn new(about: BTreeMap<String, String>) -> Self {
        Self {
            format: Self::FORMAT,
            about,
            runs: Vec::new(),
        }
    }

    /// The run of that name.
    pub fn run(&self, name: &str) -> Option<&RunResult> {
        self.runs.iter().find(|run| run.name == name)
    }
}

impl RunResult {
    pub(crate) fn new(
        name: String,
        plan: Plan,
        record: &Record,
        window: Duration,
        unsent: u64,
    ) -> Self {
        let elapsed_s = record.last.max(plan.duration).as_secs_f64();
        let rate = |count: u64| count as f64 / elapsed_s;
        let actions: Vec<ActionResult> = record
            .latencies
            .iter()
            .map(|(action, latencies)| ActionResult {
                action: *action,
                throughput: rate(latencies.0.len()),
                latency: Distribution::of(latencies),
            })
            .collect();
        let operations = actions.iter().map(|action| action.latency.count).sum();
        let failures = record
            .failures
            .iter()
            .map(|(kind, (count, example))| FailureCount {
                kind: *kind,
                count: *count,
                example: example.clone(),
            });
        let timeline = record.timeline.iter().map(|(at, latencies)| Window {
            at_s: *at as f64 * window.as_secs_f64(),
            operations: latencies.0.len(),
            p50_us: latencies.0.value_at_quantile(0.5),
            p99_us: latencies.0.value_at_quantile(0.99),
        });
        Self {
            name,
            plan,
            elapsed_s,
            operations,
            throughput: rate(operations),
            failed: record.failures.values().map(|(count, _)| count).sum(),
            failures: failures.collect(),
            unsent,
            missing: record.missing,
            read_first: record.read_first,
            values_max: record.values_max,
            lag: Distribution::of(&record.lag),
            actions,
            window_s: window.as_secs_f64(),
            timeline: timeline.collect(),
            cpu: None,
        }
    }

    /// The latencies of an action, if it was done at all.
    pub fn of(&self, action: Action) -> Option<&ActionResult> {
        self.actions.iter().find(|result| result.action == action)
    }
}

impl Distribution {
    fn of(latencies: &Latencies) -> Self {
        let histogram = &latencies.0;
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| histogram.value_at_quantile(quantile);
        let curve = histogram.iter_quantiles(CURVE_TICKS);
        Self {
            count: histogram.len(),
            mean_us: histogram.mean(),
            min_us: histogram.min(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            p99_99_us: at(0.9999),
            max_us: histogram.max(),
            curve: curve
                .map(|step| (step.quantile_iterated_to(), step.value_iterated_to()))
                .collect(),
        }
    }
}

/// Points of a curve each time that the distance to 1 halves.
const CURVE_TICKS: u32 = 5;
