//! What may stand under a key in the end, given what clients were told.

use std::collections::BTreeSet;
use std::fmt;

use super::history::{KeyHistory, Outcome, WriteId};

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Acknowledged, gone, and nobody who had seen it wrote after it.
    Lost { write: WriteId },
    /// There, though a write or delete had seen and so replaced it: lost once and risen, or a sibling of its successor.
    Risen { write: WriteId },
    /// There, though the client was promised that it was not applied.
    RefusedButThere { write: WriteId },
    /// Nobody wrote it to this key.
    FromNowhere { write: WriteId },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { write } => write!(f, "write {write} was acknowledged and is lost"),
            Self::Risen { write } => write!(f, "write {write} was replaced and is there"),
            Self::RefusedButThere { write } => write!(f, "write {write} was refused and is there"),
            Self::FromNowhere { write } => write!(f, "value {write} was never written here"),
        }
    }
}

/// Compares the values that all replicas agree on with the history of their key. O(writes + what they had seen).
pub fn check(history: &KeyHistory, found: &BTreeSet<WriteId>) -> Vec<Violation> {
    let shown: BTreeSet<WriteId> = history.shown.union(found).copied().collect();
    let mut violations = Vec::new();
    for write in &shown {
        match history.writes.get(write) {
            None => violations.push(Violation::FromNowhere { write: *write }),
            Some(known) if known.deletes => {
                violations.push(Violation::FromNowhere { write: *write });
            }
            Some(known) if known.outcome == Outcome::Refused => {
                violations.push(Violation::RefusedButThere { write: *write });
            }
            Some(_) => {}
        }
    }
    // A write whose value was ever shown was applied, whatever its client was told.
    let applied =
        |id: &WriteId| shown.contains(id) || history.writes[id].outcome == Outcome::Acknowledged;
    let replaced = replaced_by(history, applied);
    // Of a delete without an answer nothing is shown.
    let perhaps = replaced_by(history, |id| {
        let write = &history.writes[id];
        applied(id) || (write.deletes && write.outcome == Outcome::Unknown)
    });
    for write in found.intersection(&replaced) {
        violations.push(Violation::Risen { write: *write });
    }
    let acknowledged = history
        .writes
        .iter()
        .filter(|(_, write)| write.outcome == Outcome::Acknowledged && !write.deletes);
    for (write, _) in acknowledged {
        if !found.contains(write) && !perhaps.contains(write) {
            violations.push(Violation::Lost { write: *write });
        }
    }
    violations
}

/// All values that the chosen writes had seen, and what those had seen in their turn: a context covers both.
fn replaced_by(history: &KeyHistory, chosen: impl Fn(&WriteId) -> bool) -> BTreeSet<WriteId> {
    let mut replaced = BTreeSet::new();
    let mut ahead: Vec<WriteId> = history
        .writes
        .iter()
        .filter(|(id, _)| chosen(id))
        .flat_map(|(_, write)| write.base.iter().copied())
        .collect();
    while let Some(id) = ahead.pop() {
        if replaced.insert(id) {
            let write = history.writes.get(&id);
            ahead.extend(write.iter().flat_map(|write| &write.base));
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::history::Write;

    /// Writes 1, 2, ... of one key: what each had seen, and what its client was told.
    fn history(writes: &[(&[WriteId], Outcome)]) -> KeyHistory {
        let mut history = KeyHistory::default();
        for (id, (base, outcome)) in (1..).zip(writes) {
            let write = Write {
                base: base.iter().copied().collect(),
                deletes: false,
                outcome: *outcome,
            };
            history.writes.insert(id, write);
        }
        history
    }

    fn deleting(mut history: KeyHistory, id: WriteId) -> KeyHistory {
        history.writes.get_mut(&id).unwrap().deletes = true;
        history
    }

    fn check(history: &KeyHistory, found: &[WriteId]) -> Vec<Violation> {
        super::check(history, &found.iter().copied().collect())
    }

    const ACK: Outcome = Outcome::Acknowledged;
    const UNKNOWN: Outcome = Outcome::Unknown;

    #[test]
    fn what_was_acknowledged_is_there_until_a_write_that_saw_it() {
        let chain = history(&[(&[], ACK), (&[1], ACK), (&[2], ACK)]);
        assert_eq!(check(&chain, &[3]), []);
        assert_eq!(check(&chain, &[]), [Violation::Lost { write: 3 }]);
        assert_eq!(
            check(&chain, &[2]),
            [Violation::Risen { write: 2 }, Violation::Lost { write: 3 }]
        );
        assert_eq!(
            check(&chain, &[1, 3]),
            [Violation::Risen { write: 1 }],
            "what a write's base had seen is replaced too"
        );
    }

    #[test]
    fn concurrent_writes_are_all_there() {
        let forked = history(&[(&[], ACK), (&[1], ACK), (&[1], ACK)]);
        assert_eq!(check(&forked, &[2, 3]), []);
        assert_eq!(check(&forked, &[2]), [Violation::Lost { write: 3 }]);
    }

    #[test]
    fn what_got_no_answer_may_be_there_or_not_but_replaces_only_if_it_was_seen() {
        let mut unknown = history(&[(&[], ACK), (&[1], UNKNOWN)]);
        assert_eq!(check(&unknown, &[1]), []);
        assert_eq!(check(&unknown, &[2]), []);
        assert_eq!(check(&unknown, &[]), [Violation::Lost { write: 1 }]);
        unknown.shown.insert(2);
        assert_eq!(check(&unknown, &[1]), [Violation::Risen { write: 1 }]);
    }

    #[test]
    fn what_was_deleted_stays_away() {
        let deleted = deleting(history(&[(&[], ACK), (&[1], ACK)]), 2);
        assert_eq!(check(&deleted, &[]), []);
        assert_eq!(check(&deleted, &[1]), [Violation::Risen { write: 1 }]);
        let perhaps = deleting(history(&[(&[], ACK), (&[1], UNKNOWN)]), 2);
        assert_eq!(check(&perhaps, &[]), []);
        assert_eq!(check(&perhaps, &[1]), []);
    }

    #[test]
    fn what_was_refused_or_never_written_is_not_there() {
        let refused = history(&[(&[], ACK), (&[1], Outcome::Refused)]);
        assert_eq!(check(&refused, &[1]), []);
        assert_eq!(
            check(&refused, &[2]),
            [Violation::RefusedButThere { write: 2 }]
        );
        assert_eq!(
            check(&refused, &[1, 9]),
            [Violation::FromNowhere { write: 9 }]
        );
    }
}
