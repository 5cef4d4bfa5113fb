//! `dynamokv exchanges`

use std::collections::BTreeMap;

use dynamokv_rpc::pb::{ExchangesResponse, Member};
use serde::Serialize;

use super::{Silent, bytes, name_of, silence, sorted, span};
use crate::output::{Ink, Mood, View, lines};

/// How the copies of owners compare.
#[derive(Debug, Serialize)]
pub(crate) struct Exchanges {
    nodes: Vec<Compared>,
    unreachable: Vec<Silent>,
}

#[derive(Debug, Serialize)]
struct Compared {
    node: String,
    name: String,
    buckets_counted: u32,
    buckets: u32,
    keys: u64,
    tree_bytes: u64,
    oldest_difference_ms: Option<u64>,
    objects_pulled: u64,
    bytes_pulled: u64,
    objects_pushed: u64,
    bytes_pushed: u64,
    /// By the other owner, as all partitions of one are compared together.
    peers: Vec<Peer>,
}

#[derive(Debug, Serialize)]
struct Peer {
    node: String,
    name: String,
    partitions: u32,
    /// Never compared so far.
    partitions_new: u32,
    partitions_differing: u32,
    /// The longest time since a partition was compared.
    compared_ms_ago: Option<u64>,
    differs_for_ms: Option<u64>,
}

impl Exchanges {
    pub(crate) fn new(
        members: &[Member],
        asked: Vec<(Member, Result<ExchangesResponse, String>)>,
    ) -> Self {
        let (nodes, unreachable) = sorted(asked, |member, exchanges| Compared {
            node: member.node.clone(),
            name: member.name.clone(),
            buckets_counted: exchanges.buckets_counted,
            buckets: exchanges.buckets,
            keys: exchanges.keys,
            tree_bytes: exchanges.tree_bytes,
            oldest_difference_ms: exchanges.oldest_difference_ms,
            objects_pulled: exchanges.objects_pulled,
            bytes_pulled: exchanges.bytes_pulled,
            objects_pushed: exchanges.objects_pushed,
            bytes_pushed: exchanges.bytes_pushed,
            peers: peers(members, &exchanges),
        });
        Self { nodes, unreachable }
    }
}

fn peers(members: &[Member], exchanges: &ExchangesResponse) -> Vec<Peer> {
    let mut peers: BTreeMap<&str, Peer> = BTreeMap::new();
    for exchange in &exchanges.exchanges {
        let peer = peers.entry(&exchange.peer).or_insert_with(|| Peer {
            node: exchange.peer.clone(),
            name: name_of(members, &exchange.peer).to_owned(),
            partitions: 0,
            partitions_new: 0,
            partitions_differing: 0,
            compared_ms_ago: None,
            differs_for_ms: None,
        });
        peer.partitions += 1;
        peer.partitions_new += u32::from(exchange.compared_ms_ago.is_none());
        peer.partitions_differing += u32::from(exchange.differs_for_ms.is_some());
        peer.compared_ms_ago = peer.compared_ms_ago.max(exchange.compared_ms_ago);
        peer.differs_for_ms = peer.differs_for_ms.max(exchange.differs_for_ms);
    }
    peers.into_values().collect()
}

impl View for Exchanges {
    fn human(&self, ink: Ink) -> String {
        let columns = [
            "NAME",
            "COUNTED",
            "KEYS",
            "MEMORY",
            "PULLED",
            "PUSHED",
            "DIFFERS FOR",
        ];
        let mut table = ink.table(&columns);
        for node in &self.nodes {
            let differs = node.oldest_difference_ms;
            let counting = node.buckets_counted < node.buckets;
            table.add_row([
                ink.cell(Mood::Plain, &node.name),
                ink.cell(
                    if counting { Mood::Warn } else { Mood::Plain },
                    format!("{}/{}", node.buckets_counted, node.buckets),
                ),
                ink.cell(Mood::Plain, node.keys),
                ink.cell(Mood::Plain, bytes(node.tree_bytes)),
                ink.cell(
                    Mood::Plain,
                    format!("{} ({})", node.objects_pulled, bytes(node.bytes_pulled)),
                ),
                ink.cell(
                    Mood::Plain,
                    format!("{} ({})", node.objects_pushed, bytes(node.bytes_pushed)),
                ),
                ink.cell(
                    if differs.is_some() {
                        Mood::Warn
                    } else {
                        Mood::Good
                    },
                    differs.map_or("-".to_owned(), span),
                ),
            ]);
        }
        let mut text = lines(table);
        text.push('\n');
        let columns = [
            "NAME",
            "WITH",
            "PARTITIONS",
            "NEVER",
            "DIFFERING",
            "COMPARED",
            "DIFFERS FOR",
        ];
        let mut table = ink.table(&columns);
        for (node, peer) in self
            .nodes
            .iter()
            .flat_map(|node| node.peers.iter().map(move |peer| (node, peer)))
        {
            table.add_row([
                ink.cell(Mood::Plain, &node.name),
                ink.cell(Mood::Plain, &peer.name),
                ink.cell(Mood::Plain, peer.partitions),
                ink.cell(
                    if peer.partitions_new > 0 {
                        Mood::Warn
                    } else {
                        Mood::Plain
                    },
                    peer.partitions_new,
                ),
                ink.cell(
                    if peer.partitions_differing > 0 {
                        Mood::Warn
                    } else {
                        Mood::Plain
                    },
                    peer.partitions_differing,
                ),
                ink.cell(
                    Mood::Plain,
                    peer.compared_ms_ago
                        .map_or("-".to_owned(), |ms| format!("{} ago", span(ms))),
                ),
                ink.cell(
                    Mood::Plain,
                    peer.differs_for_ms.map_or("-".to_owned(), span),
                ),
            ]);
        }
        text.push_str(&lines(table));
        text + &silence(&self.unreachable, ink)
    }
}
