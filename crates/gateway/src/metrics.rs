//! What a gateway tells operators' tools.

use std::fmt;
use std::time::Duration;

use dynamokv_client::Stats;
use dynamokv_http::{Metric, Page, Requests, Watched};
use dynamokv_rpc::pb;
use prometheus_client::metrics::MetricType;
use tokio::time::Instant;

use crate::upstream::Upstream;

/// What clients ask of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    Put,
    Delete,
    ListKeys,
}

/// In the order of [`Operation`].
const OPERATIONS: [&str; 4] = ["get", "put", "delete", "list_keys"];

/// The counts of one gateway.
#[derive(Debug)]
pub(crate) struct Counts {
    started: Instant,
    requests: Requests<{ OPERATIONS.len() }>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            requests: Requests::new(OPERATIONS),
        }
    }
}

impl Counts {
    /// Waits for the answer and takes note of it.
    pub(crate) async fn counted<M>(
        &self,
        operation: Operation,
        answer: impl Future<Output = Result<M, pb::Failure>>,
    ) -> Result<M, pb::Failure> {
        let begun = Instant::now();
        let answer = answer.await;
        let failed = answer.as_ref().err().map(pb::Failure::kind);
        self.requests
            .note(operation as usize, failed, begun.elapsed());
        answer
    }
}

/// A gateway as operators' tools see it.
impl Watched for Upstream {
    async fn ready(&self) -> Result<(), String> {
        let answered = tokio::time::timeout(PATIENCE, self.ping()).await;
        answered.unwrap_or_else(|_| Err(format!("no node answers within {PATIENCE:?}")))
    }

    fn metrics(&self, page: &mut Page<'_>) -> fmt::Result {
        let labels = [("version", env!("CARGO_PKG_VERSION"))];
        page.gauges(&BUILD, [(labels, 1.0)])?;
        page.gauge(&UPTIME, self.counts().started.elapsed().as_secs_f64())?;
        let Stats {
            retries,
            hedges,
            nodes,
            nodes_avoided,
            ..
        } = self.stats();
        page.gauge(&NODES, nodes)?;
        page.gauge(&NODES_AVOIDED, nodes_avoided)?;
        self.counts()
            .requests
            .write(page, &REQUESTS, &REQUEST_SECONDS)?;
        page.counter(&RETRIES, retries)?;
        page.counter(&HEDGES, hedges)
    }
}

const fn metric(name: &'static str, kind: MetricType, help: &'static str) -> Metric {
    Metric { name, kind, help }
}

const BUILD: Metric = metric(
    "dynamokv_gateway_build",
    MetricType::Gauge,
    "1; the label says which release this gateway runs",
);
const UPTIME: Metric = metric(
    "dynamokv_gateway_uptime_seconds",
    MetricType::Gauge,
    "Seconds since the start of the gateway",
);
const NODES: Metric = metric(
    "dynamokv_gateway_nodes",
    MetricType::Gauge,
    "Members of the cluster that the gateway knows; 0 until it has found the cluster",
);
const NODES_AVOIDED: Metric = metric(
    "dynamokv_gateway_nodes_avoided",
    MetricType::Gauge,
    "Those of them that did not answer of late: they are asked when nobody else is left",
);
const REQUESTS: Metric = metric(
    "dynamokv_gateway_requests",
    MetricType::Counter,
    "Requests that the gateway passed on, by operation and outcome",
);
const REQUEST_SECONDS: Metric = metric(
    "dynamokv_gateway_request_duration_seconds",
    MetricType::Histogram,
    "Seconds from taking a request to its answer, all attempts together, by operation",
);
const RETRIES: Metric = metric(
    "dynamokv_gateway_retries",
    MetricType::Counter,
    "Requests that the gateway sent to a node again",
);
const HEDGES: Metric = metric(
    "dynamokv_gateway_hedges",
    MetricType::Counter,
    "Reads that the gateway sent to a further replica since the first was slow",
);

/// Of an orchestrator that asks whether the gateway is ready.
const PATIENCE: Duration = Duration::from_millis(800);
