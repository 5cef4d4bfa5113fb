//! Placement beside the crates that one would take instead: looking up, adding and removing nodes, building, comparing.
//!
//! `partitions` are made from the ring before (`PartitionRing::next`), `partitions, new` from the members alone.
//!
//! `cargo bench --bench ring`
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Bencher, BenchmarkId, Criterion, criterion_group, criterion_main};
use dynamokv_ring::{Member, NodeId, PartitionRing, Placement, Token, TokenRing, diff};
use sha1::{Digest, Sha1};
use xxhash_rust::xxh3::xxh3_64;

const REPLICAS: usize = 3;
const VNODES: u32 = 128;
/// Nodes, and the number of partitions recommended for them.
const SIZES: [(u64, u32); 3] = [(10, 1024), (100, 16_384), (1000, 65_536)];

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(10);
    targets = replicas_of_all, token, look_up, add_node, remove_node, build, difference, ranking
}
criterion_main!(benches);

fn token(c: &mut Criterion) {
    let mut group = c.benchmark_group("token");
    for length in [16, 64, 1024] {
        let key = vec![b'k'; length];
        group.bench_with_input(BenchmarkId::new("partitions", length), &key, |b, key| {
            b.iter(|| Token::of(black_box(b"default"), black_box(key)));
        });
    }
    group.finish();
}

/// From a 16-byte key, another one each time, to three replicas. `bare` hashes the key and loads a word of a table.
fn look_up(c: &mut Criterion) {
    let mut group = c.benchmark_group("look_up");
    for (nodes, partitions) in SIZES {
        let mut run = |name: &str, look_up: &mut dyn FnMut(&[u8; 16])| {
            group.bench_function(BenchmarkId::new(name, nodes), |b| {
                let mut number = 0u128;
                b.iter(|| {
                    number += 1;
                    look_up(black_box(&number.to_le_bytes()));
                });
            });
        };
        let table: Vec<u64> = (0..u64::from(partitions) * REPLICAS as u64).collect();
        let shift = u64::BITS - partitions.trailing_zeros();
        run("bare", &mut |key| {
            black_box(table[(xxh3_64(key) >> shift) as usize * REPLICAS]);
        });
        let ring = successive(nodes, partitions);
        run("partitions", &mut |key| {
            black_box(ring.owners(Token::of(b"default", key))[0]);
        });
        let classic = TokenRing::new(VNODES, REPLICAS, members(nodes)).unwrap();
        run("tokens", &mut |key| {
            black_box(classic.owners(Token::of(b"default", key))[0]);
        });
        let peer = consistent_hash_ring(nodes);
        run("consistent_hash_ring", &mut |key| {
            black_box(peer.replicas(key).take(REPLICAS).collect::<Vec<_>>());
        });
        let peer = hashring(nodes);
        run("hashring", &mut |key| {
            black_box(peer.get_with_replicas(key, REPLICAS - 1));
        });
        let prototype = Prototype::new(nodes);
        run("prototype", &mut |key| {
            black_box(prototype.replicas(key));
        });
    }
    group.finish();
}

/// One more node joins.
fn add_node(c: &mut Criterion) {
    let mut group = c.benchmark_group("add_node");
    for (nodes, partitions) in SIZES {
        let id = |name| BenchmarkId::new(name, nodes);
        let ring = successive(nodes, partitions);
        group.bench_function(id("partitions"), |b| {
            let join = |members| ring.next(REPLICAS, members).unwrap();
            b.iter_batched(|| members(nodes + 1), join, BatchSize::LargeInput);
        });
        group.bench_function(id("partitions, new"), |b| {
            b.iter(|| stateless(nodes + 1, partitions));
        });
        group.bench_function(id("tokens"), |b| {
            b.iter(|| TokenRing::new(VNODES, REPLICAS, members(nodes + 1)).unwrap());
        });
        let peer = consistent_hash_ring(nodes);
        change(&mut group, id("consistent_hash_ring"), &peer, |ring| {
            ring.insert(nodes);
        });
        let peer = hashring(nodes);
        change(&mut group, id("hashring"), &peer, |ring| {
            ring.batch_add(virtual_nodes(nodes).collect());
        });
        let prototype = Prototype::new(nodes);
        change(&mut group, id("prototype"), &prototype, |ring| {
            ring.add(nodes)
        });
    }
    group.finish();
}

/// The first node leaves.
fn remove_node(c: &mut Criterion) {
    let mut group = c.benchmark_group("remove_node");
    for (nodes, partitions) in SIZES {
        let id = |name| BenchmarkId::new(name, nodes);
        let ring = successive(nodes, partitions);
        group.bench_function(id("partitions"), |b| {
            let leave = |members: Vec<Member>| ring.next(REPLICAS, members).unwrap();
            b.iter_batched(|| members(nodes).split_off(1), leave, BatchSize::LargeInput);
        });
        let peer = consistent_hash_ring(nodes);
        change(&mut group, id("consistent_hash_ring"), &peer, |ring| {
            ring.remove(&0);
        });
        let peer = hashring(nodes);
        change(&mut group, id("hashring"), &peer, |ring| {
            for vnode in virtual_nodes(0) {
                ring.remove(&vnode);
            }
        });
        let prototype = Prototype::new(nodes);
        change(&mut group, id("prototype"), &prototype, |ring| {
            ring.remove(0)
        });
    }
    group.finish();
}

/// Measures a change made in place, without the copy that is made for it.
fn change<R: Clone>(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    id: BenchmarkId,
    ring: &R,
    change: impl Fn(&mut R),
) {
    group.bench_function(id, |b: &mut Bencher<'_>| {
        let changed = |mut ring: R| {
            change(&mut ring);
            ring
        };
        b.iter_batched(|| ring.clone(), changed, BatchSize::LargeInput);
    });
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("build");
    for (nodes, partitions) in SIZES {
        let id = |name| BenchmarkId::new(name, nodes);
        group.bench_function(id("partitions, new"), |b| {
            b.iter(|| stateless(nodes, partitions));
        });
        group.bench_function(id("partitions"), |b| {
            b.iter(|| successive(nodes, partitions));
        });
        group.bench_function(id("tokens"), |b| {
            b.iter(|| TokenRing::new(VNODES, REPLICAS, members(nodes)).unwrap());
        });
        group.bench_function(id("hashring"), |b| b.iter(|| hashring(nodes)));
        group.bench_function(id("prototype"), |b| b.iter(|| Prototype::new(nodes)));
    }
    group.finish();
}

/// The moves of one more node joining.
fn difference(c: &mut Criterion) {
    let mut group = c.benchmark_group("diff");
    for (nodes, partitions) in SIZES {
        let current = successive(nodes, partitions);
        let next = current.next(REPLICAS, members(nodes + 1)).unwrap();
        group.bench_function(BenchmarkId::new("partitions", nodes), |b| {
            b.iter(|| diff(black_box(&current), black_box(&next)).unwrap());
        });
    }
    group.finish();
}

fn ranking(c: &mut Criterion) {
    let mut group = c.benchmark_group("ranking");
    for (nodes, partitions) in SIZES {
        let ring = stateless(nodes, partitions);
        group.bench_function(BenchmarkId::new("partitions", nodes), |b| {
            b.iter(|| ring.ranking(black_box(Token(0x1234_5678_9abc_def0))));
        });
    }
    group.finish();
}

/// No measurement: shows who answers with three distinct nodes when asked for three replicas. Ours must.
fn replicas_of_all(_: &mut Criterion) {
    let (nodes, partitions) = SIZES[0];
    let (ring, classic) = (
        successive(nodes, partitions),
        TokenRing::new(VNODES, REPLICAS, members(nodes)).unwrap(),
    );
    assert_eq!(wrong(|key| ring.owners(Token::of(b"", key)).to_vec()), 0);
    assert_eq!(wrong(|key| classic.owners(Token::of(b"", key)).to_vec()), 0);
    let peer = consistent_hash_ring(nodes);
    let replicas = |key: &[u8]| peer.replicas(key).take(REPLICAS).copied().collect();
    println!(
        "consistent_hash_ring: {} lists of 10,000 without three distinct nodes",
        wrong(replicas)
    );
    let peer = hashring(nodes);
    let replicas = |key: &[u8]| -> Vec<u64> {
        let replicas = peer
            .get_with_replicas(&key, REPLICAS - 1)
            .unwrap_or_default();
        replicas.into_iter().map(|(node, _)| node).collect()
    };
    println!(
        "hashring: {} lists of 10,000 without three distinct nodes",
        wrong(replicas)
    );
    let prototype = Prototype::new(nodes);
    println!(
        "prototype: {} lists of 10,000 without three distinct nodes",
        wrong(|key| prototype.replicas(key))
    );
}

/// Of 10,000 lists, those that are not three distinct nodes.
fn wrong<T: Ord>(replicas: impl Fn(&[u8]) -> Vec<T>) -> usize {
    let is_wrong = |number: &u128| {
        let list = replicas(&number.to_le_bytes());
        list.len() != REPLICAS || list.iter().collect::<BTreeSet<_>>().len() != REPLICAS
    };
    (0..10_000).filter(is_wrong).count()
}

fn stateless(nodes: u64, partitions: u32) -> PartitionRing {
    PartitionRing::new(partitions, REPLICAS, members(nodes)).unwrap()
}

fn successive(nodes: u64, partitions: u32) -> PartitionRing {
    let nobody = PartitionRing::new(partitions, REPLICAS, []).unwrap();
    nobody.next(REPLICAS, members(nodes)).unwrap()
}

fn members(nodes: u64) -> Vec<Member> {
    (1..=nodes)
        .map(|number| Member::new(NodeId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
        .collect()
}

fn consistent_hash_ring(nodes: u64) -> consistent_hash_ring::Ring<u64> {
    let ring = consistent_hash_ring::RingBuilder::default();
    ring.vnodes(VNODES as usize).nodes_iter(0..nodes).build()
}

/// This crate leaves virtual nodes to its users: here pairs of node and number, as its front page shows.
fn hashring(nodes: u64) -> hashring::HashRing<(u64, u32)> {
    let mut ring = hashring::HashRing::new();
    ring.batch_add((0..nodes).flat_map(virtual_nodes).collect());
    ring
}

fn virtual_nodes(node: u64) -> impl Iterator<Item = (u64, u32)> {
    (0..VNODES).map(move |number| (node, number))
}

/// What a first prototype in another language did: SHA-1 of names, sorted tokens, a map from token to node, and a
/// fresh set and list for each look-up.
#[derive(Clone)]
struct Prototype {
    tokens: Vec<u64>,
    nodes: HashMap<u64, String>,
}

impl Prototype {
    fn new(nodes: u64) -> Self {
        let mut ring = Prototype {
            tokens: Vec::new(),
            nodes: HashMap::new(),
        };
        for node in 0..nodes {
            ring.insert(node);
        }
        ring.tokens.sort_unstable();
        ring
    }

    fn add(&mut self, node: u64) {
        self.insert(node);
        self.tokens.sort_unstable();
    }

    fn insert(&mut self, node: u64) {
        for token in Self::tokens_of(node) {
            self.tokens.push(token);
            self.nodes.insert(token, name(node));
        }
    }

    fn remove(&mut self, node: u64) {
        let gone: HashSet<u64> = Self::tokens_of(node).collect();
        self.tokens.retain(|token| !gone.contains(token));
        self.nodes.retain(|token, _| !gone.contains(token));
    }

    fn replicas(&self, key: &[u8]) -> Vec<String> {
        let of_key = sha1(key);
        let start = self.tokens.partition_point(|&token| token < of_key);
        let (mut seen, mut replicas) = (HashSet::new(), Vec::new());
        for place in 0..self.tokens.len() {
            let token = self.tokens[(start + place) % self.tokens.len()];
            let node = &self.nodes[&token];
            if seen.insert(node.clone()) {
                replicas.push(node.clone());
            }
            if replicas.len() == REPLICAS {
                break;
            }
        }
        replicas
    }

    fn tokens_of(node: u64) -> impl Iterator<Item = u64> {
        (0..VNODES).map(move |number| sha1(format!("{}-{number}", name(node)).as_bytes()))
    }
}

fn name(node: u64) -> String {
    format!("node-{node}")
}

fn sha1(bytes: &[u8]) -> u64 {
    let digest = Sha1::digest(bytes);
    digest
        .iter()
        .take(8)
        .fold(0, |token, &byte| token << 8 | u64::from(byte))
}
