//! The versioned store beside RocksDB used bare: the same keys, values of the same size, the same cache and
//! compression, in the same run. And what durability costs many writers, beside the disk's own limit.
//!
//! `cargo bench -p dynamokv-storage --features rocksdb --bench storage`
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use dynamokv_antientropy::Forest;
use dynamokv_ring::TokenRange;
use dynamokv_storage::{
    Batch, Change, Durability, Family, MemoryEngine, ObjectKey, ObjectStore, Observer, RocksEngine,
    RocksOptions, State, StateHash, StoreOptions, Value,
};
use dynamokv_vclock::{ActorId, CausalContext, Dot, Epoch, HybridTime};
use parking_lot::Mutex;
use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, IteratorMode, WriteOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1_500))
        .sample_size(20)
        .without_plots();
    targets = get, apply, hash_trees, join, scan, group_sync
}
criterion_main!(benches);

/// Length of the bodies, and how many keys there are: what they hold fits the cache.
const SIZES: [(usize, usize); 3] = [(100, 10_000), (1 << 10, 10_000), (64 << 10, 500)];

const WRITERS: [usize; 4] = [1, 16, 64, 256];

/// Reads of what is in tables and in the cache.
fn get(c: &mut Criterion) {
    for (size, count) in SIZES {
        let keys = keys(count);
        let mut group = group(c, "get", size);
        for (name, opened) in stores() {
            let opened = opened.filled(&keys, size).reopened();
            let mut keys = keys.iter().cycle();
            group.bench_function(name, |b| {
                b.iter(|| opened.store.get(keys.next().unwrap()).unwrap().unwrap());
            });
        }
        let raw = Raw::new().filled(&keys, size).reopened();
        let keys: Vec<Bytes> = keys.iter().map(ObjectKey::encode).collect();
        let mut keys = keys.iter().cycle();
        group.bench_function("raw RocksDB", |b| {
            b.iter(|| raw.db.get(keys.next().unwrap()).unwrap().unwrap());
        });
    }
}

/// Puts at the coordinator, each over the value that its client has read; beside them a plain put.
fn apply(c: &mut Criterion) {
    for (size, count) in SIZES {
        let keys = keys(count);
        let body = body(size);
        let mut group = group(c, "apply", size);
        for (name, opened) in stores() {
            let opened = opened.filled(&keys, size);
            let mut seen: Vec<CausalContext> =
                keys.iter().map(|key| context(&opened.store, key)).collect();
            let mut at = 0;
            group.bench_function(name, |b| {
                b.iter(|| {
                    at = (at + 1) % keys.len();
                    let value = Value::new(HybridTime(1), body.clone());
                    let applied = opened.store.put(&keys[at], value, &seen[at], |_| {});
                    seen[at] = applied.unwrap().delta.into_parts().0;
                });
            });
        }
        bench_raw_put(&mut group, &keys, size);
    }
}

/// Deltas from another node, each over the value that is there.
fn join(c: &mut Criterion) {
    for (size, count) in SIZES {
        let keys = keys(count);
        let body = body(size);
        let mut group = group(c, "join", size);
        for (name, opened) in stores() {
            let opened = opened.filled(&keys, size);
            let mut seen: Vec<CausalContext> =
                keys.iter().map(|key| context(&opened.store, key)).collect();
            let (mut at, mut counter) = (0, 0);
            let mut next_delta = || {
                at = (at + 1) % keys.len();
                counter += 1;
                let dot = Dot::new(ActorId::new(2, Epoch(1)), counter);
                let delta = State::delta(dot, Value::new(HybridTime(1), body.clone()), &seen[at]);
                seen[at] = CausalContext::from_iter([dot]);
                (at, delta)
            };
            group.bench_function(name, |b| {
                b.iter_batched(
                    &mut next_delta,
                    |(at, delta)| opened.store.join(&keys[at], &delta, |_| {}).unwrap(),
                    BatchSize::NumIterations(64),
                );
            });
        }
        bench_raw_put(&mut group, &keys, size);
    }
}

/// A page of 400 records at most, as a transfer or an exchange reads them.
fn scan(c: &mut Criterion) {
    const PAGE: usize = 400;
    for (size, count) in SIZES {
        let keys = keys(count);
        let mut group = group(c, "scan", size);
        group.throughput(Throughput::Elements(PAGE as u64));
        for (name, opened) in stores() {
            let opened = opened.filled(&keys, size).reopened();
            group.bench_function(name, |b| {
                b.iter(|| {
                    let page = opened.store.scan(TokenRange::ALL, None, PAGE, usize::MAX);
                    assert_eq!(black_box(page.unwrap()).entries.len(), PAGE);
                });
            });
        }
        let raw = Raw::new().filled(&keys, size).reopened();
        group.bench_function("raw RocksDB", |b| {
            b.iter(|| {
                let entries = raw.db.iterator(IteratorMode::Start).take(PAGE);
                assert_eq!(black_box(entries.collect::<Vec<_>>()).len(), PAGE);
            });
        });
    }
}

/// Writers that each wait for their last write before the next. One element is one write of 100 B.
fn group_sync(c: &mut Criterion) {
    const SIZE: usize = 100;
    let runtime = Runtime::new().unwrap();
    for writers in WRITERS {
        let keys = keys(writers);
        let mut group = c.benchmark_group(format!("group_sync/{writers}"));
        group
            .throughput(Throughput::Elements(1))
            .sampling_mode(SamplingMode::Flat)
            .sample_size(10)
            .measurement_time(Duration::from_secs(3));
        for (name, durability) in [("no sync", Durability::Os), ("sync", Durability::Sync)] {
            let opened = Opened::rocksdb(durability);
            group.bench_function(name, |b| {
                b.iter_custom(|writes| runtime.block_on(by_tasks(&opened.store, &keys, writes)));
            });
        }
        let opened = Opened::rocksdb(Durability::Os).filled(&keys, SIZE);
        let record = opened.record(&keys[0]);
        let one_at_a_time = Mutex::new(());
        group.bench_function("one fsync a write", |b| {
            b.iter_custom(|writes| {
                by_threads(&keys, writes, |key| {
                    let _turn = one_at_a_time.lock();
                    let mut batch = Batch::new();
                    batch.put(&Family::OBJECTS, key.encode(), record.clone());
                    opened.store.engine().write(batch).unwrap();
                    opened.store.engine().sync().unwrap();
                })
            });
        });
        let raw = Raw::new();
        let mut durable = WriteOptions::default();
        durable.set_sync(true);
        group.bench_function("raw RocksDB, its own group commit", |b| {
            b.iter_custom(|writes| {
                by_threads(&keys, writes, |key| {
                    raw.db.put_opt(key.encode(), &record, &durable).unwrap();
                })
            });
        });
        group.bench_function("the disk: fdatasync of the same bytes", |b| {
            let bytes = vec![7; writers * (keys[0].encode().len() + record.len())];
            let folder = tempfile::tempdir().unwrap();
            let mut log = File::create(folder.path().join("log")).unwrap();
            b.iter_custom(|writes| {
                let rounds = writes.div_ceil(writers as u64);
                let begun = Instant::now();
                for _ in 0..rounds {
                    log.write_all(&bytes).unwrap();
                    log.sync_data().unwrap();
                }
                let written = rounds * writers as u64;
                begun.elapsed().mul_f64(writes as f64 / written as f64)
            });
        });
    }
}

/// Puts by one task a key, as a node makes them.
async fn by_tasks(store: &Arc<ObjectStore>, keys: &[ObjectKey], writes: u64) -> Duration {
    let left = Arc::new(AtomicU64::new(writes));
    let body = body(100);
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for key in keys {
        let (store, left) = (Arc::clone(store), Arc::clone(&left));
        let (key, body) = (key.clone(), body.clone());
        tasks.spawn(async move {
            let mut seen = context(&store, &key);
            while take_one(&left) {
                let value = Value::new(HybridTime(1), body.clone());
                let applied = store.put(&key, value, &seen, |_| {}).unwrap();
                seen = applied.delta.into_parts().0;
                store.settled(applied.seq).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    begun.elapsed()
}

fn by_threads(keys: &[ObjectKey], writes: u64, write: impl Fn(&ObjectKey) + Sync) -> Duration {
    let left = AtomicU64::new(writes);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for key in keys {
            scope.spawn(|| {
                while take_one(&left) {
                    write(key);
                }
            });
        }
    });
    begun.elapsed()
}

fn take_one(left: &AtomicU64) -> bool {
    let took = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(1)
    });
    took.is_ok()
}

/// The other side of every put and join: what RocksDB takes for a value of that length under that key.
fn bench_raw_put(group: &mut BenchmarkGroup<'_, WallTime>, keys: &[ObjectKey], size: usize) {
    let raw = Raw::new().filled(keys, size);
    let body = body(size);
    let keys: Vec<Bytes> = keys.iter().map(ObjectKey::encode).collect();
    let mut keys = keys.iter().cycle();
    group.bench_function("raw RocksDB", |b| {
        b.iter(|| raw.db.put(keys.next().unwrap(), &body).unwrap());
    });
}

fn group<'a>(c: &'a mut Criterion, what: &str, size: usize) -> BenchmarkGroup<'a, WallTime> {
    let name = match size {
        size if size < 1 << 10 => format!("{what}/{size} B"),
        size => format!("{what}/{} KiB", size >> 10),
    };
    c.benchmark_group(name)
}

struct Opened {
    store: Arc<ObjectStore>,
    /// `None` in memory.
    folder: Option<TempDir>,
}

fn stores() -> [(&'static str, Opened); 2] {
    let memory = Arc::new(MemoryEngine::new(Family::CLUSTER));
    let memory = Opened {
        store: ObjectStore::open(memory, StoreOptions::new(1, 7)).unwrap(),
        folder: None,
    };
    [
        ("memory", memory),
        ("RocksDB", Opened::rocksdb(Durability::Os)),
    ]
}

/// Tells hash trees of each change, as a node does.
struct Trees(Forest);

impl Observer for Trees {
    fn changed(&self, change: &Change) {
        let hash = |state: Option<StateHash>| state.map(|state| state.0);
        self.0
            .change(change.token, hash(change.old), hash(change.new));
    }

    fn cleared(&self, range: TokenRange) {
        self.0.clear(range);
    }
}

/// Puts with and without hash trees, a hundred of each in turn, so that compactions and neighbours meet both alike.
fn hash_trees(c: &mut Criterion) {
    const IN_TURN: usize = 100;
    for (size, count) in SIZES {
        let keys = keys(count);
        let body = body(size);
        let put = |store: &ObjectStore, seen: &mut [CausalContext], at: usize| {
            let value = Value::new(HybridTime(1), body.clone());
            let applied = store.put(&keys[at], value, &seen[at], |_| {});
            seen[at] = applied.unwrap().delta.into_parts().0;
        };
        let stores = [false, true].map(|observed| {
            let opened = if observed {
                Opened::observed().filled(&keys, size)
            } else {
                Opened::rocksdb(Durability::Os).filled(&keys, size)
            };
            let seen = keys.iter().map(|key| context(&opened.store, key));
            let seen: Vec<CausalContext> = seen.collect();
            Mutex::new((opened, seen, 0))
        });
        let mut group = group(c, "hash_trees", size);
        for (measured, name) in ["put without", "put with"].into_iter().enumerate() {
            group.bench_function(name, |b| {
                b.iter_custom(|puts| {
                    let mut taken = Duration::ZERO;
                    let mut left = puts as usize;
                    while left > 0 {
                        let turn = left.min(IN_TURN);
                        left -= turn;
                        for (which, store) in stores.iter().enumerate() {
                            let (opened, seen, at) = &mut *store.lock();
                            let begun = Instant::now();
                            for _ in 0..turn {
                                *at = (*at + 1) % keys.len();
                                put(&opened.store, seen, *at);
                            }
                            if which == measured {
                                taken += begun.elapsed();
                            }
                        }
                    }
                    taken
                });
            });
        }
    }
}

impl Opened {
    fn rocksdb(durability: Durability) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            store: open_store(&folder, durability),
            folder: Some(folder),
        }
    }

    fn observed() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine =
            RocksEngine::open(folder.path(), Family::CLUSTER, &RocksOptions::default()).unwrap();
        let options = StoreOptions {
            durability: Durability::Os,
            ..StoreOptions::new(1, 7)
        };
        let trees = Trees(Forest::new(true));
        Self {
            store: ObjectStore::open_observed(Arc::new(engine), options, trees).unwrap(),
            folder: Some(folder),
        }
    }

    fn filled(self, keys: &[ObjectKey], size: usize) -> Self {
        let body = body(size);
        for key in keys {
            let value = Value::new(HybridTime(1), body.clone());
            let nothing_seen = CausalContext::new();
            self.store.put(key, value, &nothing_seen, |_| {}).unwrap();
        }
        self
    }

    /// What was in the log is in tables afterwards.
    fn reopened(self) -> Self {
        let Self { store, folder } = self;
        let Some(folder) = folder else {
            return Self { store, folder };
        };
        store.close().unwrap();
        drop(store);
        Self {
            store: open_store(&folder, Durability::Os),
            folder: Some(folder),
        }
    }

    fn record(&self, key: &ObjectKey) -> Bytes {
        let engine = self.store.engine();
        let record = engine.get(&Family::OBJECTS, &key.encode());
        record.unwrap().unwrap()
    }
}

fn open_store(folder: &TempDir, durability: Durability) -> Arc<ObjectStore> {
    let options = RocksOptions::default();
    let engine = RocksEngine::open(folder.path(), Family::CLUSTER, &options).unwrap();
    let options = StoreOptions {
        durability,
        ..StoreOptions::new(1, 7)
    };
    ObjectStore::open(Arc::new(engine), options).unwrap()
}

fn context(store: &ObjectStore, key: &ObjectKey) -> CausalContext {
    let state = store.get(key).unwrap().unwrap_or_default();
    state.context().clone()
}

/// RocksDB with what matters for a comparison set alike, and all else at its defaults.
struct Raw {
    db: DB,
    folder: TempDir,
}

impl Raw {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Self::open(&folder);
        Self { db, folder }
    }

    fn open(folder: &TempDir) -> DB {
        let mut tables = BlockBasedOptions::default();
        tables.set_block_cache(&Cache::new_lru_cache(RocksOptions::default().memory_bytes));
        tables.set_bloom_filter(10.0, false);
        let mut options = rocksdb::Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&tables);
        options.set_compression_type(DBCompressionType::Lz4);
        DB::open(&options, folder.path()).unwrap()
    }

    fn filled(self, keys: &[ObjectKey], size: usize) -> Self {
        let body = body(size);
        for key in keys {
            self.db.put(key.encode(), &body).unwrap();
        }
        self
    }

    fn reopened(self) -> Self {
        let Self { db, folder } = self;
        drop(db);
        Self {
            db: Self::open(&folder),
            folder,
        }
    }
}

fn keys(count: usize) -> Vec<ObjectKey> {
    let key = |number: usize| ObjectKey::new("default", format!("user:{number:08}")).unwrap();
    (0..count).map(key).collect()
}

/// Half of it compresses.
fn body(size: usize) -> Bytes {
    let mut state = 1_u64;
    let mut bytes = vec![0; size];
    for byte in &mut bytes[size / 2..] {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    bytes.into()
}
