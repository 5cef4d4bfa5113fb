//! Results as one HTML page that needs nothing else.

use std::fmt::Write as _;

use crate::chart::{Axis, Chart, Line, escape};
use crate::mix::Action;
use crate::results::{ActionResult, Results, RunResult};

/// The page: a table of all runs, latency by throughput, latency by percentile of each action, and the course of time. `before` is drawn with
/// dashes where it has runs of the same name.
pub fn html(results: &Results, before: Option<&Results>) -> String {
    let mut page = String::from(HEAD);
    for (name, value) in &results.about {
        let _ = writeln!(page, "<p><b>{}</b> {}</p>", escape(name), escape(value));
    }
    table(&mut page, results);
    page.push_str("<div class=\"charts\">\n");
    if results.runs.len() > 1 {
        page.push_str(&by_throughput(results, before).svg());
    }
    for action in Action::ALL {
        let done = results.runs.iter().any(|run| run.of(action).is_some());
        if done {
            page.push_str(&by_percentile(results, before, action).svg());
        }
    }
    page.push_str(
        &over_time(
            "Throughput over time",
            "actions a second",
            results,
            |run, window| window.operations as f64 / run.window_s,
        )
        .svg(),
    );
    page.push_str(
        &over_time(
            "99th percentile over time",
            "latency in ms",
            results,
            |_, window| window.p99_us as f64 / 1_000.0,
        )
        .svg(),
    );
    page.push_str("</div></body></html>\n");
    page
}

fn table(page: &mut String, results: &Results) {
    page.push_str("<table><tr><th>run</th><th>action</th><th>a second</th><th>mean ms</th><th>50 %</th><th>90 %</th><th>99 %</th><th>99.9 %</th><th>99.99 %</th><th>max</th><th>failed</th><th>unsent</th></tr>\n");
    for run in &results.runs {
        for result in &run.actions {
            let latency = &result.latency;
            let _ = write!(
                page,
                "<tr><td>{}</td><td>{}</td>",
                escape(&run.name),
                result.action.name()
            );
            let _ = write!(
                page,
                "<td>{:.0}</td><td>{:.2}</td>",
                result.throughput,
                latency.mean_us / 1_000.0
            );
            let quantiles = [
                latency.p50_us,
                latency.p90_us,
                latency.p99_us,
                latency.p99_9_us,
                latency.p99_99_us,
                latency.max_us,
            ];
            for us in quantiles {
                let _ = write!(page, "<td>{:.2}</td>", us as f64 / 1_000.0);
            }
            let _ = writeln!(page, "<td>{}</td><td>{}</td></tr>", run.failed, run.unsent);
        }
    }
    page.push_str("</table>\n");
}

fn by_throughput<'a>(results: &Results, before: Option<&Results>) -> Chart<'a> {
    let mut lines = Vec::new();
    let mut colour = 0;
    for action in Action::ALL {
        for (name, quantile) in [("median", 0.5), ("99th percentile", 0.99)] {
            let mut drawn = false;
            for (results, dashed) in [(Some(results), false), (before, true)] {
                let runs = results.map_or(&[][..], |results| &results.runs);
                let of: Vec<(&RunResult, &ActionResult)> = runs
                    .iter()
                    .filter_map(|run| Some((run, run.of(action)?)))
                    .collect();
                if of.is_empty() {
                    continue;
                }
                drawn = true;
                let at = |result: &ActionResult| {
                    let us = if quantile < 0.9 {
                        result.latency.p50_us
                    } else {
                        result.latency.p99_us
                    };
                    (result.throughput, milliseconds(us))
                };
                lines.push(Line {
                    name: format!(
                        "{}, {name}{}",
                        action.name(),
                        if dashed { ", before" } else { "" }
                    ),
                    colour,
                    dashed,
                    marks: (!dashed).then(|| of.iter().map(|(run, _)| run.name.clone()).collect()),
                    points: of.iter().map(|(_, result)| at(result)).collect(),
                });
            }
            colour += usize::from(drawn);
        }
    }
    Chart {
        title: "Latency by throughput",
        x: Axis {
            label: "actions a second",
            logarithmic: false,
            write: plain,
        },
        y: Axis {
            label: "latency in ms",
            logarithmic: true,
            write: plain,
        },
        lines,
    }
}

fn by_percentile<'a>(results: &Results, before: Option<&Results>, action: Action) -> Chart<'a> {
    let mut lines = Vec::new();
    for (colour, run) in results.runs.iter().enumerate() {
        let old = before.and_then(|before| before.run(&run.name));
        for (run, dashed) in [(Some(run), false), (old, true)] {
            let Some((run, result)) = run.and_then(|run| Some((run, run.of(action)?))) else {
                continue;
            };
            lines.push(Line {
                name: format!("{}{}", run.name, if dashed { ", before" } else { "" }),
                colour,
                dashed,
                marks: None,
                points: curve(result),
            });
        }
    }
    Chart {
        title: match action {
            Action::Read => "Read: latency by percentile",
            Action::Update => "Update: latency by percentile",
            Action::Insert => "Insert: latency by percentile",
            Action::ReadModifyWrite => "Read-modify-write: latency by percentile",
            Action::Delete => "Delete: latency by percentile",
        },
        x: Axis {
            label: "percentile",
            logarithmic: true,
            write: percentile,
        },
        y: Axis {
            label: "latency in ms",
            logarithmic: true,
            write: plain,
        },
        lines,
    }
}

/// The quantile as 1 / (1 - quantile), so that each nine takes the same room; the last point has nothing beyond.
fn curve(result: &ActionResult) -> Vec<(f64, f64)> {
    let most = result.latency.count.max(1) as f64;
    let points = result.latency.curve.iter();
    points
        .map(|(quantile, us)| ((1.0 - quantile).recip().min(most), milliseconds(*us)))
        .collect()
}

fn over_time<'a>(
    title: &'a str,
    label: &'a str,
    results: &Results,
    value: impl Fn(&RunResult, &crate::results::Window) -> f64,
) -> Chart<'a> {
    let lines = results.runs.iter().enumerate().map(|(colour, run)| Line {
        name: run.name.clone(),
        colour,
        dashed: false,
        marks: None,
        points: run
            .timeline
            .iter()
            .map(|window| (window.at_s, value(run, window)))
            .collect(),
    });
    Chart {
        title,
        x: Axis {
            label: "seconds after the warm-up",
            logarithmic: false,
            write: plain,
        },
        y: Axis {
            label,
            logarithmic: false,
            write: plain,
        },
        lines: lines.collect(),
    }
}

/// At least one microsecond, as the scale has no place for none.
fn milliseconds(us: u64) -> f64 {
    us.max(1) as f64 / 1_000.0
}

fn plain(value: f64) -> String {
    format!("{value}")
}

fn percentile(odds: f64) -> String {
    let digits = odds.log10().round().max(0.0) as usize;
    let digits = digits.saturating_sub(2);
    format!("{:.digits$} %", (1.0 - odds.recip()) * 100.0)
}

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Load</title><style>
:root { --ink: #222; --paper: #fff; --grid: #ddd; --dim: #666 }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --paper: #181818; --grid: #3a3a3a; --dim: #999 } }
body { font: 14px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1500px; margin: 2em auto; padding: 0 1em }
p { margin: 0 } table { border-collapse: collapse; margin: 1.5em 0 }
th, td { padding: 2px 12px; text-align: right; border-bottom: 1px solid var(--grid) } td:nth-child(-n+2), th:nth-child(-n+2) { text-align: left }
.charts { display: flex; flex-wrap: wrap; gap: 1em } svg { width: 720px; max-width: 100% }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif } svg .title { font-size: 15px; font-weight: 600 } svg .label, svg .tick { fill: var(--dim) }
.grid { stroke: var(--grid) } polyline { fill: none; stroke-width: 1.8 } .dashed { stroke-dasharray: 5 4 } line { stroke-width: 1.8 } .grid { stroke-width: 1 }
.c0 { stroke: #3366cc } .c1 { stroke: #dc3912 } .c2 { stroke: #109618 } .c3 { stroke: #ff9900 } .c4 { stroke: #990099 } .c5 { stroke: #0099c6 } .c6 { stroke: #dd4477 } .c7 { stroke: #66aa00 }
circle { fill: var(--paper); stroke-width: 2 }
</style></head><body><h1>Load</h1>
"#;
