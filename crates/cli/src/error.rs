use std::io;
use std::process::ExitCode;

use serde::Serialize;
use tonic::{Code, Status};

/// Why a command did not do what it was asked; each kind has an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// Something of the command line, a file or a field is wrong: change it.
    #[error("{0}")]
    Usage(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// Nothing was done: the same command may work later, or through another node.
    #[error("{0}")]
    NotDone(String),
    /// It may be done or not: look before it is repeated.
    #[error("{0}")]
    Unknown(String),
    /// The state of the key, the node or the cluster does not allow it: nothing was done.
    #[error("{0}")]
    Refused(String),
    /// Nobody confirmed it: nothing was done.
    #[error("not confirmed: nothing was done")]
    Unconfirmed,
    /// A failure of a node or of this program.
    #[error("{0}")]
    Failed(String),
    /// Input or output failed.
    #[error("{what}: {error}")]
    Io {
        /// What was read or written.
        what: String,
        /// The operating system's word.
        error: io::Error,
    },
}

/// The result of a command.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What an operation of a node that only reads, or that can be repeated, came to.
    pub(crate) fn of_status(what: &str, status: &Status) -> Self {
        let said = || format!("{what}: {}", status.message());
        match status.code() {
            Code::InvalidArgument => Self::Usage(said()),
            Code::NotFound => Self::NotFound(said()),
            Code::FailedPrecondition | Code::AlreadyExists | Code::PermissionDenied => {
                Self::Refused(said())
            }
            Code::Unavailable
            | Code::ResourceExhausted
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Aborted => Self::NotDone(said()),
            Code::Unknown => Self::Unknown(said()),
            Code::Unimplemented => Self::Failed(format!(
                "{what}: the node does not know this call; it is of an older release, or stands alone"
            )),
            _ => Self::Failed(said()),
        }
    }

    pub(crate) fn io(what: impl ToString) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io {
            what: what.to_string(),
            error,
        }
    }

    /// Whether the reader of the output has gone, as `head` does: no error.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Io { error, .. } if error.kind() == io::ErrorKind::BrokenPipe)
    }

    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Io { .. } => 1,
            Self::Usage(_) => 2,
            Self::NotFound(_) => 3,
            Self::NotDone(_) => 4,
            Self::Unknown(_) => 5,
            Self::Refused(_) => 6,
            Self::Unconfirmed => 7,
        }
    }

    /// The exit code, as docs/cli.md lists it.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// What to try next.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::Usage(_) => "see `dynamokv help` and the limits that the message names",
            Self::NotFound(_) => "`dynamokv keys` lists keys, `dynamokv members` nodes",
            Self::NotDone(_) => {
                "try again, or name other nodes with --node; `dynamokv status --all` shows who answers"
            }
            Self::Unknown(_) => {
                "read the key (`dynamokv get`, `dynamokv locate`) before the command is repeated"
            }
            Self::Refused(_) => "`dynamokv status` and `dynamokv ring` show what stands in the way",
            Self::Unconfirmed => {
                "repeat the command with --yes, or look at it first with --dry-run"
            }
            Self::Failed(_) => "look at the log of the node that is named",
            Self::Io { .. } => "check the path or the pipe, and its permissions",
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Usage(_) => "usage",
            Self::NotFound(_) => "not-found",
            Self::NotDone(_) => "not-done",
            Self::Unknown(_) => "unknown",
            Self::Refused(_) => "refused",
            Self::Unconfirmed => "unconfirmed",
            Self::Failed(_) => "failed",
            Self::Io { .. } => "io",
        }
    }

    /// The documented JSON shape.
    pub(crate) fn shape(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct Shape {
            error: Inner,
        }
        #[derive(Serialize)]
        struct Inner {
            kind: &'static str,
            exit_code: u8,
            message: String,
            advice: &'static str,
        }
        Shape {
            error: Inner {
                kind: self.kind(),
                exit_code: self.code(),
                message: self.to_string(),
                advice: self.advice(),
            },
        }
    }
}
