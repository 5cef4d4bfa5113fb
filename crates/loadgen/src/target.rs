//! What is loaded.

use std::fmt;
use std::future::Future;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A store. Clones share its connections.
pub trait Target: Clone + Send + Sync + 'static {
    /// What a client has seen of a key, passed on with the next write; `()` for stores without such.
    type Context: Clone + Default + fmt::Debug + Send + Sync + 'static;

    /// Reads a key.
    fn read(&self, key: Bytes)
    -> impl Future<Output = Result<Seen<Self::Context>, Failure>> + Send;

    /// Writes a key; gives what the client has seen of it then.
    fn write(
        &self,
        key: Bytes,
        value: Bytes,
        context: Self::Context,
    ) -> impl Future<Output = Result<Self::Context, Failure>> + Send;

    /// Deletes a key; gives what the client has seen of it then.
    fn delete(
        &self,
        key: Bytes,
        context: Self::Context,
    ) -> impl Future<Output = Result<Self::Context, Failure>> + Send;
}

/// What a read found.
#[derive(Debug, Clone, Default)]
pub struct Seen<C> {
    /// Concurrent values; 0 if the key is not there.
    pub values: usize,
    /// What the client has seen then.
    pub context: C,
}

/// An action that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What it means.
    pub kind: FailureKind,
    /// The store's words.
    pub message: String,
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Nothing was done.
    NotApplied,
    /// It may be done.
    Unknown,
    /// Refused for overload: nothing was done.
    Overloaded,
    /// Refused for another reason.
    Refused,
    /// Anything else.
    Other,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotApplied => "not applied",
            Self::Unknown => "unknown",
            Self::Overloaded => "overloaded",
            Self::Refused => "refused",
            Self::Other => "failed",
        })
    }
}
