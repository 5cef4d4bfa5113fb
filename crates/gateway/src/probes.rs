//! What an orchestrator asks of a gateway.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use crate::upstream::Upstream;

pub(crate) fn routes(upstream: Upstream) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .with_state(upstream)
}

async fn readyz(State(upstream): State<Upstream>) -> (StatusCode, &'static str) {
    if upstream.is_connected() {
        (StatusCode::OK, "ready\n")
    } else {
        let reason = "not ready: the cluster is not found yet\n";
        (StatusCode::SERVICE_UNAVAILABLE, reason)
    }
}
