//! The keyspace and the key that a path names.

use axum::http::Uri;
use bytes::Bytes;
use percent_encoding::percent_decode_str;

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
        let mut segments = uri.path().split('/').skip(3).step_by(2);
        let (Some(keyspace), Some(key)) = (segments.next(), segments.next()) else {
            return Err(Problem::bad_request("path: no keyspace and key"));
        };
        let keyspace = percent_decode_str(keyspace).decode_utf8();
        let keyspace = keyspace.map_err(|_| Problem::bad_request("keyspace: not UTF-8"))?;
        // To gRPC an empty name is the default; a path names what it means.
        if keyspace.is_empty() {
            return Err(Problem::bad_request("keyspace: empty"));
        }
        Ok(Self {
            keyspace: keyspace.into_owned(),
            key: percent_decode_str(key).collect::<Vec<u8>>().into(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_may_be_any_bytes(keyspace in "[a-z0-9_-]{1,64}", key in prop::collection::vec(any::<u8>(), 1..200)) {
            let encoded = percent_encode(&key, NON_ALPHANUMERIC);
            let uri: Uri = format!("/v1/keyspaces/{keyspace}/keys/{encoded}?r=1").parse().unwrap();
            prop_assert_eq!(Named::of(&uri), Ok(Named { keyspace, key: key.into() }));
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
