//! The name of a request on its way: in the metadata of a call, under the name that HTTP front ends use as well.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dynamokv_coordinator::RequestId;
use tonic::codegen::http::HeaderMap;
use tonic::metadata::MetadataMap;

/// The header, of HTTP or gRPC, that names a request. Whoever sends none gets one drawn by the first node.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// Names a call after the request that the running task serves, if it serves one.
pub fn name_call(metadata: &mut MetadataMap) {
    let id = RequestId::current().and_then(|id| id.as_str().parse().ok());
    if let Some(id) = id {
        metadata.insert(REQUEST_ID_HEADER, id);
    }
}

/// The name that came with a request; `None` if there is none, or none that could be used.
pub fn request_id(headers: &HeaderMap) -> Option<RequestId> {
    let text = headers.get(REQUEST_ID_HEADER)?.to_str().ok()?;
    RequestId::parse(text)
}

/// Names for requests that come without one: a count, mixed with what was drawn at first. Cheap to clone; no clone repeats another's
/// names.
#[derive(Debug, Clone, Default)]
pub struct RequestIds {
    drawn: RandomState,
    count: Arc<AtomicU64>,
}

impl RequestIds {
    /// A name that was not drawn before.
    pub fn draw(&self) -> RequestId {
        let count = self.count.fetch_add(1, Relaxed);
        RequestId::from_random(self.drawn.hash_one(count))
    }
}
