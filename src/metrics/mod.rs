//! What a node tells operators' tools. Nothing is kept twice: what the parts count already is read when a scrape asks for it.

mod catalogue;
mod cluster;
mod requests;
mod storage;

use std::fmt;
use std::sync::Arc;

use dynamokv_http::{Page, Watched};
use dynamokv_rpc::{Health, Load, Usage};

pub(crate) use self::requests::{Operation, Requests};

use self::catalogue as metric;
use crate::service::Service;
use crate::transport::Transport;

/// What a scrape reads.
pub(crate) struct Scrape<T> {
    pub(crate) service: Arc<Service<T>>,
    pub(crate) load: Load,
    pub(crate) health: Health,
}

impl<T: Transport> Watched for Scrape<T> {
    async fn ready(&self) -> Result<(), String> {
        if self.health.is_ready() {
            Ok(())
        } else {
            Err("not a member of the ring yet, or stopping".to_owned())
        }
    }

    /// O(members + partitions + hints); reads the hint log.
    fn metrics(&self, page: &mut Page<'_>) -> fmt::Result {
        self.node(page)?;
        self.service.requests.write(page)?;
        let operations = self.service.core.coordinator.drain().len();
        page.gauge(&metric::OPERATIONS, operations)?;
        self.load(page)?;
        cluster::write(page, &self.service)?;
        storage::write(page, &self.service.core.store)
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

impl<T> Clone for Scrape<T> {
    fn clone(&self) -> Self {
        Self {
            service: Arc::clone(&self.service),
            load: self.load.clone(),
            health: self.health.clone(),
        }
    }
}
