//! Whether the node takes requests, as gRPC's health protocol tells it.

use std::sync::Arc;

use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// Says whether the node takes requests. Cheap to clone; all clones are one switch.
#[derive(Debug, Clone)]
pub struct Health {
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    ready: bool,
    /// Final: a stopping server is not ready again, whoever says so.
    stopping: bool,
}

impl State {
    fn is_serving(self) -> bool {
        self.ready && !self.stopping
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: Arc::new(watch::Sender::new(State::default())),
        }
    }
}

impl Health {
    /// SERVING from now on, or NOT_SERVING. A server that was asked to stop says NOT_SERVING in any case.
    pub fn set_ready(&self, ready: bool) {
        self.state.send_modify(|state| state.ready = ready);
    }

    /// Whether it says SERVING.
    pub fn is_ready(&self) -> bool {
        self.state.borrow().is_serving()
    }

    pub(super) fn stop(&self) {
        self.state.send_modify(|state| state.stopping = true);
    }

    pub(super) fn service(
        &self,
        services: Vec<&'static str>,
    ) -> (Follower, HealthServer<HealthService>) {
        let reporter = HealthReporter::new();
        let service = HealthService::from_health_reporter(reporter.clone());
        let follower = Follower {
            state: self.state.subscribe(),
            reporter,
            services,
        };
        (follower, HealthServer::new(service))
    }
}

/// Carries the switch over to the health service.
pub(super) struct Follower {
    state: watch::Receiver<State>,
    reporter: HealthReporter,
    services: Vec<&'static str>,
}

impl Follower {
    /// Sets what was never asked for yet, so that nobody is told SERVING too early.
    pub(super) async fn report(&mut self) {
        let status = if self.state.borrow_and_update().is_serving() {
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
        while self.state.changed().await.is_ok() {
            self.report().await;
        }
    }
}

/// The health protocol's name for the server as a whole.
const WHOLE_SERVER: &str = "";
