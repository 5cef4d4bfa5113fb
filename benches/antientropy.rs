//! Hash trees: what a change costs, and what a comparison, beside a Merkle search tree, which keeps the keys too and needs no
//! fixed places.
//!
//! `cargo bench --bench antientropy`
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use dynamokv_antientropy::{Descent, Forest, Parent, Prefix, verdicts};
use dynamokv_ring::Token;
use merkle_search_tree::MerkleSearchTree;
use merkle_search_tree::diff::diff;

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_200))
        .sample_size(20)
        .without_plots();
    targets = change, compare
}
criterion_main!(benches);

const KEYS: u64 = 100_000;

/// Partitions of a usual ring.
const PARTITION_BITS: u8 = 8;

fn token(n: u64) -> Token {
    Token(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn hash(n: u64, version: u64) -> u128 {
    u128::from(n).wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645) ^ u128::from(version)
}

/// With as many leaves as it shall have.
fn forest(version: impl Fn(u64) -> u64) -> Forest {
    let forest = Forest::new(true);
    for n in 0..KEYS {
        forest.change(token(n), None, Some(hash(n, version(n))));
    }
    while let Some(due) = forest.due(1) {
        let range = forest.range_of(&due);
        let mut recount = forest.begin_recount(due, 0);
        for n in (0..KEYS).filter(|n| range.contains(token(*n))) {
            recount.add(token(n), hash(n, version(n)));
        }
        recount.finish();
    }
    forest
}

type Peer = MerkleSearchTree<Vec<u8>, Vec<u8>>;

fn peer(version: impl Fn(u64) -> u64) -> Peer {
    let mut peer = Peer::default();
    for n in 0..KEYS {
        upsert(&mut peer, n, version(n));
    }
    peer.root_hash();
    peer
}

fn upsert(peer: &mut Peer, n: u64, version: u64) {
    let value = hash(n, version).to_be_bytes().to_vec();
    peer.upsert(token(n).0.to_be_bytes().to_vec(), &value);
}

fn change(c: &mut Criterion) {
    let mut group = c.benchmark_group("change");
    let forest = forest(|_| 0);
    let mut at = 0;
    group.bench_function("dynamokv", |b| {
        b.iter(|| {
            at += 1;
            let n = at % KEYS;
            forest.change(token(n), Some(hash(n, at)), Some(hash(n, at + 1)));
        });
    });
    let at = AtomicU64::new(0);
    group.bench_function("dynamokv, two threads", |b| {
        b.iter_custom(|changes| {
            let began = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for _ in 0..changes / 2 {
                            let n = at.fetch_add(1, Ordering::Relaxed) % KEYS;
                            forest.change(token(n), Some(hash(n, 1)), Some(hash(n, 2)));
                        }
                    });
                }
            });
            began.elapsed()
        });
    });
    let mut peer = peer(|_| 0);
    let mut at = 0;
    group.bench_function("merkle-search-tree, hashes later", |b| {
        b.iter(|| {
            at += 1;
            upsert(&mut peer, at % KEYS, at);
        });
    });
}

/// The sum over everything; and all that a difference in some keys takes, down to the ranges where they are.
fn compare(c: &mut Criterion) {
    let mut group = c.benchmark_group("compare");
    let ours = forest(|_| 0);
    group.bench_function("dynamokv, all partitions", |b| {
        b.iter(|| {
            let sums = Prefix::ROOT
                .split(PARTITION_BITS)
                .map(|prefix| ours.see(prefix));
            black_box(sums.collect::<Vec<_>>())
        });
    });
    for differing in [10, 1_000] {
        let version = |n: u64| u64::from(n.is_multiple_of(KEYS / differing));
        let theirs = forest(version);
        group.bench_function(format!("dynamokv, {differing} keys differ"), |b| {
            b.iter(|| descend(&ours, &theirs));
        });
        let (mut one, mut other) = (peer(|_| 0), peer(version));
        one.root_hash();
        other.root_hash();
        group.bench_function(
            format!("merkle-search-tree, {differing} keys differ"),
            |b| {
                b.iter_batched(
                    || (),
                    |()| {
                        let ours = one.serialise_page_ranges().unwrap();
                        let theirs = other.serialise_page_ranges().unwrap();
                        black_box(diff(ours, theirs).len())
                    },
                    BatchSize::SmallInput,
                );
            },
        );
    }
}

fn descend(ours: &Forest, theirs: &Forest) -> usize {
    let asked: Vec<Parent> = Prefix::ROOT
        .split(PARTITION_BITS)
        .map(Parent::itself)
        .collect();
    let sums = theirs.sums(&asked).unwrap();
    let compared = verdicts(ours, &asked, &sums).unwrap();
    let differing = asked.iter().zip(compared);
    let differing =
        differing.filter(|(_, verdict)| *verdict == dynamokv_antientropy::Verdict::Differs);
    let mut descent = Descent::new(ours, differing.map(|(parent, _)| parent.prefix()));
    while let Some(asked) = descent.ask(ours) {
        let sums = theirs.sums(&asked).unwrap();
        descent.answered(ours, &asked, &sums).unwrap();
    }
    descent.into_ranges().len()
}
