//! Measures balance, movement and build time of the placements.
//!
//! `cargo run --release -p dynamokv-ring --example placement`

use std::num::NonZeroU32;
use std::time::Instant;

use dynamokv_ring::{Balance, Member, NodeId, PartitionRing, Placement, Zone, diff};

fn members(n: u64, weights: &[u32], zones: u64) -> Vec<Member> {
    (0..n)
        .map(|i| Member {
            id: NodeId(i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            weight: NonZeroU32::new(weights[i as usize / zones as usize % weights.len()]).unwrap(),
            zone: Zone::new(format!("z{}", i % zones)),
        })
        .collect()
}

fn main() {
    println!("nodes Q weights zones | peak peakP | join leave (x least) | build ms");
    for (n, qs) in [
        (3, vec![64, 256]),
        (4, vec![64, 256]),
        (5, vec![64, 256, 1024]),
        (10, vec![256, 1024, 4096]),
        (12, vec![1024]),
        (30, vec![1024, 4096]),
        (100, vec![4096, 16384, 65536]),
        (1000, vec![16384, 65536]),
    ] {
        for q in qs {
            for weights in [&[100][..], &[100, 200, 400]] {
                for zones in [1, 3, 5] {
                    let m = members(n + 1, weights, zones);
                    let start = Instant::now();
                    let small = PartitionRing::new(q, 3, m[..n as usize].to_vec()).unwrap();
                    let ms = start.elapsed().as_secs_f64() * 1e3;
                    let big = PartitionRing::new(q, 3, m.clone()).unwrap();
                    let b = Balance::of(&small);
                    let new = m[n as usize].id;
                    let gained = big.partition_ids().filter(|&p| big.owns(new, p)).count();
                    let join = diff(&small, &big).unwrap().len() as f64 / gained as f64;
                    let leave = diff(&big, &small).unwrap().len() as f64 / gained as f64;
                    println!(
                        "{n} {q} {weights:?} {zones} | {:.3} {:.3} | {join:.3} {leave:.3} | {ms:.1}",
                        b.peak(),
                        b.peak_primary()
                    );
                }
            }
        }
    }
}
