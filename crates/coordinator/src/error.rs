//! The one error type of this crate.

use std::time::Duration;

use dynamokv_ring::NodeId;

use crate::{Answer, Refusal};

fn list(answers: &[Answer]) -> String {
    if answers.is_empty() {
        return "nobody was asked".to_owned();
    }
    answers
        .iter()
        .map(Answer::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Why an operation was not answered as asked, and what is known of its effect.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `r` or `w` is outside 1..=N. Nothing was done; correct the request.
    #[error("{field} is {value}, but must be 1..={limit} (N, the number of replicas of each key)")]
    Quorum {
        /// `r` or `w`.
        field: &'static str,
        /// What was asked.
        value: usize,
        /// N.
        limit: usize,
    },
    /// The timeout is zero or above the limit. Nothing was done; correct the request.
    #[error("timeout is {value:?}, but must be above 0 and at most {limit:?}")]
    Timeout {
        /// What was asked.
        value: Duration,
        /// The greatest timeout allowed.
        limit: Duration,
    },
    /// A delete without a context would hide values that the client never saw. Nothing was done;
    /// read first and pass the context.
    #[error("context is empty, but a delete needs the context of a read; read the key first")]
    ContextRequired,
    /// The idempotency key was used for another write to the key. Nothing was done; draw a key for each write.
    #[error(
        "idempotency_key was used for another write to this key; draw a new one for each write"
    )]
    IdempotencyKeyReused,
    /// Too few nodes can be reached. **Not applied**; retry later.
    #[error("not applied: {needed} copies are needed and {reachable} can be had ({})", list(.answers))]
    Unavailable {
        /// W.
        needed: usize,
        /// Copies that could be had.
        reachable: usize,
        /// Who answered what.
        answers: Vec<Answer>,
    },
    /// The write has fewer than W copies known. **Unknown**: some replicas may have it, and then
    /// all will. Read before retrying.
    #[error("unknown: some replicas may have the write, {needed} copies are needed ({}); read before retrying", list(.answers))]
    Unknown {
        /// W.
        needed: usize,
        /// Who answered what.
        answers: Vec<Answer>,
    },
    /// Fewer than R replicas answered a read. Retry, or ask for a smaller r.
    #[error("not readable: {needed} answers are needed ({}); retry later or with a smaller r", list(.answers))]
    Unreadable {
        /// R.
        needed: usize,
        /// Who answered what.
        answers: Vec<Answer>,
    },
    /// Too many operations are under way on this node. Nothing was done; back off and retry.
    #[error("overloaded: {limit} operations are under way on this node; back off and retry")]
    Overloaded {
        /// The bound.
        limit: usize,
    },
    /// This node is not yet, or no longer, a member of the cluster. Nothing was done; ask another node.
    #[error(
        "this node is no member of the cluster (yet, or any more); retry later or on another node"
    )]
    NotMember,
    /// The views of the two nodes differ. Nothing was done; gossip, then retry.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The local store refused or failed. Nothing was acknowledged.
    #[error(transparent)]
    Storage(#[from] dynamokv_storage::Error),
    /// The replica that the request was forwarded to answered with an error of its own.
    #[error("{message} (said by {node})")]
    Relayed {
        /// The node that coordinated.
        node: NodeId,
        /// What the error means for the caller.
        kind: ErrorKind,
        /// Its words.
        message: String,
    },
}

/// What an error means for the caller: enough to choose the next step, and a gRPC status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong; it will never succeed as it is. Nothing was done.
    Invalid,
    /// The key's state does not allow it (too many siblings): read, merge, then retry.
    Precondition,
    /// Not applied; retry later.
    NotApplied,
    /// May be applied; read before retrying.
    Unknown,
    /// Nothing was done; back off.
    Overloaded,
    /// The copy on this node is damaged.
    Damaged,
    /// A failure of the node itself.
    Internal,
}

impl Error {
    /// What the error means for the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Quorum { .. }
            | Self::Timeout { .. }
            | Self::ContextRequired
            | Self::IdempotencyKeyReused => ErrorKind::Invalid,
            Self::Unavailable { .. }
            | Self::Unreadable { .. }
            | Self::NotMember
            | Self::Refused(_) => ErrorKind::NotApplied,
            Self::Unknown { .. } => ErrorKind::Unknown,
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::Storage(error) => storage_kind(error),
            Self::Relayed { kind, .. } => *kind,
        }
    }

    /// Who answered what, where that is why the operation failed.
    pub fn answers(&self) -> &[Answer] {
        match self {
            Self::Unavailable { answers, .. }
            | Self::Unknown { answers, .. }
            | Self::Unreadable { answers, .. } => answers,
            _ => &[],
        }
    }
}

fn storage_kind(error: &dynamokv_storage::Error) -> ErrorKind {
    use dynamokv_storage::Error as E;
    match error {
        E::InvalidName { .. }
        | E::KeyLength { .. }
        | E::ValueLength { .. }
        | E::ContentTypeLength { .. } => ErrorKind::Invalid,
        E::TooManySiblings { .. } | E::ContextTooLarge { .. } => ErrorKind::Precondition,
        E::DiskFull { .. } => ErrorKind::Overloaded,
        E::Unsynced { .. } => ErrorKind::Unknown,
        E::Damaged { .. } => ErrorKind::Damaged,
        _ => ErrorKind::Internal,
    }
}
