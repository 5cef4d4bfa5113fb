//! `dynamokv ring`

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dynamokv_rpc::pb::{Member, OpenChange, RingResponse};
use serde::Serialize;

use super::{name_of, names_of, percent};
use crate::output::{Ink, Mood, View, lines};

/// Who owns what, how evenly, and what is about to change.
#[derive(Debug, Serialize)]
pub(crate) struct Ring {
    partitions: u32,
    replicas: u32,
    change: u64,
    fingerprint: String,
    /// The greatest share beside its fair one: 1.0 is perfect.
    balance: f64,
    members: Vec<Share>,
    zones: Vec<Zone>,
    open: Option<Open>,
    pending: Vec<Pending>,
    #[serde(skip)]
    known: Vec<Member>,
}

#[derive(Debug, Serialize)]
struct Share {
    node: String,
    name: String,
    zone: String,
    weight: u32,
    live: bool,
    partitions: u32,
    first: u32,
    share: f64,
    /// The part that it would have by its weight.
    fair_share: f64,
}

#[derive(Debug, Serialize)]
struct Zone {
    zone: String,
    nodes: u32,
    weight: u64,
    share: f64,
}

#[derive(Debug, Serialize)]
struct Open {
    number: u64,
    proposer: String,
    stage: String,
    duty: String,
    joining: Vec<String>,
    leaving: Vec<String>,
    removing: Vec<String>,
    altered: Vec<String>,
    blocked_by: Vec<String>,
    partitions_gained: u32,
    partitions_streamed: u32,
}

#[derive(Debug, Serialize)]
struct Pending {
    node: String,
    wish: String,
    waits_for: String,
}

impl Ring {
    pub(crate) fn new(ring: RingResponse, known: Vec<Member>) -> Self {
        let of = |node: &str| known.iter().find(|member| member.node == node);
        let weight = |node: &str| of(node).map_or(0, |member| member.weight);
        let all: u64 = ring
            .shares
            .iter()
            .map(|share| u64::from(weight(&share.node)))
            .sum();
        let share = |share: &dynamokv_rpc::pb::RingShare| {
            let member = of(&share.node);
            Share {
                node: share.node.clone(),
                name: member.map_or(&share.node, |member| &member.name).clone(),
                zone: member.map_or("", |member| &member.zone).to_owned(),
                weight: weight(&share.node),
                live: member.is_some_and(|member| member.live),
                partitions: share.partitions,
                first: share.first,
                share: share.share,
                fair_share: f64::from(weight(&share.node)) / all.max(1) as f64,
            }
        };
        let members: Vec<Share> = ring.shares.iter().map(share).collect();
        let ratios = members.iter().filter(|share| share.fair_share > 0.0);
        let balance = ratios
            .map(|share| share.share / share.fair_share)
            .fold(0.0, f64::max);
        let pending = ring.pending.into_iter().map(|pending| Pending {
            node: pending.node,
            wish: pending.wish,
            waits_for: pending.waits_for,
        });
        Self {
            partitions: ring.partitions,
            replicas: ring.replicas,
            change: ring.change,
            fingerprint: ring.fingerprint,
            balance,
            zones: zones(&members),
            members,
            open: ring.open.map(Open::from),
            pending: pending.collect(),
            known,
        }
    }
}

fn zones(members: &[Share]) -> Vec<Zone> {
    let mut zones: BTreeMap<&str, Zone> = BTreeMap::new();
    for member in members {
        let zone = zones.entry(&member.zone).or_insert_with(|| Zone {
            zone: member.zone.clone(),
            nodes: 0,
            weight: 0,
            share: 0.0,
        });
        zone.nodes += 1;
        zone.weight += u64::from(member.weight);
        zone.share += member.share;
    }
    zones.into_values().collect()
}

impl From<OpenChange> for Open {
    fn from(open: OpenChange) -> Self {
        Self {
            number: open.number,
            proposer: open.proposer,
            stage: open.stage,
            duty: open.duty,
            joining: open.joining,
            leaving: open.leaving,
            removing: open.removing,
            altered: open.altered,
            blocked_by: open.blocked_by,
            partitions_gained: open.partitions_gained,
            partitions_streamed: open.partitions_streamed,
        }
    }
}

impl View for Ring {
    fn human(&self, ink: Ink) -> String {
        let mut text = format!(
            "{} partitions, {} copies of each; change {}, fingerprint {}; balance {:.3} (1 is perfect)\n\n",
            self.partitions, self.replicas, self.change, self.fingerprint, self.balance
        );
        let mut table = ink.table(&[
            "NAME", "NODE", "ZONE", "WEIGHT", "COPIES", "FIRST", "SHARE", "FAIR",
        ]);
        for share in &self.members {
            let mood = if share.live { Mood::Plain } else { Mood::Bad };
            table.add_row([
                ink.cell(mood, &share.name),
                ink.cell(Mood::Dim, &share.node),
                ink.cell(Mood::Plain, &share.zone),
                ink.cell(Mood::Plain, share.weight),
                ink.cell(Mood::Plain, share.partitions),
                ink.cell(Mood::Plain, share.first),
                ink.cell(Mood::Plain, percent(share.share)),
                ink.cell(Mood::Dim, percent(share.fair_share)),
            ]);
        }
        text.push_str(&lines(table));
        text.push('\n');
        let mut table = ink.table(&["ZONE", "NODES", "WEIGHT", "SHARE"]);
        for zone in &self.zones {
            table.add_row([
                ink.cell(Mood::Plain, &zone.zone),
                ink.cell(Mood::Plain, zone.nodes),
                ink.cell(Mood::Plain, zone.weight),
                ink.cell(Mood::Plain, percent(zone.share)),
            ]);
        }
        text.push_str(&lines(table));
        self.changes(&mut text, ink);
        text
    }
}

impl Ring {
    fn changes(&self, text: &mut String, ink: Ink) {
        if let Some(open) = &self.open {
            let groups = [
                ("joining", &open.joining),
                ("leaving", &open.leaving),
                ("removing", &open.removing),
                ("altered", &open.altered),
            ];
            let groups = groups.into_iter().filter(|(_, nodes)| !nodes.is_empty());
            let what: Vec<String> = groups
                .map(|(what, nodes)| format!("{what} {}", names_of(&self.known, nodes)))
                .collect();
            let line = format!(
                "\nchange {} is open, in stage {}: {}; {} of {} partitions are here",
                open.number,
                open.stage,
                what.join("; "),
                open.partitions_streamed,
                open.partitions_gained
            );
            let _ = writeln!(text, "{}", ink.paint(Mood::Warn, &line));
            if !open.duty.is_empty() {
                let _ = writeln!(text, "next: {}", open.duty);
            }
            if !open.blocked_by.is_empty() {
                let line = format!("waits for {}", names_of(&self.known, &open.blocked_by));
                let _ = writeln!(text, "{}", ink.paint(Mood::Bad, &line));
            }
        }
        for pending in &self.pending {
            let _ = writeln!(
                text,
                "pending: {} of {}, which waits for {}",
                pending.wish,
                name_of(&self.known, &pending.node),
                pending.waits_for
            );
        }
    }
}
