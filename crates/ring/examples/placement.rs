//! Measures the placements and prints the table of the documentation: how even they are, how much a change moves
//! against the least that it must, what building and updating takes, and the memory.
//!
//! `peak` and `first`: the most that a node holds, and is first in, by its feasible share. `join`, `leave`: replicas moved,
//! by what the node takes over or leaves behind. `first, join`: lists with another first owner, by those of the newcomer.
//! Where nothing has to move, as when one of three nodes leaves, `leave` is what moved.
//!
//! `cargo run --release -p dynamokv-ring --example placement`

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Instant;

use dynamokv_ring::{Balance, Member, NodeId, PartitionRing, Placement, Result, Token, TokenRing};

fn main() -> Result<()> {
    println!(
        "| nodes | weights | zones | placement | peak | first | join | leave | first, join | build, ms | update, ms | KiB |"
    );
    println!("|--:|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for (nodes, partitions) in SIZES {
        for weights in [&EQUAL[..], &UNEVEN] {
            for zones in [1, 3] {
                let case = Case {
                    nodes,
                    weights,
                    zones,
                };
                case.measure("random tokens", TokenRing::heap_bytes, |_, members| {
                    TokenRing::new(VNODES, REPLICAS, members)
                })?;
                case.measure("stateless", PartitionRing::heap_bytes, |_, members| {
                    PartitionRing::new(partitions, REPLICAS, members)
                })?;
                let nobody = PartitionRing::new(partitions, REPLICAS, [])?;
                case.measure(
                    "successive",
                    PartitionRing::heap_bytes,
                    |before, members| before.unwrap_or(&nobody).next(REPLICAS, members),
                )?;
            }
        }
    }
    Ok(())
}

struct Case {
    nodes: usize,
    weights: &'static [u32],
    zones: usize,
}

impl Case {
    /// `ring` makes a ring of members from the one before, if there was one.
    fn measure<P: Placement>(
        &self,
        name: &str,
        heap_bytes: fn(&P) -> usize,
        ring: impl Fn(Option<&P>, Vec<Member>) -> Result<P>,
    ) -> Result<()> {
        let start = Instant::now();
        let current = ring(None, self.members(0..self.nodes))?;
        let build = millis(start);

        let start = Instant::now();
        let joined = ring(Some(&current), self.members(0..self.nodes + 1))?;
        let update = millis(start);
        let left = ring(Some(&current), self.members(1..self.nodes))?;

        let (newcomer, leaver) = (member(self, self.nodes).id, member(self, 0).id);
        let join = Change::between(&current, &joined);
        let lost_copies = (self.nodes.min(REPLICAS) - (self.nodes - 1).min(REPLICAS)) as f64;
        let leave = Change::between(&current, &left);
        let balance = Balance::of(&current);
        println!(
            "| {} | {} | {} | {name} | {:.3} | {:.3} | {:.2} | {} | {:.2} | {build:.1} | {update:.1} | {} |",
            self.nodes,
            if self.weights.len() == 1 {
                "equal"
            } else {
                "1:2:4"
            },
            self.zones,
            balance.excess(),
            balance.excess_primary(),
            join.moved / owned(&joined, newcomer).0,
            ratio(leave.moved, owned(&current, leaver).0 - lost_copies),
            join.first / owned(&joined, newcomer).1,
            heap_bytes(&current) / 1024,
        );
        Ok(())
    }

    fn members(&self, numbers: std::ops::Range<usize>) -> Vec<Member> {
        numbers.map(|number| member(self, number)).collect()
    }
}

fn member(case: &Case, number: usize) -> Member {
    let weight = case.weights[number / case.zones % case.weights.len()];
    Member::new(NodeId(
        (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
    ))
    .with_weight(NonZeroU32::new(weight).unwrap_or(Member::ORDINARY_WEIGHT))
    .with_zone(format!("zone {}", number % case.zones))
}

/// What differs between two placements, as parts of the tokens.
struct Change {
    /// Replicas on new owners.
    moved: f64,
    /// Tokens with another first owner.
    first: f64,
}

impl Change {
    fn between(current: &impl Placement, next: &impl Placement) -> Change {
        let edges: BTreeSet<Token> = edges(current).chain(edges(next)).collect();
        let mut change = Change {
            moved: 0.0,
            first: 0.0,
        };
        let mut start = 0;
        for edge in edges {
            let (before, after) = (current.owners(edge), next.owners(edge));
            let new = after.iter().filter(|owner| !before.contains(owner)).count();
            let width = (edge.0 - start) as f64 / u64::MAX as f64;
            change.moved += new as f64 * width;
            change.first += if before.first() == after.first() {
                0.0
            } else {
                width
            };
            start = edge.0;
        }
        change
    }
}

fn edges(placement: &impl Placement) -> impl Iterator<Item = Token> + '_ {
    let partitions = placement.partition_ids();
    partitions.map(|partition| placement.range_of(partition).last)
}

fn owned(placement: &impl Placement, id: NodeId) -> (f64, f64) {
    let nodes = Balance::of(placement).nodes;
    let node = nodes.iter().find(|node| node.id == id);
    node.map_or((0.0, 0.0), |node| (node.owned, node.primary))
}

/// The quotient, or what moved where nothing has to.
fn ratio(moved: f64, least: f64) -> String {
    if least > 1e-9 {
        format!("{:.2}", moved / least)
    } else {
        format!("{moved:.2}")
    }
}
fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

const REPLICAS: usize = 3;
const VNODES: u32 = 128;
const EQUAL: [u32; 1] = [100];
const UNEVEN: [u32; 3] = [100, 200, 400];
/// Nodes, and the number of partitions recommended for so many.
const SIZES: [(usize, u32); 4] = [(3, 64), (10, 1024), (100, 16_384), (1000, 65_536)];
