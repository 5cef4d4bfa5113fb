//! The trees of a real store, whatever is written while they are counted, and across stops and crashes.

use dynamokv_antientropy::Sight;
use dynamokv_ring::Token;
use dynamokv_storage::{
    Engine, Failing, Family, FaultEngine, FaultPoint, Keyspace, ObjectKey, State, StoreOptions,
    SyncMode, Value,
};
use dynamokv_vclock::{ActorId, CausalContext, Dot, Epoch, HybridTime};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Put {
        key: u8,
        blind: bool,
    },
    Join {
        key: u8,
        counter: u64,
    },
    Drop(u8),
    Purge(u8),
    PurgeKeyspace,
    FailedPut {
        key: u8,
        logged: bool,
    },
    /// Counts so many buckets that are due, or else some others, with so many operations in between.
    Count {
        buckets: usize,
        at: usize,
        meanwhile: usize,
    },
    CleanStop,
    Crash {
        kept: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..40_u8;
    prop_oneof![
        10 => (key.clone(), any::<bool>()).prop_map(|(key, blind)| Op::Put { key, blind }),
        6 => (key.clone(), 1..9_u64).prop_map(|(key, counter)| Op::Join { key, counter }),
        3 => key.clone().prop_map(Op::Drop),
        1 => key.clone().prop_map(Op::Purge),
        1 => Just(Op::PurgeKeyspace),
        1 => (key, any::<bool>()).prop_map(|(key, logged)| Op::FailedPut { key, logged }),
        6 => (1..5_000_usize, 0..4_096_usize, 0..8_usize)
            .prop_map(|(buckets, at, meanwhile)| Op::Count { buckets, at, meanwhile }),
        1 => Just(Op::CleanStop),
        1 => (0..30_usize).prop_map(|kept| Op::Crash { kept }),
    ]
}

struct World {
    disk: FaultEngine,
    store: Arc<ObjectStore>,
    trees: Arc<Forest>,
    loaded: bool,
}

fn key(n: u8) -> ObjectKey {
    let keyspace = if n.is_multiple_of(5) {
        "fifth"
    } else {
        "default"
    };
    ObjectKey::new(keyspace, vec![n]).unwrap()
}

impl World {
    fn open(disk: FaultEngine) -> Self {
        let trees = Arc::new(Forest::new(false));
        let options = StoreOptions {
            sync_mode: SyncMode::Manual,
            ..StoreOptions::new(1, 7)
        };
        let engine: Arc<dyn Engine> = Arc::new(disk.clone());
        let store =
            ObjectStore::open_observed(engine, options, Gardener(Arc::clone(&trees))).unwrap();
        let loaded = load(&trees, &store);
        Self {
            disk,
            store,
            trees,
            loaded,
        }
    }

    fn run(&self, op: &Op) {
        let store = &self.store;
        match op {
            Op::Put { key: n, blind } => {
                let seen = store.get(&key(*n)).unwrap().unwrap_or_default();
                let seen = if *blind {
                    CausalContext::new()
                } else {
                    seen.context().clone()
                };
                let value = Value::new(HybridTime(1), vec![*n]);
                // A put may be refused while its dot is in doubt.
                let _ = store.put(&key(*n), value, &seen, |_| {});
            }
            Op::Join { key: n, counter } => {
                let dot = Dot::new(ActorId::new(2, Epoch(u64::from(*n))), *counter);
                let value = Value::new(HybridTime(1), counter.to_string());
                let delta = State::delta(dot, value, &CausalContext::new());
                store.join(&key(*n), &delta, |_| {}).unwrap();
            }
            Op::Drop(n) => {
                store
                    .settle(&key(*n), |_, settle| settle.drop_record())
                    .unwrap();
            }
            Op::Purge(n) => {
                let from = key(*n).token();
                let range = TokenRange {
                    first: from,
                    last: Token(from.0 | u64::MAX >> 2),
                };
                store.purge(range, |_| {}).unwrap();
            }
            Op::PurgeKeyspace => {
                let keyspace = Keyspace::new("fifth").unwrap();
                store
                    .purge_keyspace(TokenRange::ALL, &keyspace, None, 7)
                    .unwrap();
            }
            Op::FailedPut { key: n, logged } => {
                let point = if *logged {
                    FaultPoint::WriteAfterLog
                } else {
                    FaultPoint::Write
                };
                self.disk.fail(point, Failing::Next(1));
                let value = Value::new(HybridTime(1), "lost");
                let _ = store.put(&key(*n), value, &CausalContext::new(), |_| {});
                self.disk.fail(point, Failing::Never);
            }
            Op::Count { .. } | Op::CleanStop | Op::Crash { .. } => {}
        }
    }

    /// What says that it is ready is right.
    fn check(&self) -> Result<(), TestCaseError> {
        for prefix in Prefix::ROOT.split(10) {
            let Sight::Sum(sum) = self.trees.see(prefix) else {
                continue;
            };
            let mut naive = 0;
            let page = self
                .store
                .scan(prefix.range(), None, usize::MAX, usize::MAX)
                .unwrap();
            for (key, state) in page.entries {
                naive ^= StateHash::of(&key, &state).0;
            }
            prop_assert_eq!(sum, naive, "{}", prefix);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn trees_stand_for_the_disk_whatever_is_written_while_they_are_counted(ops in vec(op(), 0..80)) {
        let mut world = World::open(FaultEngine::new(Family::CLUSTER));
        let mut ops = ops.into_iter();
        while let Some(op) = ops.next() {
            match op {
                Op::Count { buckets, at, meanwhile } => {
                    let other = at..(at + buckets).min(world.trees.buckets());
                    let due = world.trees.due(buckets).unwrap_or(other);
                    let count = Count::begin(&world.store, &world.trees, due);
                    for op in ops.by_ref().take(meanwhile) {
                        world.run(&op);
                    }
                    count.finish().unwrap();
                    world.check()?;
                }
                Op::CleanStop => {
                    let (ready, failed) = (world.trees.is_ready(), world.store.has_failed_writes());
                    let (trees, store) = (&world.trees, &world.store);
                    store.close_with(|batch| save(trees, store, batch)).unwrap();
                    world = World::open(world.disk.crash());
                    prop_assert_eq!(world.loaded, ready && !failed);
                    world.check()?;
                }
                Op::Crash { kept } => {
                    world = World::open(world.disk.crash_keeping(kept));
                    prop_assert!(!world.loaded);
                }
                op => world.run(&op),
            }
        }
        for _ in 0..5_000 {
            let Some(due) = world.trees.due(1_024) else { break };
            recount(&world.store, &world.trees, due).unwrap();
        }
        prop_assert!(world.trees.is_ready());
        world.check()?;
    }
}

#[test]
fn trees_of_an_earlier_stop_are_not_taken() {
    let mut world = World::open(FaultEngine::new(Family::CLUSTER));
    recount(&world.store, &world.trees, 0..world.trees.buckets()).unwrap();
    let (trees, store) = (&world.trees, &world.store);
    store.close_with(|batch| save(trees, store, batch)).unwrap();
    world = World::open(world.disk.crash());
    assert!(world.loaded);
    // A release that knows of no trees stops cleanly too.
    world.run(&Op::Put {
        key: 1,
        blind: true,
    });
    world.store.close().unwrap();
    world = World::open(world.disk.crash());
    assert!(!world.loaded);
}

#[test]
fn a_scrub_puts_right_what_rotted_on_the_disk() {
    let world = World::open(FaultEngine::new(Family::CLUSTER));
    recount(&world.store, &world.trees, 0..world.trees.buckets()).unwrap();
    world.run(&Op::Put {
        key: 1,
        blind: true,
    });
    let before = world.trees.see(Prefix::ROOT);
    let mut batch = Batch::new();
    batch.delete(&Family::OBJECTS, key(1).encode());
    world.disk.write(batch).unwrap();
    assert_eq!(world.trees.see(Prefix::ROOT), before, "nobody has told");
    let all = 0..world.trees.buckets();
    let (recounted, _) = recount(&world.store, &world.trees, all).unwrap();
    assert_eq!(recounted.corrected, 1);
    assert_eq!(world.trees.see(Prefix::ROOT), Sight::Sum(0));
}
