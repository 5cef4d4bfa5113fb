//! What must hold in every run, one file each.

use crate::end::End;
use crate::history::{History, Key};

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {story}")]
pub struct Violation {
    /// The file of the invariant.
    pub invariant: &'static str,
    /// The key that it concerns, where it concerns one.
    pub key: Option<Key>,
    /// What happened, for a reader of the trace.
    pub story: String,
}

/// One promise: looks at what clients were told and at how the cluster stands in the end.
pub type Invariant = fn(&History, &End) -> Result<(), Violation>;

/// All of them, by the name of their file.
pub const ALL: &[(&str, Invariant)] = &[];

/// Checks all; the first that does not hold is reported.
pub fn check(history: &History, end: &End) -> Result<(), Violation> {
    ALL.iter()
        .try_for_each(|(_, invariant)| invariant(history, end))
}
