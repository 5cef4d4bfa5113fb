//! What is counted as requests are answered.

use std::fmt;
use std::time::Duration;

use dynamokv_coordinator::{AnswerKind, Error, GetReply, PutReply};
use dynamokv_http::Page;
use dynamokv_rpc::pb::ErrorKind;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::catalogue as metric;

/// What clients ask of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    Put,
    Delete,
}

/// In the order of [`Operation`].
const OPERATIONS: [&str; 3] = ["get", "put", "delete"];

/// The counts of one node. Cheap enough for every request: a few atomic additions.
#[derive(Debug)]
pub(crate) struct Requests {
    all: dynamokv_http::Requests<{ OPERATIONS.len() }>,
    failures: [[Counter; REASONS.len()]; OPERATIONS.len()],
    missing: [Counter; MISSING.len()],
    siblings: Histogram,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            all: dynamokv_http::Requests::new(OPERATIONS),
            failures: Default::default(),
            missing: Default::default(),
            siblings: Histogram::new(SIBLINGS),
        }
    }
}

impl Requests {
    /// Takes note of a read and its answer.
    pub(crate) fn read(&self, answer: &Result<GetReply, Error>, took: Duration) {
        if let Ok(reply) = answer {
            self.siblings.observe(reply.state.len() as f64);
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
        let kind = error.map(|error| ErrorKind::from(error.kind()));
        self.all.note(operation as usize, kind, took);
        let Some((reason, answers)) = error.and_then(quorum_failure) else {
            return;
        };
        if let Some(failures) = self.failures.get(operation as usize) {
            count(&REASONS, failures, reason);
        }
        for answer in answers {
            if let Some(why) = missing(&answer.kind) {
                count(&MISSING, &self.missing, why);
            }
        }
    }

    /// Writes all of them.
    pub(super) fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        self.all
            .write(page, &metric::REQUESTS, &metric::REQUEST_SECONDS)?;
        let failures = self.failures().map(|(operation, reason, count)| {
            ([("operation", operation), ("reason", reason)], count)
        });
        page.counters(&metric::QUORUM_FAILURES, failures)?;
        let missing = self.missing().map(|(why, count)| ([("why", why)], count));
        page.counters(&metric::QUORUM_MISSING, missing)?;
        page.histogram(&metric::READ_SIBLINGS, &self.siblings)
    }

    /// Operation, reason, how many.
    fn failures(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let rows = OPERATIONS.into_iter().zip(&self.failures);
        rows.flat_map(|(operation, failures)| {
            let cells = REASONS.into_iter().zip(failures);
            cells.map(move |(reason, count)| (operation, reason, count.get()))
        })
    }

    /// Why a replica did not count, how often.
    fn missing(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.missing.iter().map(Counter::get);
        MISSING.into_iter().zip(counts)
    }
}

fn count(names: &[&str], counts: &[Counter], name: &str) {
    let at = names.iter().position(|known| *known == name);
    if let Some(counter) = at.and_then(|at| counts.get(at)) {
        counter.inc();
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

const REASONS: [&str; 5] = [
    "unavailable",
    "unknown",
    "unreadable",
    "not_member",
    "refused",
];
const MISSING: [&str; 3] = ["down", "silent", "failed"];

const SIBLINGS: [f64; 9] = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0];

#[cfg(test)]
mod tests {
    use dynamokv_coordinator::Answer;
    use dynamokv_ring::NodeId;

    use super::*;

    #[test]
    fn a_failed_quorum_counts_by_reason_and_by_who_was_missing() {
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
            seen(requests.failures().collect()),
            [("get", "unreadable", 1), ("put", "not_member", 1)]
        );
        let missing: Vec<_> = requests.missing().collect();
        assert_eq!(missing, [("down", 1), ("silent", 2), ("failed", 0)]);
    }
}
