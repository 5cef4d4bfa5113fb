//! The context in a header: what the client has seen of a key.

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;

use crate::problem::Problem;

/// The header of a context. Opaque text: send that of the last answer for a key with the next write to it.
pub const CONTEXT_HEADER: &str = "dynamokv-context";

/// The context that a request carries; empty if it carries none.
pub(crate) fn of_request(headers: &HeaderMap) -> Result<Bytes, Problem> {
    let Some(text) = headers.get(CONTEXT_HEADER) else {
        return Ok(Bytes::new());
    };
    let bytes = BASE64.decode(text.as_bytes());
    let bytes = bytes.map_err(|error| {
        Problem::bad_request(format!(
            "{CONTEXT_HEADER}: {error}; send that of an earlier answer as it was"
        ))
    })?;
    Ok(bytes.into())
}

pub(crate) fn text(context: &[u8]) -> String {
    BASE64.encode(context)
}

/// Marks an answer with its context.
pub(crate) fn mark(headers: &mut HeaderMap, context: &[u8]) {
    // The alphabet has nothing that a header cannot.
    if let Ok(value) = HeaderValue::from_str(&text(context)) {
        headers.insert(CONTEXT_HEADER, value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_marked_is_read_back(context in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut headers = HeaderMap::new();
            mark(&mut headers, &context);
            prop_assert_eq!(of_request(&headers).unwrap(), context);
        }
    }

    #[test]
    fn what_is_no_context_names_its_header() {
        let headers = HeaderMap::from_iter([(
            CONTEXT_HEADER.parse().unwrap(),
            HeaderValue::from_static("a b"),
        )]);
        let problem = of_request(&headers).unwrap_err();
        assert!(format!("{problem:?}").contains(CONTEXT_HEADER));
    }
}
