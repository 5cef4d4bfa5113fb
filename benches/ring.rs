//! Placement: looking up owners, building rings, comparing them.
//!
//! `cargo bench --bench ring`
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dynamokv_ring::{Member, NodeId, PartitionRing, Placement, Token, TokenRing, diff};

const REPLICAS: usize = 3;
const VNODES: u32 = 128;
/// Nodes, and the number of partitions recommended for them.
const SIZES: [(u64, u32); 3] = [(10, 1024), (100, 16_384), (1000, 65_536)];

criterion_group!(benches, token, owners, ranking, build, difference);
criterion_main!(benches);

fn token(c: &mut Criterion) {
    let mut group = c.benchmark_group("token");
    for length in [16, 64, 1024] {
        let key = vec![b'k'; length];
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_with_input(BenchmarkId::from_parameter(length), &key, |b, key| {
            b.iter(|| Token::of(black_box(b"default"), black_box(key)));
        });
    }
    group.finish();
}

/// From a 16-byte key to its preference list, with a different key each time.
fn owners(c: &mut Criterion) {
    let mut group = c.benchmark_group("owners");
    for (nodes, partitions) in SIZES {
        let equal = PartitionRing::new(partitions, REPLICAS, members(nodes)).unwrap();
        group.bench_function(BenchmarkId::new("partitions", nodes), |b| {
            look_up(b, &equal)
        });
        let classic = TokenRing::new(VNODES, REPLICAS, members(nodes)).unwrap();
        group.bench_function(BenchmarkId::new("tokens", nodes), |b| look_up(b, &classic));
    }
    group.finish();
}

fn look_up(b: &mut criterion::Bencher<'_>, placement: &impl Placement) {
    let mut number = 0u128;
    b.iter(|| {
        number += 1;
        let token = Token::of(b"default", &number.to_le_bytes());
        black_box(placement.owners(token).first().copied())
    });
}

fn ranking(c: &mut Criterion) {
    let mut group = c.benchmark_group("ranking");
    for (nodes, partitions) in SIZES {
        let ring = PartitionRing::new(partitions, REPLICAS, members(nodes)).unwrap();
        group.bench_function(BenchmarkId::new("partitions", nodes), |b| {
            b.iter(|| ring.ranking(black_box(Token(0x1234_5678_9abc_def0))));
        });
    }
    group.finish();
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("build");
    group.sample_size(10);
    for (nodes, partitions) in SIZES {
        group.bench_function(BenchmarkId::new("partitions", nodes), |b| {
            let build = |members| PartitionRing::new(partitions, REPLICAS, members).unwrap();
            b.iter_batched(|| members(nodes), build, BatchSize::LargeInput);
        });
        group.bench_function(BenchmarkId::new("tokens", nodes), |b| {
            let build = |members| TokenRing::new(VNODES, REPLICAS, members).unwrap();
            b.iter_batched(|| members(nodes), build, BatchSize::LargeInput);
        });
    }
    group.finish();
}

/// The moves of one more node joining.
fn difference(c: &mut Criterion) {
    let mut group = c.benchmark_group("diff");
    for (nodes, partitions) in SIZES {
        let current = PartitionRing::new(partitions, REPLICAS, members(nodes)).unwrap();
        let next = PartitionRing::new(partitions, REPLICAS, members(nodes + 1)).unwrap();
        group.bench_function(BenchmarkId::from_parameter(nodes), |b| {
            b.iter(|| diff(black_box(&current), black_box(&next)).unwrap());
        });
    }
    group.finish();
}

fn members(nodes: u64) -> Vec<Member> {
    (1..=nodes)
        .map(|number| Member::new(NodeId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
        .collect()
}
