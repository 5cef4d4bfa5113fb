//! What is counted as requests are answered.

use std::time::Duration;

use dynamokv_coordinator::{AnswerKind, Error, ErrorKind, GetReply, PutReply};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// What clients ask of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    Put,
    Delete,
}

impl Operation {
    pub(super) const ALL: [Self; 3] = [Self::Get, Self::Put, Self::Delete];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }
}

/// The counts of one node. Cheap enough for every request: a few atomic additions.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    rows: [Row; Operation::ALL.len()],
    siblings: Siblings,
    missing: [Counter; MISSING.len()],
}

/// One operation.
#[derive(Debug)]
struct Row {
    outcomes: [Counter; OUTCOMES.len()],
    failures: [Counter; REASONS.len()],
    seconds: Histogram,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            outcomes: Default::default(),
            failures: Default::default(),
            seconds: Histogram::new(exponential_buckets(SECONDS_MIN, 2.0, SECONDS_BUCKETS)),
        }
    }
}

#[derive(Debug)]
struct Siblings(Histogram);

impl Default for Siblings {
    fn default() -> Self {
        Self(Histogram::new(SIBLINGS))
    }
}

impl Requests {
    /// Takes note of a read and its answer.
    pub(crate) fn read(&self, answer: &Result<GetReply, Error>, took: Duration) {
        if let Ok(reply) = answer {
            self.siblings.0.observe(reply.state.len() as f64);
        }
        self.note(Operation::Get, answer.as_ref().err(), took);
    }

    /// Takes note of a write and its answer.
    pub(crate) fn written(
        &self,
        operation: Operation,
        answer: &Result<PutReply, Error>,
        took: Duration,
    ) {
        self.note(operation, answer.as_ref().err(), took);
    }

    fn note(&self, operation: Operation, error: Option<&Error>, took: Duration) {
        let [get, put, delete] = &self.rows;
        let row = match operation {
            Operation::Get => get,
            Operation::Put => put,
            Operation::Delete => delete,
        };
        row.seconds.observe(took.as_secs_f64());
        count(&OUTCOMES, &row.outcomes, outcome(error));
        let Some((reason, answers)) = error.and_then(quorum_failure) else {
            return;
        };
        count(&REASONS, &row.failures, reason);
        for answer in answers {
            if let Some(why) = missing(&answer.kind) {
                count(&MISSING, &self.missing, why);
            }
        }
    }

    /// Operation, outcome, how many.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        self.cells(|row| (&OUTCOMES[..], &row.outcomes[..]))
    }

    /// Operation, reason, how many.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        self.cells(|row| (&REASONS[..], &row.failures[..]))
    }

    /// Why a replica did not count, how often.
    pub(super) fn missing(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.missing.iter().map(Counter::get);
        MISSING.into_iter().zip(counts)
    }

    pub(super) fn seconds(&self) -> impl Iterator<Item = (&'static str, &Histogram)> {
        let names = Operation::ALL.into_iter().map(Operation::name);
        names.zip(self.rows.iter().map(|row| &row.seconds))
    }

    pub(super) fn siblings(&self) -> &Histogram {
        &self.siblings.0
    }

    fn cells<'a>(
        &'a self,
        of: impl Fn(&'a Row) -> (&'static [&'static str], &'a [Counter]),
    ) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let rows = Operation::ALL.into_iter().zip(&self.rows);
        rows.flat_map(move |(operation, row)| {
            let (names, counts) = of(row);
            let cells = names.iter().zip(counts);
            cells.map(move |(name, count)| (operation.name(), *name, count.get()))
        })
    }
}

fn count(names: &[&str], counts: &[Counter], name: &str) {
    let at = names.iter().position(|known| *known == name);
    if let Some(counter) = at.and_then(|at| counts.get(at)) {
        counter.inc();
    }
}

fn outcome(error: Option<&Error>) -> &'static str {
    match error.map(Error::kind) {
        None => "ok",
        Some(ErrorKind::Invalid) => "invalid",
        Some(ErrorKind::Precondition) => "precondition",
        Some(ErrorKind::NotApplied) => "not_applied",
        Some(ErrorKind::Unknown) => "unknown",
        Some(ErrorKind::Overloaded) => "overloaded",
        Some(ErrorKind::Damaged) => "damaged",
        Some(_) => "internal",
    }
}

/// Why there was no quorum, and what those who were asked did.
fn quorum_failure(error: &Error) -> Option<(&'static str, &[dynamokv_coordinator::Answer])> {
    match error {
        Error::Unavailable { answers, .. } => Some(("unavailable", answers)),
        Error::Unknown { answers, .. } => Some(("unknown", answers)),
        Error::Unreadable { answers, .. } => Some(("unreadable", answers)),
        Error::NotMember => Some(("not_member", &[])),
        Error::Refused(_) => Some(("refused", &[])),
        _ => None,
    }
}

fn missing(kind: &AnswerKind) -> Option<&'static str> {
    match kind {
        AnswerKind::Down => Some("down"),
        AnswerKind::Silent => Some("silent"),
        AnswerKind::Failed(_) => Some("failed"),
        _ => None,
    }
}

const OUTCOMES: [&str; 8] = [
    "ok",
    "invalid",
    "precondition",
    "not_applied",
    "unknown",
    "overloaded",
    "damaged",
    "internal",
];
const REASONS: [&str; 5] = [
    "unavailable",
    "unknown",
    "unreadable",
    "not_member",
    "refused",
];
const MISSING: [&str; 3] = ["down", "silent", "failed"];

/// From 100 us, in steps of two, to 26 s.
const SECONDS_MIN: f64 = 0.000_1;
const SECONDS_BUCKETS: u16 = 19;
const SIBLINGS: [f64; 9] = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0];

#[cfg(test)]
mod tests {
    use dynamokv_coordinator::Answer;
    use dynamokv_ring::NodeId;

    use super::*;

    #[test]
    fn a_request_counts_once_by_outcome_and_a_failed_quorum_by_reason() {
        let requests = Requests::default();
        let took = Duration::from_millis(3);
        let kinds = [
            AnswerKind::Down,
            AnswerKind::Silent,
            AnswerKind::Silent,
            AnswerKind::Replica,
        ];
        let answers = kinds.map(|kind| Answer {
            node: NodeId(1),
            kind,
        });
        requests.read(
            &Err(Error::Unreadable {
                needed: 2,
                answers: answers.to_vec(),
            }),
            took,
        );
        requests.written(Operation::Delete, &Err(Error::ContextRequired), took);
        requests.written(Operation::Put, &Err(Error::NotMember), took);

        let seen = |cells: Vec<(&'static str, &'static str, u64)>| -> Vec<_> {
            cells
                .into_iter()
                .filter(|(_, _, count)| *count > 0)
                .collect()
        };
        assert_eq!(
            seen(requests.outcomes().collect()),
            [
                ("get", "not_applied", 1),
                ("put", "not_applied", 1),
                ("delete", "invalid", 1)
            ]
        );
        assert_eq!(
            seen(requests.failures().collect()),
            [("get", "unreadable", 1), ("put", "not_member", 1)]
        );
        let missing: Vec<_> = requests.missing().collect();
        assert_eq!(missing, [("down", 1), ("silent", 2), ("failed", 0)]);
    }
}
