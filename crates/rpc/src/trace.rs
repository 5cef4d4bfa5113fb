//! The name of a request on its way: in the metadata of a call, under the name that HTTP front ends use as well.

use dynamokv_coordinator::RequestId;
use tonic::codegen::http::HeaderMap;
use tonic::metadata::MetadataMap;

/// The header, of HTTP or gRPC, that names a request. Whoever sends none gets one drawn by the first node.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// Names the request that the running task serves, if it serves one.
pub(crate) fn mark(metadata: &mut MetadataMap) {
    let id = RequestId::current().and_then(|id| id.as_str().parse().ok());
    if let Some(id) = id {
        metadata.insert(REQUEST_ID_HEADER, id);
    }
}

/// The name that came with a call; `None` if there is none, or none that could be used.
pub(crate) fn of_call(headers: &HeaderMap) -> Option<RequestId> {
    let text = headers.get(REQUEST_ID_HEADER)?.to_str().ok()?;
    RequestId::parse(text)
}
