//! What is counted as requests are answered.

use std::fmt;
use std::time::Duration;

use dynamokv_rpc::pb::ErrorKind;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::metrics::{Metric, Page};

/// Requests of so many operations: how they ended, and how long they took. Cheap enough for every request: a few atomic additions.
#[derive(Debug)]
pub struct Requests<const N: usize> {
    rows: [Row; N],
}

/// One operation.
#[derive(Debug)]
struct Row {
    name: &'static str,
    outcomes: [Counter; OUTCOMES.len()],
    seconds: Histogram,
}

impl<const N: usize> Requests<N> {
    /// Nothing counted yet of the operations of these names.
    pub fn new(operations: [&'static str; N]) -> Self {
        let row = |name| Row {
            name,
            outcomes: Default::default(),
            seconds: Histogram::new(exponential_buckets(SECONDS_MIN, 2.0, SECONDS_BUCKETS)),
        };
        Self {
            rows: operations.map(row),
        }
    }

    /// Takes note of a request of the operation of this number and of its end, `None` if it was answered as asked.
    pub fn note(&self, operation: usize, failed: Option<ErrorKind>, took: Duration) {
        let Some(row) = self.rows.get(operation) else {
            return;
        };
        row.seconds.observe(took.as_secs_f64());
        if let Some(counter) = row.outcomes.get(place(failed)) {
            counter.inc();
        }
    }

    /// Writes counts and times, by `operation`, the counts by `outcome` too.
    ///
    /// # Errors
    /// The format cannot express it.
    pub fn write(&self, page: &mut Page<'_>, counts: &Metric, seconds: &Metric) -> fmt::Result {
        let cells = self.rows.iter().flat_map(|row| {
            let cells = OUTCOMES.iter().zip(&row.outcomes);
            cells.map(|(outcome, count)| {
                let labels = [("operation", row.name), ("outcome", *outcome)];
                (labels, count.get())
            })
        });
        page.counters(counts, cells)?;
        let rows = self.rows.iter();
        page.histograms(
            seconds,
            rows.map(|row| ([("operation", row.name)], &row.seconds)),
        )
    }
}

/// In [`OUTCOMES`].
fn place(failed: Option<ErrorKind>) -> usize {
    match failed {
        None => 0,
        Some(ErrorKind::Invalid) => 1,
        Some(ErrorKind::Precondition) => 2,
        Some(ErrorKind::NotApplied) => 3,
        Some(ErrorKind::Unknown | ErrorKind::Unspecified) => 4,
        Some(ErrorKind::Overloaded) => 5,
        Some(ErrorKind::Damaged) => 6,
        Some(ErrorKind::Internal) => 7,
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

/// From 100 us, in steps of two, to 26 s.
const SECONDS_MIN: f64 = 0.000_1;
const SECONDS_BUCKETS: u16 = 19;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use prometheus_client::metrics::MetricType;

    use super::*;
    use crate::metrics::text;

    #[test]
    fn a_request_counts_once_by_operation_and_outcome() {
        let metric = |name, kind| Metric {
            name,
            kind,
            help: "help",
        };
        let requests = Requests::new(["get", "put"]);
        let kinds = (1..=7).map(|kind| ErrorKind::try_from(kind).unwrap());
        for kind in kinds.clone() {
            requests.note(1, Some(kind), Duration::from_millis(3));
        }
        requests.note(0, None, Duration::from_millis(3));
        requests.note(0, None, Duration::from_millis(3));
        let page = text(move |page| {
            let counts = metric("requests", MetricType::Counter);
            requests.write(page, &counts, &metric("seconds", MetricType::Histogram))
        });
        let page = page.unwrap();
        let has = |line: &str| assert!(page.lines().any(|at| at == line), "{line} in {page}");
        has("requests_total{operation=\"get\",outcome=\"ok\"} 2");
        has("requests_total{operation=\"put\",outcome=\"ok\"} 0");
        for kind in kinds {
            // The names of the protocol, in small letters.
            let name = kind.as_str_name().strip_prefix("ERROR_KIND_").unwrap();
            let outcome = name.to_lowercase();
            has(&format!(
                "requests_total{{operation=\"put\",outcome=\"{outcome}\"}} 1"
            ));
        }
        has("seconds_count{operation=\"put\"} 7");
    }
}
