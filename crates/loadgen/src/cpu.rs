//! CPU time over the measured time of a run.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::plan::Plan;
use crate::record::Progress;

/// Tells the CPU time that processes have used so far.
pub trait Meter: fmt::Debug + Send + Sync + 'static {
    /// None if one of them is gone.
    fn read(&self) -> Option<Reading>;
}

/// CPU time since the start of each process, of all its threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The processes that serve, always in the same order.
    pub servers: Vec<Duration>,
    /// The process that loads them.
    pub load_tool: Duration,
}

/// What a run cost in CPU time, from the end of the warm-up to the time at which the last action begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CpuUse {
    /// Seconds between the two readings.
    pub elapsed_s: f64,
    /// Actions that succeeded between them. They may have begun before the first, as others go on beyond the second.
    pub operations: u64,
    /// CPU seconds of each process that serves.
    pub servers_s: Vec<f64>,
    /// CPU seconds of the load tool.
    pub load_tool_s: f64,
    /// CPU milliseconds of all that serve, by operation; unset if there was none.
    pub servers_ms_per_operation: Option<f64>,
    /// CPU milliseconds of the load tool, by operation; unset if there was none.
    pub load_tool_ms_per_operation: Option<f64>,
}

/// One edge of the measured time.
struct Edge {
    at: Instant,
    done: u64,
    reading: Reading,
}

impl CpuUse {
    fn between(from: &Edge, to: &Edge) -> Self {
        let seconds =
            |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64();
        let operations = to.done.saturating_sub(from.done);
        let per_operation =
            |seconds: f64| (operations > 0).then(|| seconds * 1_000.0 / operations as f64);
        let pairs = from.reading.servers.iter().zip(&to.reading.servers);
        let servers_s: Vec<f64> = pairs
            .map(|(before, after)| seconds(*before, *after))
            .collect();
        let load_tool_s = seconds(from.reading.load_tool, to.reading.load_tool);
        Self {
            elapsed_s: to.at.duration_since(from.at).as_secs_f64(),
            operations,
            servers_ms_per_operation: per_operation(servers_s.iter().sum()),
            servers_s,
            load_tool_s,
            load_tool_ms_per_operation: per_operation(load_tool_s),
        }
    }
}

/// Drives a load that begins now, and reads the meter at both edges of its measured time; at its end if that comes first. None if it
/// ends during the warm-up, or a process is gone.
pub(crate) async fn metered<R>(
    meter: &dyn Meter,
    progress: &Progress,
    plan: &Plan,
    load: impl Future<Output = R>,
) -> (R, Option<CpuUse>) {
    let edge = || {
        let reading = meter.read()?;
        Some(Edge {
            at: Instant::now(),
            done: progress.done(),
            reading,
        })
    };
    let start = Instant::now();
    let mut load = pin!(load);
    if let Ok(ended) = timeout_at(start + plan.warm_up, &mut load).await {
        return (ended, None);
    }
    let from = edge();
    let ended = timeout_at(start + plan.end(), &mut load).await;
    let to = edge();
    let used = from.zip(to).map(|(from, to)| CpuUse::between(&from, &to));
    let result = match ended {
        Ok(result) => result,
        Err(_) => load.await,
    };
    (result, used)
}
