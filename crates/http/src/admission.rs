//! A bound on the requests under way, checked before a body is read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use crate::problem::Problem;

#[derive(Clone)]
pub(crate) struct Admission {
    max: usize,
    places: Arc<Semaphore>,
}

impl Admission {
    pub(crate) fn new(max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self {
            max,
            places: Arc::new(Semaphore::new(max)),
        }
    }
}

pub(crate) async fn admit(
    State(admission): State<Admission>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(_place) = admission.places.try_acquire() else {
        let max = admission.max;
        let detail = format!(
            "overloaded: {max} requests are under way here; nothing was done, back off and retry"
        );
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).into_response();
    };
    next.run(request).await
}
