//! Reading, writing and deleting one key.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dynamokv_rpc::pb;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::accept::preferred;
use crate::api::Shared;
use crate::context;
use crate::path::Named;
use crate::problem::Problem;
use crate::siblings::{self, Siblings, content_type};

/// Any bytes.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code)] // Says what a body is; bodies themselves are not made of it.
struct Binary(Vec<u8>);

/// Whose answers count.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// A copy on a node that stands in for a replica counts.
    #[default]
    Sloppy,
    /// The key's own replicas alone.
    Strict,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReadOptions {
    /// Replicas that must answer, 1 to N; left out: the nodes' default.
    #[param(minimum = 1, maximum = 16)]
    r: Option<u32>,
    /// Whose answers count.
    #[serde(default)]
    #[param(inline)]
    mode: Mode,
    /// Milliseconds to wait at most; left out: the nodes' default.
    #[param(minimum = 1, maximum = 60_000)]
    timeout_ms: Option<u32>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WriteOptions {
    /// Replicas that must have a durable copy, 1 to N; left out: the nodes' default.
    #[param(minimum = 1, maximum = 16)]
    w: Option<u32>,
    /// Whose copies count.
    #[serde(default)]
    #[param(inline)]
    mode: Mode,
    /// Milliseconds to wait at most; left out: the nodes' default.
    #[param(minimum = 1, maximum = 60_000)]
    timeout_ms: Option<u32>,
}

/// Read a key.
///
/// The answer has the context that the next write of the key needs. `HEAD` tells the same without the body.
#[utoipa::path(
    get,
    path = "/v1/keyspaces/{keyspace}/keys/{key}",
    tag = "keys",
    params(
        ("keyspace" = String, Path, description = "The keyspace; `default` is that of whoever names none", pattern = "^[a-z0-9_-]{1,64}$"),
        ("key" = String, Path, description = "The key: 1 to 65,536 bytes, percent-encoded; a slash is `%2F`", min_length = 1),
        ReadOptions,
    ),
    responses(
        (status = 200, description = "The value, as it was written, under its media type", body = Binary, content_type = "*/*",
            headers(("dynamokv-context" = String, description = "Send it with the next write of the key"))),
        (status = 300, description = "Several concurrent values: merge them, and write the result with the context",
            content((Siblings = "application/json"), (Binary = "multipart/mixed")),
            headers(("dynamokv-context" = String, description = "Send it with the next write of the key"))),
        (status = 400, description = "A field is wrong; it is named", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no value", body = Problem, content_type = "application/problem+json",
            headers(("dynamokv-context" = String, description = "What was seen of the key"))),
        (status = 406, description = "Several values, and `Accept` takes neither `multipart/mixed` nor `application/json`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too much is under way; back off", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "A node failed in itself", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too few replicas answered; retry later, or with a smaller r", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "No answer in time", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_key(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    options: Result<Query<ReadOptions>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let options = query(options)?;
    let Named { keyspace, key } = Named::of(&uri)?;
    let request = pb::GetRequest {
        keyspace,
        key,
        r: options.r,
        mode: options.mode.into(),
        timeout_ms: timeout_ms(options.timeout_ms)?,
    };
    let mut reply = shared.store.get(request).await?;
    match reply.values.len() {
        0 => {
            let problem = Problem::new(StatusCode::NOT_FOUND, "the key has no value");
            let mut response = problem.into_response();
            context::mark(response.headers_mut(), &reply.context);
            Ok(response)
        }
        1 => Ok(one(reply.values.swap_remove(0), &reply.context)),
        _ => {
            let accept = headers.get("accept").map(HeaderValue::to_str);
            let accept = accept.and_then(Result::ok);
            let form = preferred(accept).ok_or_else(|| {
                Problem::new(
                    StatusCode::NOT_ACCEPTABLE,
                    "accept: there are several values, told as multipart/mixed or application/json",
                )
            })?;
            Ok(siblings::answer(form, reply))
        }
    }
}

/// Write a key.
///
/// The value replaces what the context has seen, and is concurrent with the rest: without a context, with everything.
#[utoipa::path(
    put,
    path = "/v1/keyspaces/{keyspace}/keys/{key}",
    tag = "keys",
    params(
        ("keyspace" = String, Path, description = "The keyspace; `default` is that of whoever names none", pattern = "^[a-z0-9_-]{1,64}$"),
        ("key" = String, Path, description = "The key: 1 to 65,536 bytes, percent-encoded; a slash is `%2F`", min_length = 1),
        WriteOptions,
        ("dynamokv-context" = Option<String>, Header, description = "The context of the last answer for this key; opaque", pattern = "^[A-Za-z0-9_-]*$"),
        ("idempotency-key" = Option<String>, Header, description = "Drawn anew for each write: the write may then be sent again", min_length = 1, max_length = 64),
    ),
    request_body(content = Binary, content_type = "*/*", description = "The value, kept with its media type"),
    responses(
        (status = 204, description = "Written", headers(("dynamokv-context" = String, description = "That of the request and this write"))),
        (status = 400, description = "A field is wrong; it is named", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not come in time", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The key has too many siblings: read, merge, and write with the context of the read", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The value is too large", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too much is under way, or no room is left on the disks; back off", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "A node failed in itself; the outcome is unknown", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too few replicas can be reached; nothing was written", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "The outcome is unknown: read before writing again", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn put_key(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    options: Result<Query<WriteOptions>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let options = query(options)?;
    let Named { keyspace, key } = Named::of(&uri)?;
    let content_type = headers.get(CONTENT_TYPE).map(|value| {
        let text = value.to_str();
        text.map_err(|_| Problem::bad_request("content-type: not visible ASCII"))
    });
    let request = pb::PutRequest {
        keyspace,
        key,
        content_type: content_type.transpose()?.map(str::to_owned),
        context: context::of_request(&headers)?,
        w: options.w,
        mode: options.mode.into(),
        timeout_ms: timeout_ms(options.timeout_ms)?,
        return_values: false,
        idempotency_key: idempotency_key(&headers)?,
        value: value(body, shared.limits.value_bytes_max).await?,
    };
    let reply = shared.store.put(request).await?;
    Ok(written(&reply.context))
}

/// Delete a key.
///
/// Deletes what the context has seen; what it has not seen stays.
#[utoipa::path(
    delete,
    path = "/v1/keyspaces/{keyspace}/keys/{key}",
    tag = "keys",
    params(
        ("keyspace" = String, Path, description = "The keyspace; `default` is that of whoever names none", pattern = "^[a-z0-9_-]{1,64}$"),
        ("key" = String, Path, description = "The key: 1 to 65,536 bytes, percent-encoded; a slash is `%2F`", min_length = 1),
        WriteOptions,
        ("dynamokv-context" = String, Header, description = "The context of the last answer for this key; opaque", min_length = 1, pattern = "^[A-Za-z0-9_-]+$"),
        ("idempotency-key" = Option<String>, Header, description = "Drawn anew for each delete: it may then be sent again", min_length = 1, max_length = 64),
    ),
    responses(
        (status = 204, description = "Deleted", headers(("dynamokv-context" = String, description = "That of the request and this delete"))),
        (status = 400, description = "A field is wrong; it is named", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The state of the key does not allow it", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "There is no context: read the key first", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too much is under way; back off", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "A node failed in itself; the outcome is unknown", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too few replicas can be reached; nothing was deleted", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "The outcome is unknown: read before deleting again", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete_key(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    options: Result<Query<WriteOptions>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let options = query(options)?;
    let Named { keyspace, key } = Named::of(&uri)?;
    let context = context::of_request(&headers)?;
    if context.is_empty() {
        let detail = "dynamokv-context: a delete needs the context of a read, so that nothing unseen is deleted";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, detail));
    }
    let request = pb::DeleteRequest {
        keyspace,
        key,
        context,
        w: options.w,
        mode: options.mode.into(),
        timeout_ms: timeout_ms(options.timeout_ms)?,
        idempotency_key: idempotency_key(&headers)?,
    };
    let reply = shared.store.delete(request).await?;
    Ok(written(&reply.context))
}

fn one(value: pb::Value, context: &[u8]) -> Response {
    let media_type = HeaderValue::from_str(content_type(&value)).ok();
    let mut response = Body::from(value.value).into_response();
    let headers = response.headers_mut();
    if let Some(media_type) = media_type {
        headers.insert(CONTENT_TYPE, media_type);
    }
    // What one client wrote is not for another's browser to guess at.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    context::mark(headers, context);
    response
}

fn written(context: &[u8]) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    context::mark(response.headers_mut(), context);
    response
}

async fn value(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, bytes_max)).await;
    let read = read.map_err(|_| {
        let detail = format!("body: not complete within {BODY_TIMEOUT:?}");
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
    })?;
    read.map_err(|error| {
        let mut causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| {
            error.source()
        });
        if causes.any(|cause| cause.to_string().contains("length limit")) {
            let detail = format!("body: more than the {bytes_max} bytes that a value may have");
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail);
        }
        Problem::bad_request(format!("body: {error}"))
    })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Bytes, Problem> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(Bytes::new());
    };
    if key.is_empty() {
        return Err(Problem::bad_request("idempotency-key: empty"));
    }
    Ok(Bytes::copy_from_slice(key.as_bytes()))
}

pub(crate) fn query<T>(options: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    match options {
        Ok(Query(options)) => Ok(options),
        Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
    }
}

/// A node has the same bounds; a gateway must not wait for what no node would take.
fn timeout_ms(asked: Option<u32>) -> Result<Option<u32>, Problem> {
    match asked {
        Some(ms) if !(1..=TIMEOUT_MS_MAX).contains(&ms) => Err(Problem::bad_request(format!(
            "timeout_ms: {ms}, but must be 1..={TIMEOUT_MS_MAX}"
        ))),
        asked => Ok(asked),
    }
}

impl From<Mode> for i32 {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Sloppy => pb::QuorumMode::Sloppy.into(),
            Mode::Strict => pb::QuorumMode::Strict.into(),
        }
    }
}

const TIMEOUT_MS_MAX: u32 = 60_000;
/// So that nobody holds a place for longer than any request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
