//! What a membership change would do, and what was ordered.

use std::fmt::Write as _;

use dynamokv_rpc::pb::{Member, PreviewChangeResponse};
use serde::Serialize;

use super::{bytes, counted, name_of};
use crate::output::{Ink, Mood, View, lines};

/// What a change would move.
#[derive(Debug, Serialize)]
pub(crate) struct Preview {
    fingerprint: String,
    moves: u32,
    moves_least: u32,
    bytes: u64,
    keys: u64,
    /// What a node would hold at most, by its fair share: 1.0 is perfect.
    excess: f64,
    partitions_short: u32,
    nodes: Vec<Share>,
    crowded_zones: Vec<Crowded>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Share {
    node: String,
    name: String,
    partitions: u32,
    gains: u32,
    losses: u32,
    bytes_in: u64,
}

#[derive(Debug, Serialize)]
struct Crowded {
    zone: String,
    partitions: u32,
}

impl Preview {
    pub(crate) fn new(preview: PreviewChangeResponse, members: &[Member]) -> Self {
        let known = |node: &str| members.iter().any(|member| member.node == node);
        let nodes = preview.nodes.into_iter().map(|share| Share {
            name: if known(&share.node) {
                name_of(members, &share.node).to_owned()
            } else {
                "(new)".to_owned()
            },
            node: share.node,
            partitions: share.partitions,
            gains: share.gains,
            losses: share.losses,
            bytes_in: share.bytes_in,
        });
        let crowded = preview.crowded.into_iter().map(|zone| Crowded {
            zone: zone.zone,
            partitions: zone.partitions,
        });
        Self {
            fingerprint: preview.fingerprint,
            moves: preview.moves,
            moves_least: preview.moves_least,
            bytes: preview.bytes,
            keys: preview.keys,
            excess: preview.excess,
            partitions_short: preview.partitions_short,
            nodes: nodes.collect(),
            crowded_zones: crowded.collect(),
            warnings: preview.warnings,
        }
    }
}

impl View for Preview {
    fn human(&self, ink: Ink) -> String {
        let mut text = format!(
            "{} of partitions would move (at least {} must), about {} in {}; the fullest node would hold {:.3} of its fair share\n",
            counted(self.moves.into(), "copy", "copies"),
            self.moves_least,
            bytes(self.bytes),
            counted(self.keys, "object", "objects"),
            self.excess
        );
        if !self.nodes.is_empty() {
            let mut table =
                ink.table(&["NAME", "NODE", "COPIES NOW", "GAINS", "LOSES", "RECEIVES"]);
            for share in &self.nodes {
                table.add_row([
                    ink.cell(Mood::Plain, &share.name),
                    ink.cell(Mood::Dim, &share.node),
                    ink.cell(Mood::Plain, share.partitions),
                    ink.cell(Mood::Plain, share.gains),
                    ink.cell(Mood::Plain, share.losses),
                    ink.cell(Mood::Plain, bytes(share.bytes_in)),
                ]);
            }
            text.push('\n');
            text.push_str(&lines(table));
        }
        for warning in &self.warnings {
            let _ = writeln!(
                text,
                "{}",
                ink.paint(Mood::Warn, &format!("warning: {warning}"))
            );
        }
        text
    }
}

/// What was ordered, or would be.
#[derive(Debug, Serialize)]
pub(crate) struct Ordered {
    pub(crate) order: &'static str,
    pub(crate) node: String,
    pub(crate) name: String,
    pub(crate) preview: Preview,
    /// Whether the order was given: not in a dry run.
    pub(crate) ordered: bool,
    /// Whether the change was seen to be finished: only if that was waited for.
    pub(crate) finished: bool,
    /// Whether the preview was shown before, to be confirmed.
    #[serde(skip)]
    pub(crate) shown: bool,
}

impl View for Ordered {
    fn human(&self, ink: Ink) -> String {
        let mut text = if self.shown {
            String::new()
        } else {
            self.preview.human(ink)
        };
        let of = format!("{} of {} ({})", self.order, self.name, self.node);
        text.push_str(&match (self.ordered, self.finished) {
            (false, _) => format!("{of}: a dry run, nothing was ordered\n"),
            (true, false) => format!(
                "{of}: ordered; `dynamokv ring` and `dynamokv transfers` show how far it is\n"
            ),
            (true, true) => ink.paint(Mood::Good, &format!("{of}: finished")) + "\n",
        });
        text
    }
}
