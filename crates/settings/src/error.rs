use std::fmt;
use std::path::PathBuf;

use crate::Origin;

/// Why settings cannot be used. Nothing was taken over; correct what is named and load them again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No setting has this name: spell it as the nearest one, or remove it.
    #[error("{origin}: unknown setting `{key}`{}", Nearest(nearest.as_deref()))]
    Unknown {
        /// What was written.
        key: String,
        /// Where.
        origin: Origin,
        /// The setting whose name is closest, if one is close.
        nearest: Option<String>,
    },
    /// A value is of the wrong type, out of its limits, or does not go with another setting.
    #[error("{origin}: {invalid}")]
    Invalid {
        /// The setting and its limit.
        invalid: Invalid,
        /// Where the value comes from.
        origin: Origin,
    },
    /// The file is not TOML: the reason names the line.
    #[error("{}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// The file cannot be read: check its path and its permissions.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        reason: std::io::Error,
    },
}

/// A setting that cannot be used: which, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {reason}")]
pub struct Invalid {
    /// The key as the file and the flags name it.
    pub key: String,
    /// What it is, and what it must be; follows the key in a sentence.
    pub reason: String,
}

impl Invalid {
    /// The setting `key` is not usable for `reason`.
    pub fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            reason: reason.into(),
        }
    }
}

struct Nearest<'a>(Option<&'a str>);

impl fmt::Display for Nearest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(key) => write!(f, "; did you mean `{key}`?"),
            None => Ok(()),
        }
    }
}
