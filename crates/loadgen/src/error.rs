/// Why a load cannot be made, or its results not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of a plan is wrong: change it.
    #[error("{field}: {reason}")]
    Plan {
        /// The field.
        field: &'static str,
        /// What is wrong with it, and its limit.
        reason: String,
    },
    /// A record could not be loaded before the run: look at the store.
    #[error("record {index} could not be loaded: {reason}")]
    Load {
        /// The record.
        index: u64,
        /// The store's words.
        reason: String,
    },
    /// A process whose CPU time is asked for is not there: name one that is.
    #[error("there is no process {id}")]
    Process {
        /// Its id.
        id: u32,
    },
}

impl Error {
    pub(crate) fn plan(field: &'static str, reason: String) -> Self {
        Self::Plan { field, reason }
    }
}

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;
