//! The one error type of this crate.

use std::fmt;

use dynamokv_coordinator::{Answer, ErrorKind};

/// Why a call was not answered as asked. [`outcome`](Error::outcome) says what is known of its effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting cannot be used. Nothing was done; correct it.
    #[error("configuration: {field} {reason}")]
    Config {
        /// The field of [`ClientConfig`](crate::ClientConfig).
        field: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// No seed told of the cluster. Check the addresses; retry when a node runs there and is a member.
    #[error("no seed answers: {}", list(.reasons))]
    NoSeed {
        /// What each seed said last, by address.
        reasons: Vec<(String, String)>,
    },
    /// The request is wrong. Nothing was done; correct it.
    #[error("{0}")]
    Invalid(Details),
    /// The key has too many siblings, or too large a context. Nothing was done; read, merge, then write with the context of the read.
    #[error("{0}")]
    Precondition(Details),
    /// Too few replicas could be reached: nothing was written, or nothing could be read. Retry later.
    #[error("{0}")]
    NotApplied(Details),
    /// The write may have been applied, or will be: some replicas may have it. Read before writing again.
    #[error("{0}")]
    Unknown(Details),
    /// The nodes have too much to do. Nothing was done; retry later, and less often.
    #[error("{0}")]
    Overloaded(Details),
    /// The copies that were asked for are damaged. Nothing was read; the nodes mend them from others: retry later.
    #[error("{0}")]
    Damaged(Details),
    /// A node failed in itself: see its log. Nothing was read.
    #[error("{0}")]
    Internal(Details),
    /// An update was applied each time, but each time there was another writer: the last merge has siblings. Update again.
    #[error("{rounds} times somebody else wrote at the same time; update again")]
    Contended {
        /// How often it was merged and written.
        rounds: u32,
    },
}

/// What is known of a failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Details {
    /// What was said last, and by whom.
    pub message: String,
    /// Who answered what, if a node said so.
    pub answers: Vec<Answer>,
    /// How often the request was sent.
    pub attempts: u32,
}

/// What is known of the effect of a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is there.
    Applied,
    /// It is not there, and will not be.
    NotApplied,
    /// It may be there, or come to be.
    Unknown,
}

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What is known of the effect. A read has none.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unknown(_) => Outcome::Unknown,
            Self::Contended { .. } => Outcome::Applied,
            _ => Outcome::NotApplied,
        }
    }

    /// What it means for the caller, in the nodes' terms.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config { .. } | Self::Invalid(_) => ErrorKind::Invalid,
            Self::Precondition(_) | Self::Contended { .. } => ErrorKind::Precondition,
            Self::NoSeed { .. } | Self::NotApplied(_) => ErrorKind::NotApplied,
            Self::Unknown(_) => ErrorKind::Unknown,
            Self::Overloaded(_) => ErrorKind::Overloaded,
            Self::Damaged(_) => ErrorKind::Damaged,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// What is known beyond, where the cluster was asked.
    pub fn details(&self) -> Option<&Details> {
        match self {
            Self::Invalid(details)
            | Self::Precondition(details)
            | Self::NotApplied(details)
            | Self::Unknown(details)
            | Self::Overloaded(details)
            | Self::Damaged(details)
            | Self::Internal(details) => Some(details),
            Self::Config { .. } | Self::NoSeed { .. } | Self::Contended { .. } => None,
        }
    }

    pub(crate) fn of(kind: ErrorKind, details: Details) -> Self {
        match kind {
            ErrorKind::Invalid => Self::Invalid(details),
            ErrorKind::Precondition => Self::Precondition(details),
            ErrorKind::NotApplied => Self::NotApplied(details),
            ErrorKind::Unknown => Self::Unknown(details),
            ErrorKind::Overloaded => Self::Overloaded(details),
            ErrorKind::Damaged => Self::Damaged(details),
            _ => Self::Internal(details),
        }
    }
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.attempts {
            0 | 1 => Ok(()),
            attempts => write!(f, " (after {attempts} attempts)"),
        }
    }
}

fn list(reasons: &[(String, String)]) -> String {
    let shown: Vec<String> = reasons
        .iter()
        .map(|(address, reason)| format!("{address}: {reason}"))
        .collect();
    shown.join("; ")
}
