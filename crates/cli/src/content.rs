//! Bytes as people and JSON see them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::error::{Error, Result};

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

    /// On one line, control characters escaped.
    pub(crate) fn on_one_line(&self) -> String {
        match self {
            Self::Text(text) => text.chars().fold(String::new(), |mut line, letter| {
                if letter.is_control() {
                    line.extend(letter.escape_default());
                } else {
                    line.push(letter);
                }
                line
            }),
            Self::Base64(text) => format!("base64:{text}"),
        }
    }
}

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads base64; `what` names it in the error.
pub(crate) fn from_base64(what: &str, text: &str) -> Result<Vec<u8>> {
    let wrong = |error| Error::Usage(format!("{what}: is not base64: {error}"));
    STANDARD.decode(text.trim()).map_err(wrong)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_byte_is_lost_and_a_line_is_a_line(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let content = Content::of(&bytes);
            let back = match &content {
                Content::Text(text) => text.clone().into_bytes(),
                Content::Base64(text) => from_base64("value", text).unwrap(),
            };
            prop_assert_eq!(back, bytes);
            prop_assert!(!content.on_one_line().chars().any(char::is_control));
        }
    }
}
