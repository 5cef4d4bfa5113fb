//! All scenarios for all sizes, as one table.

use std::fmt::Write as _;
use std::time::Instant;

use crate::options::Options;
use crate::protocol::Protocol;
use crate::scenarios::{self, Accused, Curve, Scale};

#[derive(Default)]
pub struct Report {
    pub curves: Vec<Spread>,
    pub accused: Vec<Watched>,
}

/// One curve: of what, among how many, under which loss.
pub struct Spread {
    pub protocol: &'static str,
    pub scenario: &'static str,
    pub nodes: usize,
    pub loss_percent: u64,
    pub curve: Curve,
}

/// One count of false accusations.
pub struct Watched {
    pub protocol: &'static str,
    pub scenario: &'static str,
    pub nodes: usize,
    pub loss_percent: u64,
    pub accused: Accused,
}

impl Report {
    pub fn run<P: Protocol>(&mut self, options: &Options) {
        for nodes in &options.nodes {
            let scale = Scale {
                nodes: *nodes,
                seed: options.seed,
                repeats: options.repeats,
                watch: options.watch,
            };
            self.measure::<P>(options, scale);
        }
    }

    fn measure<P: Protocol>(&mut self, options: &Options, scale: Scale) {
        type OfLoss<T> = fn(Scale, u64) -> T;
        let curves: [(&str, &[u64], OfLoss<Curve>); 6] = [
            ("fact", &[0, 5, 20], scenarios::fact::<P>),
            ("join", &[0], |scale, _| scenarios::join::<P>(scale)),
            ("leave", &[0], |scale, _| scenarios::leave::<P>(scale)),
            ("crash", &[0, 5, 20], scenarios::crash::<P>),
            ("partition", &[0], |scale, _| {
                scenarios::partition::<P>(scale)
            }),
            ("mass-restart", &[0], |scale, _| {
                scenarios::mass_restart::<P>(scale)
            }),
        ];
        for (scenario, losses, measure) in curves {
            let wanted = |loss: &u64| options.wants(scenario, *loss);
            for loss_percent in losses.iter().copied().filter(wanted) {
                let curve = timed::<P, _>(scenario, scale, || measure(scale, loss_percent * 10));
                let nodes = scale.nodes;
                self.curves.push(Spread {
                    protocol: P::NAME,
                    scenario,
                    nodes,
                    loss_percent,
                    curve,
                });
            }
        }
        let watched: [(&str, &[u64], OfLoss<Accused>); 4] = [
            ("calm", &[0, 5, 20], scenarios::calm::<P>),
            ("paused", &[0], |scale, _| scenarios::paused::<P>(scale)),
            ("slow", &[0], |scale, _| scenarios::slow::<P>(scale)),
            ("rolling-upgrade", &[0], |scale, _| {
                scenarios::rolling_upgrade::<P>(scale)
            }),
        ];
        for (scenario, losses, measure) in watched {
            let wanted = |loss: &u64| options.wants(scenario, *loss);
            for loss_percent in losses.iter().copied().filter(wanted) {
                let accused = timed::<P, _>(scenario, scale, || measure(scale, loss_percent * 10));
                let nodes = scale.nodes;
                self.accused.push(Watched {
                    protocol: P::NAME,
                    scenario,
                    nodes,
                    loss_percent,
                    accused,
                });
            }
        }
    }

    /// Markdown.
    pub fn table(&self) -> String {
        let mut text = String::new();
        if !self.curves.is_empty() {
            text += "| protocol | what | nodes | loss | 50 % | 99 % | 100 % |\n|---|---|---:|---:|---:|---:|---:|\n";
        }
        for Spread {
            protocol,
            scenario,
            nodes,
            loss_percent,
            curve,
        } in &self.curves
        {
            let [half, most, all] = [curve.half, curve.most, curve.all].map(seconds);
            let _ = writeln!(
                text,
                "| {protocol} | {scenario} | {nodes} | {loss_percent} % | {half} | {most} | {all} |",
            );
        }
        if !self.accused.is_empty() {
            text += "\n| protocol | what | nodes | loss | falsely down | in node-hours | per 1,000 node-hours | excused | KB/s a node | of the busiest | messages/s | greatest message |\n";
            text += "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n";
        }
        for Watched {
            protocol,
            scenario,
            nodes,
            loss_percent,
            accused,
        } in &self.accused
        {
            let counts = accused.counts;
            let _ = writeln!(
                text,
                "| {protocol} | {scenario} | {nodes} | {loss_percent} % | {} | {:.1} | {:.2} | {} | {:.2} | {:.2} | {:.1} | {} |",
                counts.false_positives,
                accused.node_hours,
                counts.false_positives as f64 / accused.node_hours * 1000.0,
                counts.excused_accusations,
                counts.bytes_per_node_second / 1000.0,
                counts.bytes_per_second_of_the_busiest / 1000.0,
                counts.messages_per_node_second,
                counts.message_bytes_max,
            );
        }
        text
    }
}

fn timed<P: Protocol, T>(scenario: &str, scale: Scale, measure: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let measured = measure();
    eprintln!(
        "{}: {scenario}, {} nodes: {:.1?}",
        P::NAME,
        scale.nodes,
        start.elapsed()
    );
    measured
}

fn seconds(time: Option<f64>) -> String {
    time.map_or("never".to_owned(), |seconds| format!("{seconds:.1}"))
}
