//! The figures, and whether they hold.

use std::fmt;

use hdrhistogram::Histogram;

use crate::load::Outcome;

/// The three runs.
pub(crate) struct Report {
    pub(crate) peak: Outcome,
    pub(crate) most: Outcome,
    pub(crate) over: Outcome,
}

impl Report {
    /// Each goal with its figure.
    fn goals(&self) -> [(String, bool); 3] {
        let part = self.over.admitted_per_second() / self.peak.admitted_per_second();
        let (over, most) = (p99(&self.over.admitted), p99(&self.most.admitted));
        let times = over / most;
        let refused = p99(&self.over.refused);
        [
            (
                format!(
                    "{:.0} % of the peak is admitted under threefold load (at least 90 %)",
                    part * 100.0
                ),
                part >= 0.9,
            ),
            (
                format!(
                    "the 99th percentile of those admitted is {times:.2} times that at 80 % load (at most 2)"
                ),
                times <= 2.0,
            ),
            (
                format!("99 of 100 refusals come within {refused:.1} ms (at most 5 ms)"),
                refused <= 5.0,
            ),
        ]
    }

    pub(crate) fn holds(&self) -> bool {
        self.goals().iter().all(|(_, holds)| *holds)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| run | admitted/s | refused/s | failed | admitted p50, p99, p99.9 ms | refused p50, p99, max ms |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for (name, run) in [
            ("peak", &self.peak),
            ("80 %", &self.most),
            ("300 %", &self.over),
        ] {
            let refused = run.refused.len() as f64 / run.took.as_secs_f64();
            let [a, b, c] = [0.5, 0.99, 0.999].map(|part| at(&run.admitted, part));
            let [d, e, g] = [0.5, 0.99, 1.0].map(|part| at(&run.refused, part));
            writeln!(
                f,
                "| {name} | {:.0} | {refused:.0} | {} | {a:.2}, {b:.2}, {c:.2} | {d:.2}, {e:.2}, {g:.2} |",
                run.admitted_per_second(),
                run.failed,
            )?;
        }
        for (goal, holds) in self.goals() {
            writeln!(f, "{}: {goal}", if holds { "holds" } else { "MISSED" })?;
        }
        Ok(())
    }
}

/// Milliseconds.
fn at(times: &Histogram<u64>, part: f64) -> f64 {
    times.value_at_quantile(part) as f64 / 1_000.0
}

fn p99(times: &Histogram<u64>) -> f64 {
    at(times, 0.99)
}
