//! Whether the node takes requests, as gRPC's health protocol tells it.

use std::sync::Arc;

use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// Says whether the node takes requests. Cheap to clone; all clones are one switch.
#[derive(Debug, Clone)]
pub struct Health {
    ready: Arc<watch::Sender<bool>>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            ready: Arc::new(watch::Sender::new(false)),
        }
    }
}

impl Health {
    /// SERVING from now on, or NOT_SERVING.
    pub fn set_ready(&self, ready: bool) {
        self.ready.send_replace(ready);
    }

    /// Whether it says SERVING.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    pub(super) fn service(
        &self,
        services: Vec<&'static str>,
    ) -> (Follower, HealthServer<HealthService>) {
        let reporter = HealthReporter::new();
        let service = HealthService::from_health_reporter(reporter.clone());
        let follower = Follower {
            ready: self.ready.subscribe(),
            reporter,
            services,
        };
        (follower, HealthServer::new(service))
    }
}

/// Carries the switch over to the health service.
pub(super) struct Follower {
    ready: watch::Receiver<bool>,
    reporter: HealthReporter,
    services: Vec<&'static str>,
}

impl Follower {
    /// Sets what was never asked for yet, so that nobody is told SERVING too early.
    pub(super) async fn report(&mut self) {
        let status = if *self.ready.borrow_and_update() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in self.services.iter().chain(&[WHOLE_SERVER]) {
            self.reporter.set_service_status(service, status).await;
        }
    }

    /// Never ends while the switch exists.
    pub(super) async fn follow(mut self) {
        while self.ready.changed().await.is_ok() {
            self.report().await;
        }
    }
}

/// The health protocol's name for the server as a whole.
const WHOLE_SERVER: &str = "";
