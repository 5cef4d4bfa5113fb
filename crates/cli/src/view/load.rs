//! `dynamokv bench`

use std::fmt::Write as _;

use dynamokv_loadgen::{Difference, Ratio, Results, RunResult};
use serde::Serialize;

use super::counted;
use crate::output::{Ink, Mood, View, lines};

/// What runs came to, and how that compares.
#[derive(Debug, Serialize)]
pub(crate) struct Load {
    #[serde(flatten)]
    pub(crate) results: Results,
    /// Beside the results that were given to compare with.
    pub(crate) compared: Option<Vec<Difference>>,
}

impl View for Load {
    fn human(&self, ink: Ink) -> String {
        let columns = [
            "RUN", "ACTION", "A SECOND", "MEAN", "50 %", "90 %", "99 %", "99.9 %", "99.99 %", "MAX",
        ];
        let mut table = ink.table(&columns);
        for run in &self.results.runs {
            for result in &run.actions {
                let latency = &result.latency;
                let quantiles = [
                    latency.p50_us,
                    latency.p90_us,
                    latency.p99_us,
                    latency.p99_9_us,
                    latency.p99_99_us,
                    latency.max_us,
                ];
                let mut row = vec![
                    ink.cell(Mood::Plain, &run.name),
                    ink.cell(Mood::Plain, result.action.name()),
                    ink.cell(Mood::Good, format!("{:.0}", result.throughput)),
                    ink.cell(Mood::Plain, milliseconds(latency.mean_us)),
                ];
                row.extend(quantiles.map(|us| ink.cell(Mood::Plain, milliseconds(us as f64))));
                table.add_row(row);
            }
        }
        let mut text = lines(table);
        text.push_str("(latencies in milliseconds)\n");
        for run in &self.results.runs {
            remarks(run, &mut text, ink);
        }
        if let Some(compared) = &self.compared {
            text.push('\n');
            text.push_str(&comparison(compared, ink));
        }
        text
    }
}

/// What else is to be known of a run.
fn remarks(run: &RunResult, text: &mut String, ink: Ink) {
    let mut say = |mood, line: String| {
        let _ = writeln!(
            text,
            "{}",
            ink.paint(mood, &format!("{}: {line}", run.name))
        );
    };
    for failure in &run.failures {
        let count = counted(failure.count, "request", "requests");
        say(
            Mood::Bad,
            format!("{count} {}, such as: {}", failure.kind, failure.example),
        );
    }
    if let Some(cpu) = &run.cpu
        && let Some(servers) = cpu.servers_ms_per_operation
        && let Some(load_tool) = cpu.load_tool_ms_per_operation
    {
        let processes = counted(cpu.servers_s.len() as u64, "process", "processes");
        say(
            Mood::Plain,
            format!(
                "{servers:.3} ms of CPU a request in {processes}, {load_tool:.3} ms in this one"
            ),
        );
    }
    if run.unsent > 0 {
        let count = counted(run.unsent, "request", "requests");
        say(
            Mood::Bad,
            format!("{count} could not begin: the rate is more than the cluster serves"),
        );
    }
    if run.missing > 0 {
        say(
            Mood::Warn,
            format!(
                "{} of records that are not there",
                counted(run.missing, "request", "requests")
            ),
        );
    }
    if run.values_max > 1 {
        say(
            Mood::Warn,
            format!("up to {} concurrent values of a key", run.values_max),
        );
    }
    if run.lag.p99_us >= LAG_US {
        let lag = milliseconds(run.lag.p99_us as f64);
        say(
            Mood::Warn,
            format!(
                "1 % of the requests began {lag} ms late or more, which their latency includes"
            ),
        );
    }
}

fn comparison(compared: &[Difference], ink: Ink) -> String {
    if compared.is_empty() {
        return "no run has the name of one of those to compare with\n".to_owned();
    }
    let mut table = ink.table(&["RUN", "ACTION", "A SECOND", "50 %", "99 %", "99.9 %"]);
    for difference in compared {
        table.add_row([
            ink.cell(Mood::Plain, &difference.run),
            ink.cell(Mood::Plain, difference.action.name()),
            change(difference.throughput, true, ink),
            change(difference.p50_us, false, ink),
            change(difference.p99_us, false, ink),
            change(difference.p99_9_us, false, ink),
        ]);
    }
    lines(table) + "(change against the results that were given)\n"
}

fn change(ratio: Ratio, more_is_better: bool, ink: Ink) -> comfy_table::Cell {
    let Some(ratio) = ratio.ratio else {
        return ink.cell(Mood::Dim, "-");
    };
    let percent = (ratio - 1.0) * 100.0;
    let mood = match percent {
        percent if percent.abs() < NOISE_PERCENT => Mood::Plain,
        percent if (percent > 0.0) == more_is_better => Mood::Good,
        _ => Mood::Bad,
    };
    ink.cell(mood, format!("{percent:+.1} %"))
}

fn milliseconds(us: f64) -> String {
    format!("{:.2}", us / 1_000.0)
}

/// Differences below are not coloured.
const NOISE_PERCENT: f64 = 5.0;
/// Lateness that is worth a remark.
const LAG_US: u64 = 1_000;
