//! The keyspace and the key that a path names, and other bytes in it.

use axum::http::Uri;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::problem::Problem;

/// A key, as the path names it: any bytes, percent-encoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) keyspace: String,
    pub(crate) key: Bytes,
}

impl Named {
    /// Reads `/v1/keyspaces/{keyspace}/keys/{key}`. Only the key may be anything: a slash in it is written `%2F`.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        let Some(key) = uri.path().split('/').nth(5) else {
            return Err(Problem::bad_request("path: no key"));
        };
        Ok(Self {
            keyspace: keyspace(uri)?,
            key: percent_decode_str(key).collect::<Vec<u8>>().into(),
        })
    }
}

/// Reads the keyspace of `/v1/keyspaces/{keyspace}/...`.
pub(crate) fn keyspace(uri: &Uri) -> Result<String, Problem> {
    let name = uri.path().split('/').nth(3).unwrap_or_default();
    let name = percent_decode_str(name).decode_utf8();
    let name = name.map_err(|_| Problem::bad_request("keyspace: not UTF-8"))?;
    // To gRPC an empty name is the default; a path names what it means.
    if name.is_empty() {
        return Err(Problem::bad_request("keyspace: empty"));
    }
    Ok(name.into_owned())
}

/// The first value of a query parameter as bytes, which need not be text; empty if there is none.
pub(crate) fn query_bytes(uri: &Uri, name: &str) -> Bytes {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).collect::<Vec<u8>>();
    let pairs = uri.query().unwrap_or_default().split('&');
    let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let found = pairs.find(|(of, _)| decoded(of) == name.as_bytes());
    found.map_or_else(Bytes::new, |(_, value)| decoded(value).into())
}

/// A key as it stands in a path.
pub(crate) fn encoded(key: &[u8]) -> String {
    percent_encode(key, RESERVED).to_string()
}

/// All but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_may_be_any_bytes(keyspace in "[a-z0-9_-]{1,64}", key in prop::collection::vec(any::<u8>(), 1..200)) {
            let encoded = encoded(&key);
            let uri: Uri = format!("/v1/keyspaces/{keyspace}/keys/{encoded}?r=1").parse().unwrap();
            prop_assert_eq!(Named::of(&uri), Ok(Named { keyspace, key: key.into() }));
        }

        #[test]
        fn a_parameter_may_be_any_bytes(value in prop::collection::vec(any::<u8>(), 0..200)) {
            for encoded in [encoded(&value), encoded(&value).replace("%20", "+")] {
                let uri: Uri = format!("/?limit=1&%70refix={encoded}&prefix=x").parse().unwrap();
                prop_assert_eq!(query_bytes(&uri, "prefix"), value.clone());
            }
        }
    }

    #[test]
    fn what_is_no_keyspace_is_refused() {
        for path in [
            "/v1/keyspaces/%ff/keys/a",
            "/v1/keyspaces//keys/a",
            "/v1/keyspaces/a",
        ] {
            assert!(Named::of(&path.parse().unwrap()).is_err(), "{path}");
        }
    }
}
