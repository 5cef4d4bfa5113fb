//! What a node tells Prometheus. Nothing is kept twice: what the parts count already is read when a scrape asks for it.

mod catalogue;
mod cluster;
mod page;
mod requests;
mod storage;

use std::fmt;
use std::sync::Arc;

use dynamokv_rpc::{Health, Load, Usage};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

pub(crate) use self::requests::{Operation, Requests};

use self::catalogue as metric;
use self::page::Page;
use crate::service::Service;
use crate::transport::Transport;

/// What a scrape reads.
pub(crate) struct Scrape<T> {
    pub(crate) service: Arc<Service<T>>,
    pub(crate) load: Load,
    pub(crate) health: Health,
}

/// The metrics as OpenMetrics text. O(members + partitions + hints); reads the hint log.
///
/// # Errors
/// A metric that the format cannot express.
pub(crate) fn text<T: Transport>(scrape: Scrape<T>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

impl<T: Transport> Collector for Scrape<T> {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page(encoder);
        self.node(&mut page)?;
        self.requests(&mut page)?;
        self.load(&mut page)?;
        cluster::write(&mut page, &self.service)?;
        storage::write(&mut page, &self.service.core.store)
    }
}

impl<T: Transport> Scrape<T> {
    fn node(&self, page: &mut Page<'_>) -> fmt::Result {
        let (config, me) = (&self.service.config, self.service.core.me.to_string());
        let labels = [
            ("node", me.as_str()),
            ("name", &config.name),
            ("cluster", &config.cluster),
            ("version", env!("CARGO_PKG_VERSION")),
        ];
        page.gauges(&metric::BUILD, [(labels, 1.0)])?;
        page.gauge(
            &metric::UPTIME,
            self.service.started.elapsed().as_secs_f64(),
        )?;
        page.gauge(&metric::READY, u32::from(self.health.is_ready()))
    }

    fn requests(&self, page: &mut Page<'_>) -> fmt::Result {
        let requests = &self.service.requests;
        let outcomes = requests.outcomes().map(|(operation, outcome, count)| {
            ([("operation", operation), ("outcome", outcome)], count)
        });
        page.counters(&metric::REQUESTS, outcomes)?;
        let seconds = requests.seconds();
        let seconds = seconds.map(|(operation, seconds)| ([("operation", operation)], seconds));
        page.histograms(&metric::REQUEST_SECONDS, seconds)?;
        let failures = requests.failures().map(|(operation, reason, count)| {
            ([("operation", operation), ("reason", reason)], count)
        });
        page.counters(&metric::QUORUM_FAILURES, failures)?;
        let missing = requests
            .missing()
            .map(|(why, count)| ([("why", why)], count));
        page.counters(&metric::QUORUM_MISSING, missing)?;
        page.histogram(&metric::READ_SIBLINGS, requests.siblings())?;
        let operations = self.service.core.coordinator.drain().len();
        page.gauge(&metric::OPERATIONS, operations)
    }

    fn load(&self, page: &mut Page<'_>) -> fmt::Result {
        let gates = [
            ("client", self.load.client_requests()),
            ("peer", self.load.peer_requests()),
        ];
        let each = |of: fn(&Usage) -> f64| {
            gates
                .iter()
                .map(move |(of_whom, usage)| ([("of", *of_whom)], of(usage)))
        };
        page.gauges(&metric::IN_FLIGHT, each(|usage| usage.in_use as f64))?;
        page.gauges(&metric::IN_FLIGHT_MAX, each(|usage| usage.max as f64))?;
        let refused = gates
            .iter()
            .map(|(of, usage)| ([("of", *of)], usage.refused));
        page.counters(&metric::REFUSED, refused)?;
        let connections = self.load.connections();
        page.gauge(&metric::CONNECTIONS, connections.in_use)?;
        page.gauge(&metric::CONNECTIONS_MAX, connections.max)?;
        page.counter(&metric::CONNECTIONS_REFUSED, connections.refused)
    }
}

impl<T> fmt::Debug for Scrape<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}
