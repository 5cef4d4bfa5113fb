//! Names each request, as gRPC calls are named.

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use dynamokv_rpc::{REQUEST_ID_HEADER, RequestIds, request_id};
use tracing::Instrument;

pub(crate) type Names = RequestIds;

/// Serves the request under its name, or under one that is drawn, and tells it in the answer.
pub(crate) async fn name(State(names): State<Names>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers()).unwrap_or_else(|| names.draw());
    let span = tracing::error_span!("request", %id);
    let path = request.uri().path();
    tracing::debug!(parent: &span, method = %request.method(), path, "taken");
    let header = HeaderValue::from_str(id.as_str());
    let mut response = id.scope(next.run(request)).instrument(span).await;
    if let Ok(header) = header {
        response.headers_mut().insert(REQUEST_ID_HEADER, header);
    }
    response
}
