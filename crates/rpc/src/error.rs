/// What can be wrong with bytes and messages from elsewhere, or with serving.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no such message: they are damaged, or were never one.
    #[error("not a {message} message: {reason}")]
    Malformed {
        /// The message expected.
        message: &'static str,
        /// What gave it away.
        reason: String,
    },
    /// A field of a message is missing or makes no sense: its sender is of another release, or broken.
    #[error("{field}: {reason}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The server could not start or go on serving.
    #[error("the server cannot serve: {reason}")]
    Serve {
        /// The transport's words.
        reason: String,
    },
}

impl Error {
    pub(crate) fn field(field: &'static str, reason: impl ToString) -> Self {
        Self::Field {
            field,
            reason: reason.to_string(),
        }
    }
}

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A field that every sender sets.
pub(crate) fn required<T>(field: &'static str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::field(field, "missing"))
}
