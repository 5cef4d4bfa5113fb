//! A line over time, as SVG.

use std::fmt::Write;
use std::time::Duration;

/// A moment that is named.
pub struct Mark {
    pub at: Duration,
    pub says: &'static str,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;

pub fn plot(title: &str, samples: &[(Duration, u64)], marks: &[Mark]) -> String {
    let span = samples
        .last()
        .map_or(1.0, |(at, _)| at.as_secs_f64())
        .max(0.001);
    let most = samples
        .iter()
        .map(|(_, held)| *held)
        .max()
        .unwrap_or(1)
        .max(1);
    let x = |at: Duration| LEFT + WIDTH * at.as_secs_f64() / span;
    let y = |held: u64| TOP + HEIGHT * (1.0 - held as f64 / most as f64);
    let (right, bottom) = (LEFT + WIDTH, TOP + HEIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 350\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"760\" height=\"350\" fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{title}</text>\n"
    );
    for part in 0..=4 {
        let (held, at) = (
            most * part / 4,
            Duration::from_secs_f64(span * part as f64 / 4.0),
        );
        let (at_y, at_x) = (y(held), x(at));
        let seconds = at.as_secs_f64();
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at_y:.1}\" y2=\"{at_y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{held}</text>\
             <text x=\"{at_x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{seconds:.1} s</text>",
            LEFT - 6.0,
            at_y + 4.0,
            bottom + 18.0
        );
    }
    for (nth, Mark { at, says }) in marks.iter().enumerate() {
        let (at, down) = (x(*at), bottom - 24.0 + 16.0 * nth as f64);
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#c33\" stroke-dasharray=\"4 3\"/>\
             <text x=\"{:.1}\" y=\"{down:.1}\" fill=\"#c33\" text-anchor=\"end\">{says}</text>",
            at - 5.0
        );
    }
    let points: Vec<String> = samples
        .iter()
        .map(|(at, held)| format!("{:.1},{:.1}", x(*at), y(*held)))
        .collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#26c\" stroke-width=\"2\"/>\n</svg>",
        points.join(" ")
    );
    svg
}
