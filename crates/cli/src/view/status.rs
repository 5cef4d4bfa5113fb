//! `dynamokv status`

use std::fmt::Write as _;

use dynamokv_rpc::pb::{Member, NodeStatus, StatusResponse};
use serde::Serialize;

use super::{Silent, silence, sorted, span, status_mood, status_name, yes_no};
use crate::output::{Ink, Mood, View, lines};

/// How nodes fare.
#[derive(Debug, Serialize)]
pub(crate) struct Statuses {
    nodes: Vec<Status>,
    unreachable: Vec<Silent>,
    /// Whether one node was asked, which is then shown at length.
    #[serde(skip)]
    one: bool,
}

#[derive(Debug, Serialize)]
struct Status {
    node: String,
    name: String,
    address: String,
    cluster: String,
    cluster_id: String,
    status: &'static str,
    ready: bool,
    generation: u64,
    version: String,
    engine: String,
    durability: String,
    uptime_ms: u64,
    opened_clean: bool,
    replicas: u32,
    read_quorum: u32,
    write_quorum: u32,
    nodes_known: u32,
    nodes_live: u32,
    hints: u64,
    warnings: Vec<String>,
    #[serde(skip)]
    mood: Mood,
}

impl Statuses {
    /// One node.
    pub(crate) fn one(status: StatusResponse) -> Self {
        Self {
            nodes: vec![show(status)],
            unreachable: Vec::new(),
            one: true,
        }
    }

    /// All of them.
    pub(crate) fn all(asked: Vec<(Member, Result<StatusResponse, String>)>) -> Self {
        let (nodes, unreachable) = sorted(asked, |_, status| show(status));
        Self {
            nodes,
            unreachable,
            one: false,
        }
    }
}

fn show(status: StatusResponse) -> Status {
    let is = status.status();
    Status {
        mood: mood(is, status.ready),
        status: status_name(is),
        node: status.node,
        name: status.name,
        address: status.address,
        cluster: status.cluster_name,
        cluster_id: status.cluster_id,
        ready: status.ready,
        generation: status.generation,
        version: status.version,
        engine: status.engine,
        durability: status.durability,
        uptime_ms: status.uptime_ms,
        opened_clean: status.opened_clean,
        replicas: status.replicas,
        read_quorum: status.read_quorum,
        write_quorum: status.write_quorum,
        nodes_known: status.nodes_known,
        nodes_live: status.nodes_live,
        hints: status.hints,
        warnings: status.warnings,
    }
}

fn mood(status: NodeStatus, ready: bool) -> Mood {
    if ready {
        status_mood(status)
    } else {
        Mood::Warn
    }
}

impl View for Statuses {
    fn human(&self, ink: Ink) -> String {
        let mut text = match self.nodes.as_slice() {
            [status] if self.one => status.at_length(ink),
            nodes => in_a_row(nodes, ink),
        };
        text.push_str(&silence(&self.unreachable, ink));
        text
    }
}

impl Status {
    fn at_length(&self, ink: Ink) -> String {
        let not_ready = if self.ready { "" } else { ", not ready" };
        let stop = if self.opened_clean {
            "clean"
        } else {
            "unclean"
        };
        let rows = [
            (
                "node",
                format!("{} ({})", self.name, self.node),
                Mood::Plain,
            ),
            ("address", self.address.clone(), Mood::Plain),
            (
                "cluster",
                format!("{} ({})", self.cluster, self.cluster_id),
                Mood::Plain,
            ),
            ("status", format!("{}{not_ready}", self.status), self.mood),
            (
                "started",
                format!(
                    "{} ago, for the {}. time, after {} stop",
                    span(self.uptime_ms),
                    self.generation,
                    if self.opened_clean {
                        format!("a {stop}")
                    } else {
                        format!("an {stop}")
                    }
                ),
                Mood::Plain,
            ),
            ("release", self.version.clone(), Mood::Plain),
            (
                "engine",
                format!("{}, durability {}", self.engine, self.durability),
                Mood::Plain,
            ),
            (
                "quorums",
                format!(
                    "N {}, R {}, W {}",
                    self.replicas, self.read_quorum, self.write_quorum
                ),
                Mood::Plain,
            ),
            (
                "nodes",
                format!("{} live of {} known", self.nodes_live, self.nodes_known),
                if self.nodes_live < self.nodes_known {
                    Mood::Warn
                } else {
                    Mood::Good
                },
            ),
            (
                "held for others",
                format!("{} objects", self.hints),
                Mood::Plain,
            ),
        ];
        let mut table = ink.grid();
        for (name, value, mood) in rows {
            table.add_row([ink.cell(Mood::Dim, name), ink.cell(mood, value)]);
        }
        lines(table) + &self.warned(ink, false)
    }

    fn warned(&self, ink: Ink, named: bool) -> String {
        let mut text = String::new();
        for warning in &self.warnings {
            let of = if named {
                format!("{}: ", self.name)
            } else {
                String::new()
            };
            let _ = writeln!(
                text,
                "{}",
                ink.paint(Mood::Warn, &format!("warning: {of}{warning}"))
            );
        }
        text
    }
}

fn in_a_row(nodes: &[Status], ink: Ink) -> String {
    let columns = [
        "NAME", "NODE", "ADDRESS", "STATUS", "READY", "LIVE", "UP FOR", "HINTS", "RELEASE",
    ];
    let mut table = ink.table(&columns);
    for status in nodes {
        table.add_row([
            ink.cell(Mood::Plain, &status.name),
            ink.cell(Mood::Dim, &status.node),
            ink.cell(Mood::Plain, &status.address),
            ink.cell(status.mood, status.status),
            ink.cell(Mood::Plain, yes_no(status.ready)),
            ink.cell(
                Mood::Plain,
                format!("{}/{}", status.nodes_live, status.nodes_known),
            ),
            ink.cell(Mood::Plain, span(status.uptime_ms)),
            ink.cell(Mood::Plain, status.hints),
            ink.cell(Mood::Plain, &status.version),
        ]);
    }
    let warnings = nodes.iter().map(|status| status.warned(ink, true));
    lines(table) + &warnings.collect::<String>()
}
