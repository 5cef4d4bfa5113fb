//! Listing keys.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::Uri;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use dynamokv_rpc::pb;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::Shared;
use crate::key::query;
use crate::path::{self, keyspace};
use crate::problem::Problem;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListOptions {
    /// Only keys that begin so: any bytes, percent-encoded. All keys are looked at nevertheless.
    prefix: Option<String>,
    /// At most so many keys; left out: 1,000.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
    /// The `next` of the page before; left out or empty: from the beginning.
    #[param(pattern = "^[A-Za-z0-9_-]*$")]
    after: Option<String>,
}

/// A page of keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page {
    /// Keys in no order that means anything, each percent-encoded as it stands in a path. There may be none, and still more pages.
    keys: Vec<String>,
    /// Where the next page begins, for `after`; absent at the end. Opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// List keys.
///
/// Each key comes once in all pages together, deleted ones do not. What is written or deleted in the meantime may be listed or not.
#[utoipa::path(
    get,
    path = "/v1/keyspaces/{keyspace}/keys",
    tag = "keys",
    params(
        ("keyspace" = String, Path, description = "The keyspace; `default` is that of whoever names none", pattern = "^[a-z0-9_-]{1,64}$"),
        ListOptions,
    ),
    responses(
        (status = 200, description = "A page of keys", body = Page),
        (status = 400, description = "A field is wrong; it is named", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too much is under way; back off", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "A node failed in itself", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too few replicas of some keys answered; retry later", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "No answer in time", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_keys(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    options: Result<Query<ListOptions>, QueryRejection>,
) -> Result<Json<Page>, Problem> {
    let options = query(options)?;
    let limit = options.limit.unwrap_or(LIMIT_MAX);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let detail = format!("limit: {limit}, but must be 1..={LIMIT_MAX}");
        return Err(Problem::bad_request(detail));
    }
    let request = pb::ListKeysRequest {
        keyspace: keyspace(&uri)?,
        cursor: cursor(options.after.as_deref().unwrap_or_default())?,
        limit: Some(limit),
        prefix: match options.prefix {
            Some(_) => path::query_bytes(&uri, "prefix"),
            None => Bytes::new(),
        },
    };
    let page = shared.store.list_keys(request).await?;
    Ok(Json(Page {
        keys: page.keys.iter().map(|key| path::encoded(key)).collect(),
        next: (!page.cursor.is_empty()).then(|| BASE64.encode(&page.cursor)),
    }))
}

fn cursor(after: &str) -> Result<Bytes, Problem> {
    let bytes = BASE64.decode(after).map_err(|error| {
        Problem::bad_request(format!(
            "after: {error}; send the `next` of a page as it was"
        ))
    })?;
    Ok(bytes.into())
}

const LIMIT_MAX: u32 = 1_000;
