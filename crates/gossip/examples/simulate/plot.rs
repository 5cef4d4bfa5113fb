//! Curves as SVG: time to the right, the fraction of the nodes reached upwards.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::report::{Report, Spread};

/// One picture a scenario, with a line for each size and loss.
pub fn write_all(report: &Report, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut scenarios: Vec<&str> = report.curves.iter().map(|spread| spread.scenario).collect();
    scenarios.dedup();
    scenarios.sort_unstable();
    scenarios.dedup();
    for scenario in scenarios {
        let lines = report
            .curves
            .iter()
            .filter(|spread| spread.scenario == scenario);
        std::fs::write(
            folder.join(format!("{scenario}.svg")),
            picture(scenario, &lines.collect::<Vec<_>>()),
        )?;
    }
    Ok(())
}

fn picture(scenario: &str, lines: &[&Spread]) -> String {
    let ends = lines.iter().filter_map(|line| line.curve.points.last());
    let seconds_max = ends.map(|(seconds, _)| *seconds).fold(1.0, f64::max).ceil();
    let x = |seconds: f64| LEFT + seconds / seconds_max * (WIDTH - LEFT - RIGHT);
    let y = |fraction: f64| HEIGHT - BELOW - fraction * (HEIGHT - BELOW - ABOVE);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{scenario}: nodes reached over time</text>\n"
    );
    for step in 0..=4 {
        let fraction = f64::from(step) / 4.0;
        let (at, percent) = (y(fraction), step * 25);
        let right = WIDTH - RIGHT;
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{percent} %</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    for step in 0..=5 {
        let seconds = seconds_max * f64::from(step) / 5.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{seconds:.1} s</text>",
            x(seconds),
            HEIGHT - BELOW + 18.0
        );
    }
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let points: Vec<String> = line
            .curve
            .points
            .iter()
            .map(|(seconds, fraction)| format!("{:.1},{:.1}", x(*seconds), y(*fraction)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
            points.join(" ")
        );
    }
    for ((line, colour), row) in lines.iter().zip(COLOURS.iter().cycle()).zip(0u32..) {
        let at = ABOVE + 14.0 + f64::from(row) * 15.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{at:.0}\" fill=\"{colour}\">{} nodes, {} % loss</text>",
            WIDTH - RIGHT + 10.0,
            line.nodes,
            line.loss_percent
        );
    }
    svg + "</svg>\n"
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 150.0;
const ABOVE: f64 = 30.0;
const BELOW: f64 = 40.0;
const COLOURS: [&str; 12] = [
    "#1b6ca8", "#d1495b", "#2e8b57", "#8e5ea2", "#c98a00", "#3c3c3c", "#0aa5a5", "#a0522d",
    "#5b8c00", "#b0379a", "#4c6fff", "#888888",
];
