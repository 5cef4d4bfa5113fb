//! Draws how balance and movement pull against each other, and where the placements of this crate stand.
//!
//! `cargo run --release -p dynamokv-ring --example tradeoff > docs/placement.svg`

use std::collections::BTreeSet;

use dynamokv_ring::{Balance, Member, NodeId, PartitionRing, Placement, Result, Token, TokenRing};
use xxhash_rust::xxh3::xxh3_64_with_seed;

fn main() -> Result<()> {
    let series = [
        Series {
            name: "random tokens (16 to 1,024 a node)",
            colour: "#999999",
            points: [16, 64, 256, 1024]
                .map(|vnodes| measured(|_, members| TokenRing::new(vnodes, REPLICAS, members)))
                .into_iter()
                .collect::<Result<_>>()?,
        },
        Series {
            name: "plain rendezvous, 4,096 partitions, bound 1.02 to 1.30",
            colour: "#d95f02",
            points: [1.02, 1.03, 1.05, 1.08, 1.12, 1.2, 1.3]
                .map(bounded_rendezvous)
                .to_vec(),
        },
        Series {
            name: "stateless: PartitionRing::new, 1,024 to 65,536 partitions",
            colour: "#7570b3",
            points: PARTITIONS
                .map(|partitions| {
                    measured(|_, members| PartitionRing::new(partitions, REPLICAS, members))
                })
                .into_iter()
                .collect::<Result<_>>()?,
        },
        Series {
            name: "successive: PartitionRing::next, 1,024 to 65,536 partitions",
            colour: "#1b9e77",
            points: PARTITIONS
                .map(|partitions| {
                    let nobody = PartitionRing::new(partitions, REPLICAS, [])?;
                    measured(|before: Option<&PartitionRing>, members| {
                        before.unwrap_or(&nobody).next(REPLICAS, members)
                    })
                })
                .into_iter()
                .collect::<Result<_>>()?,
        },
    ];
    print!("{}", picture(&series));
    Ok(())
}

struct Series {
    name: &'static str,
    colour: &'static str,
    points: Vec<Point>,
}

#[derive(Clone, Copy)]
struct Point {
    /// Replicas moved by a join, by the least.
    moved: f64,
    /// The most that a node holds, by its share.
    peak: f64,
}

/// A ring of [`NODES`] and the one that follows when another joins.
fn measured<P: Placement>(ring: impl Fn(Option<&P>, Vec<Member>) -> Result<P>) -> Result<Point> {
    let current = ring(None, members(NODES))?;
    let next = ring(Some(&current), members(NODES + 1))?;
    let edges = |placement: &P| -> Vec<Token> {
        let partitions = placement.partition_ids();
        partitions
            .map(|partition| placement.range_of(partition).last)
            .collect()
    };
    let edges: BTreeSet<Token> = edges(&current).into_iter().chain(edges(&next)).collect();
    let (mut start, mut moved, mut gained) = (0, 0.0, 0.0);
    let newcomer = member(NODES).id;
    for edge in edges {
        let width = (edge.0 - start) as f64;
        let (before, after) = (current.owners(edge), next.owners(edge));
        let new = after.iter().filter(|owner| !before.contains(owner)).count();
        moved += new as f64 * width;
        gained += if after.contains(&newcomer) {
            width
        } else {
            0.0
        };
        start = edge.0;
    }
    Ok(Point {
        moved: moved / gained,
        peak: Balance::of(&current).excess(),
    })
}

/// Rendezvous hashing with independent draws in which nobody takes more than its share times `bound`.
fn bounded_rendezvous(bound: f64) -> Point {
    let table = |nodes: u64| -> Vec<Vec<u64>> {
        let share = (RENDEZVOUS_PARTITIONS * REPLICAS as u64) as f64 / nodes as f64;
        let mut held = vec![0.0; nodes as usize];
        (0..RENDEZVOUS_PARTITIONS)
            .map(|partition| {
                let draw = |node: &u64| xxh3_64_with_seed(&partition.to_le_bytes(), *node);
                let mut ranking: Vec<u64> = (0..nodes).collect();
                ranking.sort_by_key(draw);
                ranking.retain(|&node| held[node as usize] + 1.0 <= share * bound);
                ranking.truncate(REPLICAS);
                for &node in &ranking {
                    held[node as usize] += 1.0;
                }
                ranking
            })
            .collect()
    };
    let (current, next) = (table(NODES), table(NODES + 1));
    let lists = || current.iter().zip(&next);
    let new = |(before, after): (&Vec<u64>, &Vec<u64>)| {
        after.iter().filter(|node| !before.contains(node)).count()
    };
    let gained = next.iter().filter(|list| list.contains(&NODES)).count();
    let mut held = vec![0u64; NODES as usize];
    for &node in current.iter().flatten() {
        held[node as usize] += 1;
    }
    let fullest = held.into_iter().max().unwrap_or(0) as f64;
    Point {
        moved: lists().map(new).sum::<usize>() as f64 / gained as f64,
        peak: fullest * NODES as f64 / (RENDEZVOUS_PARTITIONS * REPLICAS as u64) as f64,
    }
}

fn members(nodes: u64) -> Vec<Member> {
    (0..nodes).map(member).collect()
}

fn member(number: u64) -> Member {
    Member::new(NodeId((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

fn picture(series: &[Series]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    let (right, bottom) = (WIDTH - MARGIN / 2.0, HEIGHT - MARGIN);
    let goal = (place_x(MOVED_GOAL), place_y(PEAK_GOAL));
    svg += &format!(
        "<rect x=\"{MARGIN}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#e8f4ee\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#555\">aim</text>\n",
        goal.1,
        goal.0 - MARGIN,
        bottom - goal.1,
        goal.0 - 30.0,
        goal.1 + 16.0,
    );
    for step in 0..=6 {
        let (moved, peak) = (1.0 + 0.1 * f64::from(step), 1.0 + 0.05 * f64::from(step));
        svg += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{moved:.1}</text>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{peak:.2}</text>\n",
            place_x(moved),
            bottom + 18.0,
            MARGIN - 6.0,
            place_y(peak) + 4.0,
        );
    }
    svg += &format!(
        "<path d=\"M{MARGIN} {:.1}V{bottom}H{right}\" fill=\"none\" stroke=\"black\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">moved by a join, by the least possible</text>\n\
         <text x=\"{MARGIN}\" y=\"20\">fullest node, by its share ({NODES} nodes, {REPLICAS} replicas)</text>\n",
        MARGIN / 2.0,
        WIDTH / 2.0,
        HEIGHT - 14.0,
    );
    for (row, series) in series.iter().enumerate() {
        let places: Vec<(f64, f64)> = series
            .points
            .iter()
            .map(|point| (place_x(point.moved), place_y(point.peak)))
            .collect();
        let line: Vec<String> = places
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        svg += &format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\"/>\n",
            line.join(" "),
            series.colour
        );
        for (x, y) in places {
            svg += &format!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{}\"/>\n",
                series.colour
            );
        }
        let y = 60.0 + 20.0 * row as f64;
        svg += &format!(
            "<circle cx=\"{LEGEND}\" cy=\"{:.1}\" r=\"4\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{y:.1}\">{}</text>\n",
            y - 4.0,
            series.colour,
            LEGEND + 12.0,
            series.name
        );
    }
    svg + "</svg>\n"
}

/// Points beyond the edge stand at it.
fn place_x(moved: f64) -> f64 {
    let part = ((moved - 0.98) / 0.65).clamp(0.0, 1.0);
    MARGIN + part * (WIDTH - 1.5 * MARGIN)
}

fn place_y(peak: f64) -> f64 {
    let part = ((peak - 0.99) / 0.33).clamp(0.0, 1.0);
    HEIGHT - MARGIN - part * (HEIGHT - 1.5 * MARGIN)
}

const REPLICAS: usize = 3;
const NODES: u64 = 100;
const PARTITIONS: [u32; 4] = [1024, 4096, 16_384, 65_536];
const RENDEZVOUS_PARTITIONS: u64 = 4096;
/// What the placement is to reach up to 100 nodes.
const MOVED_GOAL: f64 = 1.10;
const PEAK_GOAL: f64 = 1.05;
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const MARGIN: f64 = 56.0;
const LEGEND: f64 = 300.0;
