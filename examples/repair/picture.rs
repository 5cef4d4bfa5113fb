//! A picture of how a difference goes.

use std::fmt::Write;

use crate::scenes::Course;

const LEFT: f64 = 70.0;
const RIGHT: f64 = 720.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 300.0;

/// Copies that are not mended yet over the time since the nodes met, as SVG.
pub(crate) fn draw(course: &Course) -> String {
    let end = course
        .looks
        .last()
        .map_or(1.0, |(at, _)| at.as_secs_f64().max(0.1));
    let x = |seconds: f64| LEFT + (RIGHT - LEFT) * seconds / end;
    let y = |left: u64| BOTTOM - (BOTTOM - TOP) * left as f64 / course.differing as f64;
    let mut out = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 340\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"760\" height=\"340\" fill=\"white\"/>\n",
    );
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!(
        "<text x=\"{LEFT}\" y=\"22\" font-size=\"14\">copies that differ, since the nodes have met</text>"
    ));
    for quarter in 0..=4 {
        let left = course.differing * quarter / 4;
        let at = y(left);
        line(format!(
            "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{left}</text>",
            LEFT - 6.0,
            at + 4.0
        ));
        let seconds = end * quarter as f64 / 4.0;
        line(format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{seconds:.2} s</text>",
            x(seconds),
            BOTTOM + 20.0
        ));
    }
    let mut points = String::new();
    let mut before = None;
    for (at, left) in &course.looks {
        let at = x(at.as_secs_f64());
        if let Some(before) = before.filter(|before| before != left) {
            // Writing to a string cannot fail.
            let _ = write!(points, "{at:.1},{:.1} ", y(before));
        }
        let _ = write!(points, "{at:.1},{:.1} ", y(*left));
        before = Some(*left);
    }
    line(format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#c0392b\" stroke-width=\"2\"/>",
        points.trim_end()
    ));
    line("</svg>".to_owned());
    out
}
