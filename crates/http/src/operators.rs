//! The port for operators' tools: whether the process lives, whether it takes requests, and its metrics.

use std::fmt;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::metrics::{self, Page};

/// What is watched: a node, or a gateway.
pub trait Watched: Clone + Send + Sync + 'static {
    /// Whether it takes requests; if not, why.
    fn ready(&self) -> impl Future<Output = Result<(), String>> + Send;

    /// Writes its metrics. May read from a disk.
    ///
    /// # Errors
    /// A metric that the format cannot express.
    fn metrics(&self, page: &mut Page<'_>) -> fmt::Result;
}

/// `/livez`, which answers as long as the process does, and `/readyz`.
pub fn probes(watched: impl Watched) -> Router {
    probes_of().with_state(watched)
}

/// Those of [`probes`], and `/metrics` in the text format of OpenMetrics.
pub fn operators<W: Watched>(watched: W) -> Router {
    probes_of::<W>()
        .route("/metrics", get(scrape::<W>))
        .with_state(watched)
}

fn probes_of<W: Watched>() -> Router<W> {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz::<W>))
}

async fn readyz<W: Watched>(State(watched): State<W>) -> (StatusCode, String) {
    match watched.ready().await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {why}\n"),
        ),
    }
}

async fn scrape<W: Watched>(State(watched): State<W>) -> Response {
    let write = move || metrics::text(move |page| watched.metrics(page));
    match tokio::task::spawn_blocking(write).await {
        Ok(Ok(page)) => ([(header::CONTENT_TYPE, OPENMETRICS)], page).into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
