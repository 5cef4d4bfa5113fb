//! Failures as answers: the form of RFC 9457, with what is known of the effect.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use dynamokv_rpc::pb;
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request was not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The status code.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// The status in words.
    title: String,
    /// What happened, and what to do.
    detail: String,
    /// What is known of the effect.
    outcome: Outcome,
}

/// What is known of the effect of a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Nothing was done, and nothing will be.
    NotApplied,
    /// A write may have been applied, or will be: read before writing again.
    Unknown,
}

impl Problem {
    /// Nothing was done.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Failure").to_owned(),
            detail: detail.into(),
            outcome: Outcome::NotApplied,
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }
}

impl From<pb::Failure> for Problem {
    fn from(failure: pb::Failure) -> Self {
        use pb::ErrorKind as Kind;
        let kind = failure.kind();
        let status = match kind {
            Kind::Invalid => StatusCode::BAD_REQUEST,
            Kind::Precondition => StatusCode::CONFLICT,
            Kind::NotApplied => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Unknown => StatusCode::GATEWAY_TIMEOUT,
            Kind::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let outcome = match kind {
            Kind::Invalid | Kind::Precondition | Kind::NotApplied | Kind::Overloaded => {
                Outcome::NotApplied
            }
            _ => Outcome::Unknown,
        };
        Self {
            outcome,
            ..Self::new(status, failure.message)
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response =
            (status, [(CONTENT_TYPE, "application/problem+json")], body).into_response();
        let again = [
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        if again.contains(&status) {
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_it_means() {
        use pb::ErrorKind as Kind;
        let table = [
            (Kind::Invalid, 400, Outcome::NotApplied),
            (Kind::Precondition, 409, Outcome::NotApplied),
            (Kind::NotApplied, 503, Outcome::NotApplied),
            (Kind::Unknown, 504, Outcome::Unknown),
            (Kind::Overloaded, 429, Outcome::NotApplied),
            (Kind::Damaged, 500, Outcome::Unknown),
            (Kind::Internal, 500, Outcome::Unknown),
        ];
        for (kind, status, outcome) in table {
            let failure = pb::Failure {
                kind: kind.into(),
                ..pb::Failure::default()
            };
            let problem = Problem::from(failure);
            assert_eq!(
                (problem.status, problem.outcome),
                (status, outcome),
                "{kind:?}"
            );
        }
    }
}
