//! Measures how even the placements are and how much a join moves, and prints the table of the crate's documentation.
//!
//! `cargo run --release -p dynamokv-ring --example placement`

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Instant;

use dynamokv_ring::{Balance, Member, NodeId, PartitionRing, Placement, Token, TokenRing, Zone};

const REPLICAS: usize = 3;
const VNODES: u32 = 128;

fn main() -> dynamokv_ring::Result<()> {
    println!(
        "| nodes | placement | weights | zones | peak | peak of primaries | join moves | build, ms |"
    );
    println!("|--:|---|---|--:|--:|--:|--:|--:|");
    for (nodes, partitions) in [
        (3, 64),
        (5, 256),
        (10, 1024),
        (30, 4096),
        (100, 4096),
        (100, 16384),
        (1000, 65536),
    ] {
        for (weights, zones) in [
            (&EQUAL[..], 1),
            (&EQUAL, 3),
            (&EQUAL, 5),
            (&UNEVEN, 1),
            (&UNEVEN, 3),
            (&UNEVEN, 5),
        ] {
            let case = Case {
                nodes,
                weights,
                zones,
            };
            case.measure(&format!("{partitions} partitions"), |members| {
                PartitionRing::new(partitions, REPLICAS, members)
            })?;
        }
        let case = Case {
            nodes,
            weights: &EQUAL,
            zones: 1,
        };
        case.measure(&format!("{VNODES} tokens a node"), |members| {
            TokenRing::new(VNODES, REPLICAS, members)
        })?;
    }
    Ok(())
}

const EQUAL: [u32; 1] = [100];
const UNEVEN: [u32; 3] = [100, 200, 400];

struct Case<'a> {
    nodes: usize,
    weights: &'a [u32],
    zones: usize,
}

impl Case<'_> {
    fn measure<P: Placement>(
        &self,
        name: &str,
        build: impl Fn(Vec<Member>) -> dynamokv_ring::Result<P>,
    ) -> dynamokv_ring::Result<()> {
        let mut members: Vec<Member> = (0..=self.nodes).map(|number| self.member(number)).collect();
        let next = build(members.clone())?;
        let joining = members.remove(self.nodes).id;
        let start = Instant::now();
        let current = build(members)?;
        let built = start.elapsed().as_secs_f64() * 1e3;
        let balance = Balance::of(&current);
        println!(
            "| {} | {name} | {} | {} | {:.2} | {:.2} | {:.2} | {built:.1} |",
            self.nodes,
            if self.weights.len() == 1 {
                "equal"
            } else {
                "1:2:4"
            },
            self.zones,
            balance.peak(),
            balance.peak_primary(),
            moved(&current, &next) / gained(&next, joining),
        );
        Ok(())
    }

    fn member(&self, number: usize) -> Member {
        let weight = self.weights[number / self.zones % self.weights.len()];
        Member {
            id: NodeId((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            weight: NonZeroU32::new(weight).unwrap_or(Member::ORDINARY_WEIGHT),
            zone: Zone::new(format!("zone {}", number % self.zones)),
        }
    }
}

/// The replicas that change their place, as a part of the tokens.
fn moved(current: &impl Placement, next: &impl Placement) -> f64 {
    let edges = |placement: &dyn Placement| -> Vec<Token> {
        placement
            .partition_ids()
            .map(|partition| placement.range_of(partition).last)
            .collect()
    };
    let edges: BTreeSet<Token> = edges(current).into_iter().chain(edges(next)).collect();
    let mut first = 0;
    let mut moved = 0.0;
    for edge in edges {
        let before = current.owners(edge);
        let new = next
            .owners(edge)
            .iter()
            .filter(|owner| !before.contains(owner))
            .count();
        moved += new as f64 * (edge.0 - first) as f64 / u64::MAX as f64;
        first = edge.0;
    }
    moved
}

/// The replicas of one node, as a part of the tokens: the least that its joining moves.
fn gained(placement: &impl Placement, id: NodeId) -> f64 {
    let nodes = Balance::of(placement).nodes;
    nodes
        .iter()
        .find(|node| node.id == id)
        .map_or(0.0, |node| node.owned)
}
