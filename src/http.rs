//! The port for operators' tools: whether the node lives, whether it takes requests, and its metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use dynamokv_rpc::{Health, Load};

use crate::metrics::{self, Scrape};
use crate::service::Service;
use crate::transport::Transport;

struct Seen<T> {
    service: Arc<Service<T>>,
    load: Load,
    health: Health,
}

impl<T> Clone for Seen<T> {
    fn clone(&self) -> Self {
        Self {
            service: Arc::clone(&self.service),
            load: self.load.clone(),
            health: self.health.clone(),
        }
    }
}

/// The routes for operators' tools.
pub(crate) fn routes<T: Transport>(service: Arc<Service<T>>, load: Load, health: Health) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(Seen {
            service,
            load,
            health,
        })
}

async fn readyz<T: Transport>(State(seen): State<Seen<T>>) -> (StatusCode, &'static str) {
    if seen.health.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        let reason = "not ready: not a member of the ring yet, or stopping\n";
        (StatusCode::SERVICE_UNAVAILABLE, reason)
    }
}

async fn scrape<T: Transport>(State(seen): State<Seen<T>>) -> Response {
    let Seen {
        service,
        load,
        health,
    } = seen;
    let scrape = Scrape {
        service,
        load,
        health,
    };
    // Reads the hint log.
    let page = tokio::task::spawn_blocking(|| metrics::text(scrape)).await;
    match page {
        Ok(Ok(page)) => ([(header::CONTENT_TYPE, OPENMETRICS)], page).into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
