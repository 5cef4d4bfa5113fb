//! The routes over a small store, every answer checked against the description.
#![allow(clippy::unwrap_used)]

mod answers;
mod limits;
mod store;

use std::sync::OnceLock;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use dynamokv_http::{Limits, openapi, routes};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::Value as Json;
use tower_service::Service;

use self::store::Memory;

/// An answer.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn router() -> Router {
    routes(Memory::default(), Limits::default())
}

fn path(key: &[u8]) -> String {
    let key = percent_encode(key, NON_ALPHANUMERIC);
    format!("/v1/keyspaces/default/keys/{key}")
}

/// Sends a request. What it gets must be described.
async fn call(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.into())).unwrap();
    let response = router.clone().call(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert!(
        is_described(method, path, status),
        "{method} {path}: {status} is not described"
    );
    if status.is_client_error() || status.is_server_error() {
        assert_eq!(headers["content-type"], "application/problem+json");
        let problem: Json = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["status"], status.as_u16());
        assert_ne!(problem["detail"], "");
    }
    Answer {
        status: status.as_u16(),
        headers,
        body,
    }
}

/// The routes are the description's own; what they answer must be in it.
fn is_described(method: &str, path: &str, status: StatusCode) -> bool {
    static DESCRIPTION: OnceLock<Json> = OnceLock::new();
    let description = DESCRIPTION.get_or_init(|| serde_json::from_str(&openapi()).unwrap());
    if !path.starts_with("/v1/keyspaces/") || status == StatusCode::METHOD_NOT_ALLOWED {
        return true;
    }
    let of_keys = "/v1/keyspaces/{keyspace}/keys";
    let of_key = format!("{of_keys}/{{key}}");
    let route = match path.split('/').count() {
        5 => of_keys,
        _ => &of_key,
    };
    let operation = &description["paths"][route][method.to_lowercase()];
    operation["responses"].get(status.as_str()).is_some()
}
