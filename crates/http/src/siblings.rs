//! Several values in one body.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use dynamokv_rpc::pb;
use serde::Serialize;
use utoipa::ToSchema;

use crate::accept::Form;
use crate::context;

/// The concurrent values of a key. Merge them, and write the result with the context.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Siblings {
    /// The values; at least two.
    values: Vec<Sibling>,
    /// What this read has seen, as in the header `dynamokv-context`.
    context: String,
}

/// One of several concurrent values.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sibling {
    /// The bytes written, in base64.
    #[schema(content_encoding = "base64")]
    value: String,
    /// Media type, if the writer gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    /// Milliseconds since the Unix epoch at which the write was coordinated.
    time_ms: u64,
    /// The name of the write, for people to read.
    clock: String,
}

/// 300, with all the values.
pub(crate) fn answer(form: Form, reply: pb::GetResponse) -> Response {
    let context = reply.context.clone();
    let (content_type, body) = match form {
        Form::Json => ("application/json".to_owned(), json(reply)),
        Form::Multipart => multipart(&reply.values),
    };
    let mut response = (StatusCode::MULTIPLE_CHOICES, body).into_response();
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::try_from(content_type) {
        headers.insert(CONTENT_TYPE, value);
    }
    context::mark(headers, &context);
    response
}

fn json(reply: pb::GetResponse) -> Vec<u8> {
    let sibling = |value: pb::Value| Sibling {
        value: BASE64.encode(&value.value),
        content_type: value.content_type,
        time_ms: value.time_ms,
        clock: value.clock,
    };
    let siblings = Siblings {
        context: context::text(&reply.context),
        values: reply.values.into_iter().map(sibling).collect(),
    };
    // Strings and numbers can be written.
    serde_json::to_vec(&siblings).unwrap_or_default()
}

/// The content type, which tells the boundary, and the body.
fn multipart(values: &[pb::Value]) -> (String, Vec<u8>) {
    let boundary = boundary(values);
    let mut body = Vec::new();
    for value in values {
        let content_type = content_type(value);
        let head = format!(
            "--{boundary}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\ndynamokv-time-ms: {}\r\ndynamokv-clock: {}\r\n\r\n",
            value.value.len(),
            value.time_ms,
            value.clock,
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&value.value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/mixed; boundary={boundary}"), body)
}

/// The media type of a value, or the one that says nothing: also where the writer's own is no header.
pub(crate) fn content_type(value: &pb::Value) -> &str {
    value
        .content_type
        .as_deref()
        .filter(|text| !text.is_empty() && HeaderValue::from_str(text).is_ok())
        .unwrap_or("application/octet-stream")
}

/// A line that none of the values has.
fn boundary(values: &[pb::Value]) -> String {
    let occurs = |boundary: &str| {
        let mut bodies = values.iter().map(|value| &value.value);
        bodies.any(|body| {
            body.windows(boundary.len())
                .any(|window| window == boundary.as_bytes())
        })
    };
    // Values are finite: some number does not occur in them.
    let mut number = 0_u64;
    loop {
        let boundary = format!("sibling-{number:x}");
        if !occurs(&boundary) {
            return boundary;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    /// Takes a body apart as any reader would: by its boundary alone.
    fn parts(content_type: &str, body: &[u8]) -> Vec<Vec<u8>> {
        let boundary = content_type.split_once("boundary=").unwrap().1;
        let body = String::from_utf8_lossy(body).into_owned();
        let end = format!("--{boundary}--\r\n");
        let body = body.strip_suffix(&end).unwrap();
        let begin = format!("--{boundary}\r\n");
        let parts = body.split(&begin).skip(1);
        parts
            .map(|part| {
                let (_, body) = part.split_once("\r\n\r\n").unwrap();
                body.strip_suffix("\r\n").unwrap().as_bytes().to_vec()
            })
            .collect()
    }

    proptest! {
        /// Also values that look like boundaries themselves.
        #[test]
        fn values_come_out_as_they_went_in(values in prop::collection::vec("(-|sibling-[0-3]|--sibling-0\r\n|[ -~\r\n]){0,9}", 2..5)) {
            let of = |value: &String| pb::Value { value: value.clone().into(), ..pb::Value::default() };
            let (content_type, body) = multipart(&values.iter().map(of).collect::<Vec<_>>());
            let bodies: Vec<Vec<u8>> = values.iter().map(|value| value.clone().into_bytes()).collect();
            prop_assert_eq!(parts(&content_type, &body), bodies);
        }
    }

    #[test]
    fn a_media_type_that_is_no_header_is_not_told() {
        let of = |text: &str| pb::Value {
            content_type: Some(text.to_owned()),
            ..pb::Value::default()
        };
        assert_eq!(content_type(&of("text/plain")), "text/plain");
        for text in ["", "a\r\nset-cookie: b"] {
            assert_eq!(content_type(&of(text)), "application/octet-stream");
        }
    }
}
