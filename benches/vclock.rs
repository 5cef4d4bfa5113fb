//! Causality beside the crates that one would take instead, on the same inputs: the version vectors
//! and multi-value registers of `crdts`, the version vectors of `vclock`. All are generic over the
//! actor and get the same one, of 16 bytes; what has no binary form of its own is written by
//! postcard.
//!
//! `cargo bench --bench vclock`
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::HashMap;
use std::hint::black_box;
use std::mem;
use std::time::Duration;

use crdts::{CmRDT, CvRDT, MVReg, mvreg};
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main,
};
use dynamokv_vclock::{ActorId, CausalContext, Dot, Epoch, Siblings, VersionVector};

type CrdtsClock = crdts::VClock<ActorId>;
type HashClock = peer_vclock::VClock<ActorId, u64>;

const ACTORS: [u64; 3] = [3, 10, 100];

/// So few that the inputs of a batch stay in the cache.
const BATCH: BatchSize = BatchSize::NumIterations(256);

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(900))
        .sample_size(40)
        .without_plots();
    targets = compare, merge, increment, sibling_join, encode, decode, covers
}
criterion_main!(benches);

/// Two clocks of the same actors: one after the other, and concurrent, which is seen at the first
/// and the last actor only.
fn compare(c: &mut Criterion) {
    let mut compared = |name, left: fn(u64) -> Counts, right: fn(u64) -> Counts| {
        for_each_size(c, name, |group, actors| {
            let (l, r) = (Clocks::of(&left(actors)), Clocks::of(&right(actors)));
            group.bench_function(ours(actors), |b| {
                b.iter(|| black_box(&l.ours).partial_cmp(black_box(&r.ours)));
            });
            group.bench_function(BenchmarkId::new("crdts", actors), |b| {
                b.iter(|| black_box(&l.crdts).partial_cmp(black_box(&r.crdts)));
            });
            group.bench_function(BenchmarkId::new("vclock", actors), |b| {
                b.iter(|| black_box(&l.hashed).partial_cmp(black_box(&r.hashed)));
            });
        });
    };
    compared("compare, before", counts, last_raised);
    compared("compare, concurrent", first_raised, last_raised);
}

/// Cloning the inputs is not part of the time, though `crdts` consumes the other clock.
fn merge(c: &mut Criterion) {
    let mut merged = |name, left: fn(u64) -> Counts, right: fn(u64) -> Counts| {
        for_each_size(c, name, |group, actors| {
            let (l, r) = (Clocks::of(&left(actors)), Clocks::of(&right(actors)));
            group.bench_function(ours(actors), |b| {
                b.iter_batched_ref(
                    || clones_of(&l.ours, &r.ours),
                    |(l, r)| l.merge(black_box(r)),
                    BATCH,
                );
            });
            group.bench_function(BenchmarkId::new("crdts", actors), |b| {
                b.iter_batched_ref(
                    || clones_of(&l.crdts, &r.crdts),
                    |(l, r)| l.merge(mem::take(black_box(r))),
                    BATCH,
                );
            });
            group.bench_function(BenchmarkId::new("vclock", actors), |b| {
                b.iter_batched_ref(
                    || clones_of(&l.hashed, &r.hashed),
                    |(l, r)| l.merge(black_box(r)),
                    BATCH,
                );
            });
        });
    };
    merged("merge, nothing new", last_raised, counts);
    merged("merge, same actors", first_raised, last_raised);
    merged("merge, other actors", counts, others);
}

fn increment(c: &mut Criterion) {
    for_each_size(c, "increment", |group, actors| {
        let mut clocks = Clocks::of(&counts(actors));
        let last = actor(actors - 1);
        group.bench_function(ours(actors), |b| {
            b.iter(|| clocks.ours.increment(*black_box(&last)));
        });
        group.bench_function(BenchmarkId::new("crdts", actors), |b| {
            b.iter(|| {
                let dot = clocks.crdts.inc(*black_box(&last));
                clocks.crdts.apply(dot);
            });
        });
        group.bench_function(BenchmarkId::new("vclock", actors), |b| {
            b.iter(|| clocks.hashed.incr(black_box(&last)));
        });
    });
}

/// A replica that holds one value takes the delta of a put that has seen it, and of one that has
/// not.
fn sibling_join(c: &mut Criterion) {
    let mut joined = |name, sees_it: bool| {
        for_each_size(c, name, |group, actors| {
            let seen = Clocks::of(&counts(actors));
            let (first, second) = (actor(0), actor(actors - 1));

            let known = CausalContext::from(seen.ours);
            let state = Siblings::delta(Dot::new(first, 8), 1_u64, &known);
            let client = if sees_it { state.context() } else { &known };
            let delta = Siblings::delta(Dot::new(second, 8), 2, client);
            group.bench_function(ours(actors), |b| {
                b.iter_batched_ref(
                    || (state.clone(), Some(delta.clone())),
                    |(state, delta)| delta.take().map(|delta| state.join(black_box(delta))),
                    BATCH,
                );
            });

            let put = |mut clock: CrdtsClock, actor, val| {
                clock.apply(clock.inc(actor));
                let mut register = MVReg::default();
                register.apply(mvreg::Op::Put { clock, val });
                register
            };
            let state = put(seen.crdts.clone(), first, 1_u64);
            let client = if sees_it {
                state.read().add_clock
            } else {
                seen.crdts
            };
            let delta = put(client, second, 2);
            group.bench_function(BenchmarkId::new("crdts", actors), |b| {
                b.iter_batched_ref(
                    || clones_of(&state, &delta),
                    |(state, delta)| state.merge(mem::take(black_box(delta))),
                    BATCH,
                );
            });
        });
    };
    joined("sibling join, successor", true);
    joined("sibling join, rival", false);
}

fn encode(c: &mut Criterion) {
    for_each_size(c, "encode", |group, actors| {
        let clocks = Clocks::of(&counts(actors));
        let mut bytes = Vec::with_capacity(8192);
        group.bench_function(ours(actors), |b| {
            b.iter(|| {
                bytes.clear();
                black_box(&clocks.ours).encode(&mut bytes);
                black_box(bytes.len())
            });
        });
        let mut buffer = vec![0; 8192];
        group.bench_function(BenchmarkId::new("crdts", actors), |b| {
            b.iter(|| postcard::to_slice(black_box(&clocks.crdts), &mut buffer).map(|s| s.len()));
        });
        group.bench_function(BenchmarkId::new("vclock", actors), |b| {
            b.iter(|| postcard::to_slice(black_box(&clocks.hashed), &mut buffer).map(|s| s.len()));
        });
    });
}

fn decode(c: &mut Criterion) {
    for_each_size(c, "decode", |group, actors| {
        let clocks = Clocks::of(&counts(actors));
        let mut bytes = Vec::new();
        clocks.ours.encode(&mut bytes);
        group.bench_function(ours(actors), |b| {
            b.iter(|| VersionVector::<ActorId>::decode(black_box(&bytes)).unwrap());
        });
        let bytes = postcard::to_stdvec(&clocks.crdts).unwrap();
        group.bench_function(BenchmarkId::new("crdts", actors), |b| {
            b.iter(|| postcard::from_bytes::<CrdtsClock>(black_box(&bytes)).unwrap());
        });
        let bytes = postcard::to_stdvec(&clocks.hashed).unwrap();
        group.bench_function(BenchmarkId::new("vclock", actors), |b| {
            b.iter(|| postcard::from_bytes::<HashClock>(black_box(&bytes)).unwrap());
        });
    });
}

/// A dot looked for in a context with a gap. No peer has contexts with gaps.
fn covers(c: &mut Criterion) {
    for_each_size(c, "covers", |group, actors| {
        let mut context = CausalContext::from(Clocks::of(&counts(actors)).ours);
        context.insert(Dot::new(actor(actors - 1), 9));
        let dot = Dot::new(actor(actors / 2), 8);
        group.bench_function(ours(actors), |b| {
            b.iter(|| black_box(&context).covers(black_box(&dot)));
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

fn ours(actors: u64) -> BenchmarkId {
    BenchmarkId::new("dynamokv", actors)
}

/// One clock in each crate's form.
struct Clocks {
    ours: VersionVector,
    crdts: CrdtsClock,
    hashed: HashClock,
}

impl Clocks {
    fn of(counts: &Counts) -> Self {
        let each = || counts.iter().copied();
        Self {
            ours: each().map(|(actor, n)| Dot::new(actor, n)).collect(),
            crdts: each().map(|(actor, n)| crdts::Dot::new(actor, n)).collect(),
            hashed: each().collect::<HashMap<_, _>>().into(),
        }
    }
}

fn clones_of<T: Clone>(left: &T, right: &T) -> (T, T) {
    (left.clone(), right.clone())
}

type Counts = Vec<(ActorId, u64)>;

/// All actors at 7.
fn counts(actors: u64) -> Counts {
    (0..actors).map(|number| (actor(number), 7)).collect()
}

fn first_raised(actors: u64) -> Counts {
    let mut counts = counts(actors);
    counts[0].1 += 1;
    counts
}

fn last_raised(actors: u64) -> Counts {
    let mut counts = counts(actors);
    counts[actors as usize - 1].1 += 1;
    counts
}

/// As many other actors, between those of [`counts`].
fn others(actors: u64) -> Counts {
    (0..actors)
        .map(|number| (ActorId::new(actor(number).node, Epoch(1)), 7))
        .collect()
}

/// Nodes have random ids, ascending here, and one epoch each.
fn actor(number: u64) -> ActorId {
    let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    ActorId::new(number << 56 | random, Epoch((number + 1) << 24))
}
