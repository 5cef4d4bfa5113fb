//! `dynamokv transfers`

use dynamokv_rpc::pb::{Member, TransfersResponse};
use serde::Serialize;

use super::{Silent, bytes, name_of, silence, sorted, span};
use crate::output::{Ink, Mood, View, lines};

/// What streams to which node for the open change.
#[derive(Debug, Serialize)]
pub(crate) struct Transfers {
    pub(crate) nodes: Vec<Transfer>,
    unreachable: Vec<Silent>,
}

/// What streams to one node.
#[derive(Debug, Serialize)]
pub(crate) struct Transfer {
    pub(crate) node: String,
    pub(crate) name: String,
    change: String,
    pub(crate) running: bool,
    pub(crate) partitions: u32,
    pub(crate) partitions_complete: u32,
    objects: u64,
    bytes: u64,
    bytes_per_second: u64,
    bytes_per_second_max: u64,
    elapsed_ms: u64,
    failures: u64,
    streams: Vec<Stream>,
}

#[derive(Debug, Serialize)]
struct Stream {
    partition: u32,
    source: String,
    source_name: String,
    under_way: bool,
    objects: u64,
    bytes: u64,
    failures: u32,
}

impl Transfers {
    pub(crate) fn new(
        members: &[Member],
        asked: Vec<(Member, Result<TransfersResponse, String>)>,
    ) -> Self {
        let (nodes, unreachable) = sorted(asked, |member, transfer| Transfer {
            node: member.node.clone(),
            name: member.name.clone(),
            change: transfer.change,
            running: transfer.running,
            partitions: transfer.partitions,
            partitions_complete: transfer.partitions_complete,
            objects: transfer.items,
            bytes: transfer.bytes,
            bytes_per_second: transfer.bytes_per_second,
            bytes_per_second_max: transfer.bytes_per_second_max,
            elapsed_ms: transfer.elapsed_ms,
            failures: transfer.failures,
            streams: transfer
                .streams
                .into_iter()
                .map(|stream| Stream {
                    partition: stream.partition,
                    source_name: name_of(members, &stream.source).to_owned(),
                    source: stream.source,
                    under_way: stream.under_way,
                    objects: stream.items,
                    bytes: stream.bytes,
                    failures: stream.failures,
                })
                .collect(),
        });
        Self { nodes, unreachable }
    }

    /// Whether anything is on its way.
    pub(crate) fn running(&self) -> bool {
        self.nodes.iter().any(|node| node.running)
    }
}

impl Transfer {
    /// How much came, and how fast.
    pub(crate) fn speed(&self) -> String {
        format!(
            "{} at {}/s",
            bytes(self.bytes),
            bytes(self.bytes_per_second)
        )
    }
}

impl View for Transfers {
    fn human(&self, ink: Ink) -> String {
        let shown: Vec<_> = self
            .nodes
            .iter()
            .filter(|node| !node.change.is_empty())
            .collect();
        if shown.is_empty() {
            let nothing = "nothing was streamed since the nodes' start\n".to_owned();
            return nothing + &silence(&self.unreachable, ink);
        }
        let columns = [
            "TO",
            "CHANGE",
            "STATE",
            "PARTITIONS",
            "OBJECTS",
            "BYTES",
            "RATE",
            "TOOK",
            "FAILURES",
        ];
        let mut table = ink.table(&columns);
        for node in shown {
            let (state, mood) = if node.running {
                ("runs", Mood::Warn)
            } else {
                ("done", Mood::Good)
            };
            table.add_row([
                ink.cell(Mood::Plain, &node.name),
                ink.cell(Mood::Dim, &node.change),
                ink.cell(mood, state),
                ink.cell(
                    Mood::Plain,
                    format!("{}/{}", node.partitions_complete, node.partitions),
                ),
                ink.cell(Mood::Plain, node.objects),
                ink.cell(Mood::Plain, bytes(node.bytes)),
                ink.cell(Mood::Plain, format!("{}/s", bytes(node.bytes_per_second))),
                ink.cell(Mood::Plain, span(node.elapsed_ms)),
                ink.cell(
                    if node.failures > 0 {
                        Mood::Warn
                    } else {
                        Mood::Plain
                    },
                    node.failures,
                ),
            ]);
        }
        let mut text = lines(table);
        let streams: Vec<_> = self
            .nodes
            .iter()
            .flat_map(|node| node.streams.iter().map(move |stream| (node, stream)))
            .collect();
        if !streams.is_empty() {
            let mut table = ink.table(&[
                "TO",
                "FROM",
                "PARTITION",
                "OBJECTS",
                "BYTES",
                "FAILURES IN A ROW",
            ]);
            for (node, stream) in streams {
                table.add_row([
                    ink.cell(Mood::Plain, &node.name),
                    ink.cell(Mood::Plain, &stream.source_name),
                    ink.cell(Mood::Plain, stream.partition),
                    ink.cell(Mood::Plain, stream.objects),
                    ink.cell(Mood::Plain, bytes(stream.bytes)),
                    ink.cell(
                        if stream.failures > 0 {
                            Mood::Bad
                        } else {
                            Mood::Plain
                        },
                        stream.failures,
                    ),
                ]);
            }
            text.push('\n');
            text.push_str(&lines(table));
        }
        text + &silence(&self.unreachable, ink)
    }
}
