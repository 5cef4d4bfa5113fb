//! Two results side by side.

use serde::Serialize;

use crate::mix::Action;
use crate::results::{Results, RunResult};

/// One action of one run, before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The run.
    pub run: String,
    /// The action.
    pub action: Action,
    /// Throughput.
    pub throughput: Ratio,
    /// The median of the latency in microseconds.
    pub p50_us: Ratio,
    /// Its 99th percentile.
    pub p99_us: Ratio,
    /// Its 99.9th percentile.
    pub p99_9_us: Ratio,
}

/// A figure before and after.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio {
    /// In the results that are compared with.
    pub before: f64,
    /// In the new ones.
    pub after: f64,
    /// After / before; unset if that was 0.
    pub ratio: Option<f64>,
}

impl Ratio {
    fn new(before: f64, after: f64) -> Self {
        Self {
            before,
            after,
            ratio: (before > 0.0).then(|| after / before),
        }
    }
}

/// What both results have: runs by name, actions by kind, in the order of `after`.
pub fn compare(before: &Results, after: &Results) -> Vec<Difference> {
    let pairs = after
        .runs
        .iter()
        .filter_map(|run| Some((before.run(&run.name)?, run)));
    pairs
        .flat_map(|(before, after)| of_run(before, after))
        .collect()
}

fn of_run(before: &RunResult, after: &RunResult) -> Vec<Difference> {
    let pairs = after
        .actions
        .iter()
        .filter_map(|action| Some((before.of(action.action)?, action)));
    let difference = pairs.map(|(old, new)| {
        let us = |old: u64, new: u64| Ratio::new(old as f64, new as f64);
        let (was, is) = (&old.latency, &new.latency);
        Difference {
            run: after.name.clone(),
            action: new.action,
            throughput: Ratio::new(old.throughput, new.throughput),
            p50_us: us(was.p50_us, is.p50_us),
            p99_us: us(was.p99_us, is.p99_us),
            p99_9_us: us(was.p99_9_us, is.p99_9_us),
        }
    });
    difference.collect()
}
