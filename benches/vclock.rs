//! Causality: comparing and merging clocks, joining sibling sets, the binary form of contexts.
//!
//! `cargo bench --bench vclock`
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main,
};
use dynamokv_vclock::{ActorId, CausalContext, Dot, Epoch, Siblings, VersionVector};

const ACTORS: [u64; 4] = [1, 3, 10, 50];

criterion_group!(
    benches, compare, merge, advance, covers, delta_join, encode, decode
);
criterion_main!(benches);

/// Two clocks of the same actors: one after the other, and concurrent.
fn compare(c: &mut Criterion) {
    for_each_size(c, "compare", |group, actors| {
        let clock = vector(actors, 7);
        let after = advanced(&clock, actors - 1);
        group.bench_function(BenchmarkId::new("after", actors), |b| {
            b.iter(|| black_box(&after).partial_cmp(black_box(&clock)));
        });
        if actors > 1 {
            let (left, right) = (advanced(&clock, 0), after);
            group.bench_function(BenchmarkId::new("concurrent", actors), |b| {
                b.iter(|| black_box(&left).partial_cmp(black_box(&right)));
            });
        }
    });
}

fn merge(c: &mut Criterion) {
    for_each_size(c, "merge", |group, actors| {
        let clock = vector(actors, 7);
        let (left, right) = (advanced(&clock, 0), advanced(&clock, actors - 1));
        group.bench_function(BenchmarkId::new("same actors", actors), |b| {
            b.iter_batched_ref(
                || left.clone(),
                |left| left.merge(black_box(&right)),
                BatchSize::SmallInput,
            );
        });
        let others = (0..actors)
            .map(|node| Dot::new(actor(node * 2 + 1), 7))
            .collect();
        let evens: VersionVector = (0..actors)
            .map(|node| Dot::new(actor(node * 2), 7))
            .collect();
        group.bench_function(BenchmarkId::new("other actors", actors), |b| {
            b.iter_batched_ref(
                || evens.clone(),
                |evens| evens.merge(black_box(&others)),
                BatchSize::SmallInput,
            );
        });
    });
}

fn advance(c: &mut Criterion) {
    for_each_size(c, "advance", |group, actors| {
        let mut clock = vector(actors, 1);
        let last = actor(actors - 1);
        group.bench_function(BenchmarkId::from_parameter(actors), |b| {
            b.iter(|| {
                let counter = clock.get(black_box(&last)) + 1;
                clock.advance(Dot::new(last, counter))
            });
        });
    });
}

/// A dot looked for in a context with gaps.
fn covers(c: &mut Criterion) {
    for_each_size(c, "covers", |group, actors| {
        let context = context_with_gap(actors);
        let dot = Dot::new(actor(actors / 2), 8);
        group.bench_function(BenchmarkId::from_parameter(actors), |b| {
            b.iter(|| black_box(&context).covers(black_box(&dot)));
        });
    });
}

/// One replica takes the delta of a put that follows what it holds.
fn delta_join(c: &mut Criterion) {
    for_each_size(c, "delta join", |group, actors| {
        let known = CausalContext::from(vector(actors, 7));
        let state = Siblings::delta(Dot::new(actor(0), 8), 1u64, &known);
        let delta = Siblings::delta(Dot::new(actor(actors - 1), 9), 2u64, state.context());
        group.bench_function(BenchmarkId::new("successor", actors), |b| {
            let states = || (state.clone(), delta.clone());
            b.iter_batched(
                states,
                |(mut state, delta)| {
                    state.join(delta);
                    state
                },
                BatchSize::SmallInput,
            );
        });
        let rival = Siblings::delta(Dot::new(actor(actors), 1), 2u64, &known);
        group.bench_function(BenchmarkId::new("rival", actors), |b| {
            let states = || (state.clone(), rival.clone());
            b.iter_batched(
                states,
                |(mut state, rival)| {
                    state.join(rival);
                    state
                },
                BatchSize::SmallInput,
            );
        });
    });
}

fn encode(c: &mut Criterion) {
    for_each_size(c, "encode", |group, actors| {
        let context = context_with_gap(actors);
        let mut bytes = Vec::with_capacity(4096);
        group.bench_function(BenchmarkId::from_parameter(actors), |b| {
            b.iter(|| {
                bytes.clear();
                black_box(&context).encode(&mut bytes);
                black_box(bytes.len())
            });
        });
    });
}

fn decode(c: &mut Criterion) {
    for_each_size(c, "decode", |group, actors| {
        let mut bytes = Vec::new();
        context_with_gap(actors).encode(&mut bytes);
        group.bench_function(BenchmarkId::from_parameter(actors), |b| {
            b.iter(|| CausalContext::<ActorId>::decode(black_box(&bytes)).unwrap());
        });
    });
}

fn for_each_size(
    c: &mut Criterion,
    name: &str,
    mut bench: impl FnMut(&mut BenchmarkGroup<'_, WallTime>, u64),
) {
    let mut group = c.benchmark_group(name);
    for actors in ACTORS {
        bench(&mut group, actors);
    }
    group.finish();
}

fn actor(number: u64) -> ActorId {
    ActorId::new(
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        Epoch(number << 24),
    )
}

fn vector(actors: u64, counter: u64) -> VersionVector {
    (0..actors)
        .map(|number| Dot::new(actor(number), counter))
        .collect()
}

fn advanced(clock: &VersionVector, number: u64) -> VersionVector {
    let mut clock = clock.clone();
    clock.advance(Dot::new(actor(number), clock.get(&actor(number)) + 1));
    clock
}

/// All actors at 7, and the last one's ninth write before its eighth.
fn context_with_gap(actors: u64) -> CausalContext {
    let mut context = CausalContext::from(vector(actors, 7));
    context.insert(Dot::new(actor(actors - 1), 9));
    context
}
