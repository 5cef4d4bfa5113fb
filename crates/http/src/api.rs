//! The routes and their description.

use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, middleware};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes as described;

use crate::KeyValue;
use crate::admission::{self, Admission};
use crate::key::{__path_delete_key, __path_get_key, __path_put_key, delete_key, get_key, put_key};
use crate::keys::{__path_list_keys, list_keys};
use crate::named::{self, Names};
use crate::problem::Problem;

/// What a server of keys allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The greatest value that may be written, in bytes; the nodes' own limit counts besides.
    pub value_bytes_max: usize,
    /// Requests under way at once; one more is refused with 429 before its body is read.
    pub requests_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            value_bytes_max: 4 << 20,
            requests_max: 4_096,
        }
    }
}

pub(crate) struct Shared {
    pub(crate) store: Box<dyn KeyValue>,
    pub(crate) limits: Limits,
}

/// The routes of keys, answered by `store`, and `/openapi.json`, which describes them.
pub fn routes(store: impl KeyValue, limits: Limits) -> Router {
    let (router, openapi) = described_routes().split_for_parts();
    let description: Arc<str> = as_json(&openapi).into();
    let admission = Admission::new(limits.requests_max);
    let shared = Arc::new(Shared {
        store: Box::new(store),
        limits,
    });
    router
        .with_state(shared)
        .layer(middleware::from_fn_with_state(admission, admission::admit))
        .route(
            "/openapi.json",
            get(|| async move {
                (
                    [(CONTENT_TYPE, "application/json")],
                    description.to_string(),
                )
            }),
        )
        .fallback(nowhere)
        .method_not_allowed_fallback(not_so)
        .layer(middleware::from_fn_with_state(
            Names::default(),
            named::name,
        ))
}

/// The description of the routes, as `/openapi.json` tells it.
pub fn openapi() -> String {
    as_json(&described_routes().into_openapi())
}

fn described_routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::with_openapi(About::openapi())
        .routes(described!(get_key, put_key, delete_key))
        .routes(described!(list_keys))
}

fn as_json(openapi: &utoipa::openapi::OpenApi) -> String {
    // Made of strings, numbers and maps of them, which can be written.
    serde_json::to_string_pretty(openapi).unwrap_or_default()
}

async fn nowhere(uri: Uri) -> impl IntoResponse {
    let detail = format!("no such path: {}; see /openapi.json", uri.path());
    Problem::new(StatusCode::NOT_FOUND, detail)
}

async fn not_so(method: Method) -> impl IntoResponse {
    let detail = format!("{method} has no meaning here; see /openapi.json");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "DynamoKV",
        description = "Replicated keys over HTTP. Reads tell a context; a write that carries it replaces what was read, and one that does not is concurrent with it: then a read has several values."
    ),
    tags((name = "keys", description = "One key at a time, and lists of them"))
)]
struct About;
