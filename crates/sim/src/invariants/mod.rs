//! What must hold in every run, one file each.
//!
//! | file | promise |
//! |---|---|
//! | `acknowledged_copies_stay_durable` | what is acknowledged is on W disks, and stays on as many |
//! | `owners_have_acknowledged_writes` | W owners of each ring that is read have what was acknowledged |
//! | `no_acknowledged_write_lost` | an acknowledged write is there until a later write replaces it |
//! | `no_value_from_nowhere` | only what was written to a key is ever seen of it |
//! | `siblings_are_concurrent` | a value that its successor had seen is not its sibling |
//! | `strict_reads_see_acknowledged_writes` | R + W > N reads the last acknowledged write |
//! | `deleted_stays_deleted` | nothing brings back what a delete had seen |
//! | `dots_are_issued_once` | a dot names one write |
//! | `replicas_converge` | the owners of a key end with equal copies, and nobody else has one |
//! | `nothing_is_left` | no hint, operation or task outlives the work |
//! | `settles_in_time` | without faults the cluster comes to rest and answers |
//! | `stages_stay_in_step` | nobody goes ahead of the others through a membership change |
//! | `views_agree` | all know the same members; who left stays away, and nobody else is taken for left |
//! | `bounded` | queues and memory stay within their limits |

pub mod acknowledged_copies_stay_durable;
mod bounded;
mod deleted_stays_deleted;
mod dots_are_issued_once;
mod no_acknowledged_write_lost;
mod no_value_from_nowhere;
mod nothing_is_left;
pub mod owners_have_acknowledged_writes;
mod replicas_converge;
mod settles_in_time;
mod siblings_are_concurrent;
pub mod stages_stay_in_step;
mod story;
mod strict_reads_see_acknowledged_writes;
mod view;
mod views_agree;

#[cfg(test)]
mod perfect_store;
#[cfg(test)]
mod testing;

use crate::end::End;
use crate::history::{History, Key};

pub use dots_are_issued_once::Ledger;
pub use views_agree::Farewells;

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

impl Violation {
    fn of_key(invariant: &'static str, key: Key, story: String) -> Self {
        Self {
            invariant,
            key: Some(key),
            story,
        }
    }

    fn of_cluster(invariant: &'static str, story: String) -> Self {
        Self {
            invariant,
            key: None,
            story,
        }
    }
}

/// One promise: looks at what clients were told and at how the cluster stands in the end.
pub type Invariant = fn(&History, &End) -> Result<(), Violation>;

/// All of them, by the name of their file.
pub const ALL: &[(&str, Invariant)] = &[
    (
        no_acknowledged_write_lost::NAME,
        no_acknowledged_write_lost::check,
    ),
    (no_value_from_nowhere::NAME, no_value_from_nowhere::check),
    (deleted_stays_deleted::NAME, deleted_stays_deleted::check),
    (
        siblings_are_concurrent::NAME,
        siblings_are_concurrent::check,
    ),
    (
        strict_reads_see_acknowledged_writes::NAME,
        strict_reads_see_acknowledged_writes::check,
    ),
    (dots_are_issued_once::NAME, dots_are_issued_once::check),
    (replicas_converge::NAME, replicas_converge::check),
    (nothing_is_left::NAME, nothing_is_left::check),
    (settles_in_time::NAME, settles_in_time::check),
    (views_agree::NAME, views_agree::check),
    (bounded::NAME, bounded::check),
];

/// Checks all; the first that does not hold is reported.
pub fn check(history: &History, end: &End) -> Result<(), Violation> {
    ALL.iter()
        .try_for_each(|(_, invariant)| invariant(history, end))
}
