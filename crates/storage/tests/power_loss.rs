//! A thousand power losses on one disk: what was acknowledged is there, whole, and no number is used twice.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use dynamokv_ring::{Token, TokenRange};
use dynamokv_storage::{
    Batch, Engine, Failing, Family, FaultEngine, FaultPoint, ObjectKey, ObjectStore, Opened, State,
    StoreOptions, SyncMode, Value, WriteSeq,
};
use dynamokv_vclock::{ActorId, CausalContext, Dot, Epoch, HybridTime};

const ROUNDS: u64 = 1_000;
const NODE: u64 = 1;
const KEYS: u64 = 6;

#[test]
fn nothing_acknowledged_is_lost_and_no_dot_or_epoch_returns_in_a_thousand_power_losses() {
    let mut world = World::default();
    let mut disk = FaultEngine::new(Family::CLUSTER);
    for round in 0..ROUNDS {
        disk = world.round(&disk, round);
    }
    assert!(world.acknowledged > ROUNDS, "the rounds did something");
    assert!(world.lost > 0, "power losses lost something");
}

/// What the store holds: states, and the marker that the last write to a key put beside them in its batch.
#[derive(Clone, Debug, Default, PartialEq)]
struct Content {
    states: BTreeMap<u64, State>,
    markers: BTreeMap<u64, u64>,
}

#[derive(Default)]
struct World {
    /// What a crash leaves that takes all that was not acknowledged.
    durable: Content,
    /// Changes beyond it, in their order: each may be lost only with all that follow.
    tail: Vec<Change>,
    /// Every dot that left the store, with its value's body.
    dots: BTreeMap<Dot, Value>,
    /// Every own epoch, with its key and the round in which it was first seen.
    epochs: BTreeMap<u64, (u64, u64)>,
    /// The last round that began after a power loss: no older epoch may be used.
    unclean: u64,
    values: u64,
    acknowledged: u64,
    lost: u64,
}

#[derive(Clone)]
struct Change {
    content: Content,
    seq: WriteSeq,
}

impl World {
    fn round(&mut self, disk: &FaultEngine, round: u64) -> FaultEngine {
        let mut random = Random(round.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
        let store = open(disk, round);
        if store.opened() != Opened::Clean {
            self.unclean = round;
        }
        self.check(&store, round);
        for _ in 0..random.below(24) {
            match random.below(16) {
                0..8 => self.put(&store, &mut random, round),
                8..10 => self.join(&store, &mut random),
                10 => self.drop_record(&store, &mut random),
                11 => self.purge(&store, &mut random),
                12 => {
                    disk.fail(FaultPoint::WriteAfterLog, Failing::Next(1));
                    let value = self.value();
                    let nothing_seen = CausalContext::new();
                    let failed = store.put(&key(0), value, &nothing_seen, |_| {});
                    assert!(failed.is_err());
                    // Its dot never left; what it leaves in the log is learned at the crash.
                    disk.fail(FaultPoint::WriteAfterLog, Failing::Never);
                    return self.crash(disk, &mut random, true);
                }
                _ => self.acknowledge(&store, &mut random),
            }
        }
        if random.below(5) == 0 {
            store.close().unwrap();
            self.all_durable();
            drop(store);
            return disk.crash();
        }
        self.crash(disk, &mut random, false)
    }

    fn put(&mut self, store: &ObjectStore, random: &mut Random, round: u64) {
        let name = random.below(KEYS);
        let seen = match random.below(3) {
            0 => CausalContext::new(),
            _ => self.now(name).context().clone(),
        };
        let value = self.value();
        // A marker of another family, in the same batch.
        let number = self.values;
        let applied = store.put(&key(name), value.clone(), &seen, |batch| {
            mark(batch, name, number);
        });
        let applied = applied.unwrap();
        let twice = self.dots.insert(applied.dot, value);
        assert_eq!(
            twice, None,
            "round {round}: {} was issued twice",
            applied.dot
        );
        let epoch = applied.dot.actor.epoch.0;
        let (owner, since) = *self.epochs.entry(epoch).or_insert((name, round));
        assert_eq!(owner, name, "an epoch serves one key");
        assert!(since >= self.unclean, "an epoch outlived a power loss");
        let mut state = self.now(name);
        state.join_ref(&applied.delta);
        self.changed(applied.seq, |content| {
            content.states.insert(name, state);
            content.markers.insert(name, number);
        });
    }

    fn join(&mut self, store: &ObjectStore, random: &mut Random) {
        let name = random.below(KEYS);
        let value = self.value();
        let number = self.values;
        let dot = Dot::new(ActorId::new(2, Epoch(name)), number);
        self.dots.insert(dot, value.clone());
        let delta = State::delta(dot, value, self.now(name).context());
        let joined = store.join(&key(name), &delta, |batch| {
            mark(batch, name, number);
        });
        let mut state = self.now(name);
        state.join_ref(&delta);
        self.changed(joined.unwrap().seq, |content| {
            content.states.insert(name, state);
            content.markers.insert(name, number);
        });
    }

    fn drop_record(&mut self, store: &ObjectStore, random: &mut Random) {
        let name = random.below(KEYS);
        let settled = store.settle(&key(name), |_, settle| settle.drop_record());
        self.changed(settled.unwrap().seq, |content| {
            content.states.remove(&name);
        });
    }

    fn purge(&mut self, store: &ObjectStore, random: &mut Random) {
        let range = TokenRange {
            first: Token(random.next()),
            last: Token::MAX,
        };
        let seq = store.purge(range, |_| {}).unwrap();
        self.changed(seq, |content| {
            let keeps = |name: &u64| !range.contains(key(*name).token());
            content.states.retain(|name, _| keeps(name));
        });
    }

    /// Waits for some write; all up to it are durable then.
    fn acknowledge(&mut self, store: &ObjectStore, random: &mut Random) {
        if self.tail.is_empty() {
            return;
        }
        let at = random.below(self.tail.len() as u64) as usize;
        let mut wait = store.settled(self.tail[at].seq);
        store.run_pending_syncs();
        let answer = Pin::new(&mut wait).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(answer, Poll::Ready(Ok(()))));
        self.acknowledged += at as u64 + 1;
        self.durable = self.tail[at].content.clone();
        self.tail.drain(..=at);
    }

    fn crash(&mut self, disk: &FaultEngine, random: &mut Random, ghost: bool) -> FaultEngine {
        // Every write of this round is one batch, and a lease or a void position is synced at once.
        let kept = random.below(disk.unsynced() as u64 + 1) as usize;
        let found = disk.crash_keeping(kept);
        let left = content(&found);
        if ghost && kept == disk.unsynced() {
            // The failed write may have come back; nothing else may differ.
            let mut expected = self
                .tail
                .last()
                .map_or(&self.durable, |last| &last.content)
                .clone();
            let was = expected.states.remove(&0).unwrap_or_default();
            let mut rest = left.clone();
            let is = rest.states.remove(&0).unwrap_or_default();
            assert_eq!(rest, expected);
            assert!(
                is.context() >= was.context(),
                "a failed put took something away"
            );
        } else {
            let mut may_be = [&self.durable]
                .into_iter()
                .chain(self.tail.iter().map(|change| &change.content));
            assert!(
                may_be.any(|content| *content == left),
                "a torn or lost state"
            );
        }
        self.lost += u64::from(self.tail.last().is_some_and(|last| last.content != left));
        self.durable = left;
        self.tail.clear();
        found
    }

    fn check(&mut self, store: &ObjectStore, round: u64) {
        for name in 0..KEYS {
            let found = store.get(&key(name)).unwrap();
            assert_eq!(found.as_ref(), self.durable.states.get(&name));
            for (dot, value) in found.unwrap_or_default().values() {
                // A failed write may have come back: its dot and epoch are used up as well.
                assert_eq!(
                    self.dots.entry(*dot).or_insert_with(|| value.clone()),
                    value
                );
                if dot.actor.node == NODE {
                    let before = (name, round.saturating_sub(1));
                    self.epochs.entry(dot.actor.epoch.0).or_insert(before);
                }
            }
        }
    }

    fn all_durable(&mut self) {
        if let Some(last) = self.tail.pop() {
            self.durable = last.content;
        }
        self.tail.clear();
    }

    fn now(&self, name: u64) -> State {
        let content = self.tail.last().map_or(&self.durable, |last| &last.content);
        content.states.get(&name).cloned().unwrap_or_default()
    }

    fn changed(&mut self, seq: WriteSeq, change: impl FnOnce(&mut Content)) {
        let last = self.tail.last().map_or(&self.durable, |last| &last.content);
        let mut content = last.clone();
        change(&mut content);
        self.tail.push(Change { content, seq });
    }

    fn value(&mut self) -> Value {
        self.values += 1;
        body(self.values)
    }
}

/// What a disk holds, read from outside; every record must be whole.
fn content(disk: &FaultEngine) -> Content {
    assert!(ObjectStore::verify(disk).unwrap().is_intact());
    let mut content = Content::default();
    for name in 0..KEYS {
        if let Some(state) = ObjectStore::peek(disk, &key(name)).unwrap() {
            content.states.insert(name, state);
        }
        let marker = disk.get(&Family::HINTS, &name.to_be_bytes()).unwrap();
        if let Some(number) = marker {
            let number = u64::from_be_bytes(number.as_ref().try_into().unwrap());
            content.markers.insert(name, number);
        }
    }
    content
}

fn open(disk: &FaultEngine, round: u64) -> Arc<ObjectStore> {
    let options = StoreOptions {
        sync_mode: SyncMode::Manual,
        ..StoreOptions::new(NODE, round)
    };
    ObjectStore::open(Arc::new(disk.clone()), options).unwrap()
}

fn key(name: u64) -> ObjectKey {
    ObjectKey::new("default", name.to_be_bytes().to_vec()).unwrap()
}

fn mark(batch: &mut Batch, name: u64, number: u64) {
    let (name, number) = (name.to_be_bytes().to_vec(), number.to_be_bytes().to_vec());
    batch.put(&Family::HINTS, name, number);
}

fn body(number: u64) -> Value {
    Value::new(HybridTime(number), number.to_be_bytes().to_vec())
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}
