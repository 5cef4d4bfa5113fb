//! Line charts as SVG.

use std::fmt::Write as _;

/// A chart with any number of lines.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: Axis<'a>,
    pub(crate) y: Axis<'a>,
    pub(crate) lines: Vec<Line>,
}

/// One direction.
pub(crate) struct Axis<'a> {
    pub(crate) label: &'a str,
    /// By orders of magnitude: all values must be above 0 then.
    pub(crate) logarithmic: bool,
    /// How a value is written.
    pub(crate) write: fn(f64) -> String,
}

/// One line.
pub(crate) struct Line {
    pub(crate) name: String,
    /// Which of the colours.
    pub(crate) colour: usize,
    /// For what is compared with.
    pub(crate) dashed: bool,
    /// Whether each point is marked, with its name for who points at it.
    pub(crate) marks: Option<Vec<String>>,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A direction with its bounds.
struct Scale {
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Scale {
    fn over(values: impl Iterator<Item = f64>, logarithmic: bool) -> Self {
        let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            least = least.min(value);
            greatest = greatest.max(value);
        }
        if least > greatest {
            (least, greatest) = (0.0, 1.0);
        }
        let (from, to) = if logarithmic {
            (
                least.max(f64::MIN_POSITIVE).log10().floor(),
                greatest.max(f64::MIN_POSITIVE).log10().ceil(),
            )
        } else {
            (least.min(0.0), greatest * 1.05)
        };
        let to = if to > from { to } else { from + 1.0 };
        Self {
            from,
            to,
            logarithmic,
        }
    }

    /// Where a value lies, 0..=1.
    fn place(&self, value: f64) -> f64 {
        let value = if self.logarithmic {
            value.max(f64::MIN_POSITIVE).log10()
        } else {
            value
        };
        (value - self.from) / (self.to - self.from)
    }

    /// Values to write at the axis: powers of ten, or four to ten round ones.
    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let mut ticks = Vec::new();
            let mut power = self.from.ceil();
            while power <= self.to {
                ticks.push(10_f64.powf(power));
                power += 1.0;
            }
            return ticks;
        }
        let rough = (self.to - self.from) / 5.0;
        let magnitude = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * magnitude)
            .find(|step| *step >= rough);
        let step = step.unwrap_or(magnitude * 10.0);
        let mut ticks = Vec::new();
        let mut at = (self.from / step).ceil();
        while at * step <= self.to {
            ticks.push(at * step);
            at += 1.0;
        }
        ticks
    }
}

impl Chart<'_> {
    /// The chart; its colours are those of the page's style sheet.
    pub(crate) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Scale::over(points().map(|point| point.0), self.x.logarithmic);
        let y = Scale::over(points().map(|point| point.1), self.y.logarithmic);
        let height = HEIGHT + LEGEND_ROW * self.lines.len() as f64;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\"><text class=\"title\" x=\"{LEFT}\" y=\"20\">{title}</text>\n",
            title = escape(self.title),
        );
        self.axes(&mut svg, &x, &y);
        let mut names = Names::default();
        for (row, line) in self.lines.iter().enumerate() {
            line.draw(&mut svg, &x, &y, &mut names);
            legend(&mut svg, line, HEIGHT + LEGEND_ROW * row as f64);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn axes(&self, svg: &mut String, x: &Scale, y: &Scale) {
        let (right, bottom) = (LEFT + ACROSS, TOP + DOWN);
        for tick in x.ticks() {
            let at = LEFT + x.place(tick) * ACROSS;
            let text = escape(&(self.x.write)(tick));
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/><text class=\"tick\" text-anchor=\"middle\" x=\"{at:.1}\" y=\"{:.1}\">{text}</text>",
                bottom + 16.0
            );
        }
        for tick in y.ticks() {
            let at = bottom - y.place(tick) * DOWN;
            let text = escape(&(self.y.write)(tick));
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"tick\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
                LEFT - 6.0,
                at + 4.0
            );
        }
        let _ = writeln!(
            svg,
            "<text class=\"label\" text-anchor=\"end\" x=\"{right}\" y=\"{:.1}\">{}</text><text class=\"label\" x=\"{LEFT}\" y=\"{:.1}\">{}</text>",
            bottom + 32.0,
            escape(self.x.label),
            TOP - 8.0,
            escape(self.y.label)
        );
    }
}

impl Line {
    fn draw(&self, svg: &mut String, x: &Scale, y: &Scale, names: &mut Names) {
        let at = |point: &(f64, f64)| {
            (
                LEFT + x.place(point.0) * ACROSS,
                TOP + DOWN - y.place(point.1) * DOWN,
            )
        };
        let path: Vec<String> = self
            .points
            .iter()
            .map(at)
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline class=\"{}\" points=\"{}\"/>",
            self.class(),
            path.join(" ")
        );
        for (point, name) in self.points.iter().zip(self.marks.iter().flatten()) {
            let (across, down) = at(point);
            let _ = writeln!(
                svg,
                "<circle class=\"{}\" cx=\"{across:.1}\" cy=\"{down:.1}\" r=\"4\"><title>{}</title></circle>",
                self.class(),
                escape(name)
            );
            if let Some((left, base)) = names.place(name, across, down) {
                let _ = writeln!(
                    svg,
                    "<text class=\"tick\" x=\"{left:.1}\" y=\"{base:.1}\">{}</text>",
                    escape(name)
                );
            }
        }
    }

    fn class(&self) -> String {
        let dashed = if self.dashed { " dashed" } else { "" };
        format!("c{}{dashed}", self.colour % COLOURS)
    }
}

/// Names written beside points. One that would lie over another is left to whoever points at the mark.
#[derive(Default)]
struct Names(Vec<Written>);

/// Where a name lies.
#[derive(Clone, Copy)]
struct Written {
    left: f64,
    right: f64,
    base: f64,
}

impl Names {
    /// The left end and the base line of the name of a point, to its right where there is room.
    fn place(&mut self, name: &str, across: f64, down: f64) -> Option<(f64, f64)> {
        let width = LETTER_WIDTH * name.chars().count() as f64;
        let beside = across + 7.0;
        let left = if beside + width <= WIDTH {
            beside
        } else {
            (across - 7.0 - width).max(0.0)
        };
        let name = Written {
            left,
            right: left + width,
            base: down - 6.0,
        };
        let is_clear = |other: &Written| {
            name.right < other.left
                || other.right < name.left
                || (name.base - other.base).abs() >= LETTER_HEIGHT
        };
        if !self.0.iter().all(is_clear) {
            return None;
        }
        self.0.push(name);
        Some((name.left, name.base))
    }
}

fn legend(svg: &mut String, line: &Line, at: f64) {
    let _ = writeln!(
        svg,
        "<line class=\"{}\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{at:.1}\">{}</text>",
        line.class(),
        LEFT + 24.0,
        at - 4.0,
        at - 4.0,
        LEFT + 30.0,
        escape(&line.name)
    );
}

/// A text within HTML or SVG.
pub(crate) fn escape(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, letter| {
            match letter {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                other => out.push(other),
            }
            out
        })
}

/// Colours that the style sheet has.
pub(crate) const COLOURS: usize = 8;
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 48.0;
const ACROSS: f64 = 620.0;
const DOWN: f64 = 290.0;
const LEGEND_ROW: f64 = 18.0;
/// About those of 12 pixels of a common font.
const LETTER_WIDTH: f64 = 6.5;
const LETTER_HEIGHT: f64 = 14.0;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_lie_within_their_scale_and_ticks_do_too(
            values in proptest::collection::vec(0.001..1e9_f64, 1..50),
            logarithmic: bool,
        ) {
            let scale = Scale::over(values.iter().copied(), logarithmic);
            for value in values {
                prop_assert!((-1e-9..=1.0 + 1e-9).contains(&scale.place(value)));
            }
            let ticks = scale.ticks();
            prop_assert!((1..=12).contains(&ticks.len()), "{ticks:?}");
            for tick in ticks {
                prop_assert!((-1e-9..=1.0 + 1e-9).contains(&scale.place(tick)));
            }
        }
    }

    proptest! {
        #[test]
        fn names_lie_in_the_picture_and_not_over_each_other(
            points in proptest::collection::vec(("[a-z ]{1,30}", LEFT..LEFT + ACROSS, TOP..TOP + DOWN), 1..40),
        ) {
            let mut names = Names::default();
            let mut written: Vec<(f64, f64, f64)> = Vec::new();
            for (at, (name, across, down)) in points.iter().enumerate() {
                let width = LETTER_WIDTH * name.len() as f64;
                let Some((left, base)) = names.place(name, *across, *down) else {
                    prop_assert!(at > 0, "the first has room");
                    continue;
                };
                prop_assert!(left >= 0.0 && left + width <= WIDTH);
                let over = |(from, to, other): &(f64, f64, f64)| {
                    left <= *to && *from <= left + width && (base - other).abs() < LETTER_HEIGHT
                };
                prop_assert!(!written.iter().any(over));
                written.push((left, left + width, base));
            }
        }
    }

    #[test]
    fn names_cannot_break_out() {
        assert_eq!(
            escape("<a href=\"x\">&"),
            "&lt;a href=&quot;x&quot;&gt;&amp;"
        );
    }
}
