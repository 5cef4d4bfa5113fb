//! Bytes as people and JSON see them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// Bytes: as text where they are UTF-8, otherwise as base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Content {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Base64(String),
}

impl Content {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(to_base64(bytes)),
        }
    }
}

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_byte_is_lost(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let content = Content::of(&bytes);
            let back = match &content {
                Content::Text(text) => text.clone().into_bytes(),
                Content::Base64(text) => STANDARD.decode(text).unwrap(),
            };
            prop_assert_eq!(back, bytes);
        }
    }
}
