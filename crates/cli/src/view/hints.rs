//! `dynamokv hints`

use dynamokv_rpc::pb::{HintsResponse, Member};
use serde::Serialize;

use super::{Silent, name_of, silence, sorted, span};
use crate::output::{Ink, Mood, View, lines};

/// What nodes hold for others.
#[derive(Debug, Serialize)]
pub(crate) struct Hints {
    nodes: Vec<Holder>,
    unreachable: Vec<Silent>,
}

#[derive(Debug, Serialize)]
struct Holder {
    node: String,
    name: String,
    targets: Vec<Target>,
}

#[derive(Debug, Serialize)]
struct Target {
    node: String,
    name: String,
    objects: u64,
    dirty_ranges: u32,
    oldest_ms: Option<u64>,
    delivered: u64,
    last_delivery_ms: Option<u64>,
}

impl Hints {
    pub(crate) fn new(
        members: &[Member],
        asked: Vec<(Member, Result<HintsResponse, String>)>,
    ) -> Self {
        let (nodes, unreachable) = sorted(asked, |member, hints| Holder {
            node: member.node.clone(),
            name: member.name.clone(),
            targets: hints
                .targets
                .into_iter()
                .map(|held| Target {
                    name: name_of(members, &held.target).to_owned(),
                    node: held.target,
                    objects: held.count,
                    dirty_ranges: held.dirty_ranges,
                    oldest_ms: held.oldest_ms,
                    delivered: held.delivered,
                    last_delivery_ms: held.last_delivery_ms,
                })
                .collect(),
        });
        Self { nodes, unreachable }
    }
}

impl View for Hints {
    fn human(&self, ink: Ink) -> String {
        let rows = self
            .nodes
            .iter()
            .flat_map(|holder| holder.targets.iter().map(move |target| (holder, target)));
        let rows: Vec<_> = rows.collect();
        if rows.is_empty() {
            let nobody = "nothing is held for other nodes, and nothing was since the start\n";
            return nobody.to_owned() + &silence(&self.unreachable, ink);
        }
        let columns = [
            "HELD BY",
            "FOR",
            "OBJECTS",
            "RANGES",
            "OLDEST",
            "DELIVERED",
            "LAST",
        ];
        let mut table = ink.table(&columns);
        for (holder, target) in rows {
            let held = target.objects > 0 || target.dirty_ranges > 0;
            let ago = |ms: Option<u64>| ms.map_or("-".to_owned(), span);
            table.add_row([
                ink.cell(Mood::Plain, &holder.name),
                ink.cell(Mood::Plain, &target.name),
                ink.cell(if held { Mood::Warn } else { Mood::Plain }, target.objects),
                ink.cell(Mood::Plain, target.dirty_ranges),
                ink.cell(Mood::Plain, ago(target.oldest_ms)),
                ink.cell(Mood::Plain, target.delivered),
                ink.cell(Mood::Plain, ago(target.last_delivery_ms)),
            ]);
        }
        lines(table) + &silence(&self.unreachable, ink)
    }
}
