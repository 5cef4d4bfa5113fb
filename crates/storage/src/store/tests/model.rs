//! The store against plain maps, through failures, crashes and reopenings.

use std::collections::BTreeMap;

use dynamokv_ring::TokenRange;
use proptest::collection::vec;
use proptest::prelude::*;

use super::observer::{Account, observed};
use super::*;
use crate::engine::{Failing, FaultPoint};
use crate::store::Opened;
use crate::{Error, StateHash};

const KEYS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Put {
        key: usize,
        client: Client,
    },
    FailedPut {
        key: usize,
        point: FaultPoint,
    },
    /// A write that another node took.
    JoinForeign {
        key: usize,
        node: u64,
        counter: u64,
        client: Client,
    },
    /// A delta that this node issued once, perhaps before a crash, comes back from a peer.
    JoinOwn {
        left: prop::sample::Index,
    },
    /// Several such deltas at once, the same key more than once perhaps.
    JoinMany {
        left: Vec<prop::sample::Index>,
    },
    Drop {
        key: usize,
    },
    /// The range deletion of one token, or of all.
    Purge {
        key: Option<usize>,
    },
    Sync,
    VoidPositions,
    CloseAndReopen,
    Crash {
        kept: usize,
    },
}

/// What the writing client has seen.
#[derive(Clone, Debug)]
enum Client {
    Nothing,
    Everything,
    /// One of the deltas that left the node, for any key: possibly one that a crash lost, or another key's.
    Left(prop::sample::Index),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn the_store_agrees_with_a_map_and_never_issues_a_dot_twice(
        steps in vec(step(), 1..60),
        cache_bytes in prop_oneof![Just(0), Just(2_000), Just(1 << 20)],
    ) {
        let mut world = World::new(cache_bytes);
        for step in steps {
            world.run(step);
            world.check();
        }
    }
}

type Content = BTreeMap<usize, State>;

struct World {
    disk: FaultEngine,
    store: Arc<ObjectStore>,
    account: Arc<Account>,
    visible: Content,
    /// What survives at least, and the record writes that may survive on top, in their order.
    durable: Content,
    log: Vec<(usize, Option<State>)>,
    /// How many entries of the log are of failed writes, for which nobody waits.
    ghosts: usize,
    /// The value that each dot stands for, whoever saw it first.
    meaning: BTreeMap<Dot, Value>,
    /// Deltas that left the node, by key.
    left: Vec<(usize, State)>,
    values: u64,
    generation: u64,
    cache_bytes: usize,
}

impl World {
    fn new(cache_bytes: usize) -> Self {
        let disk = disk();
        let account = Arc::new(Account::default());
        let store = observed(&disk, &account, cache_bytes);
        assert_eq!((store.opened(), store.generation()), (Opened::Fresh, 1));
        Self {
            disk,
            store,
            account,
            visible: Content::new(),
            durable: Content::new(),
            log: Vec::new(),
            ghosts: 0,
            meaning: BTreeMap::new(),
            left: Vec::new(),
            values: 0,
            generation: 1,
            cache_bytes,
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Put { key, client } => self.put(key, &client),
            Step::FailedPut { key, point } => self.failed_put(key, point),
            Step::JoinForeign {
                key,
                node,
                counter,
                client,
            } => {
                // The value is a function of key and dot: equal dots mean equal values.
                let dot = Dot::new(ActorId::new(node, Epoch(key as u64)), counter);
                let client = Some(self.context(key, &client)).filter(|client| !client.covers(&dot));
                self.join(
                    key,
                    &State::delta(dot, value(&dot.to_string()), &client.unwrap_or_default()),
                );
            }
            Step::JoinOwn { left } => {
                if !self.left.is_empty() {
                    let (key, delta) = left.get(&self.left).clone();
                    self.join(key, &delta);
                }
            }
            Step::JoinMany { left } => {
                if !self.left.is_empty() {
                    let deltas = left.iter().map(|left| left.get(&self.left).clone());
                    self.join_many(&deltas.collect::<Vec<_>>());
                }
            }
            Step::Drop { key } => {
                let settled = self.store.settle(&super::key(KEYS[key]), |state, settle| {
                    settle.drop_record();
                    state.map(|(state, _)| state.clone())
                });
                let settled = settled.unwrap();
                assert_eq!(settled.output, self.visible.remove(&key));
                assert_eq!(settled.dropped.is_some(), settled.output.is_some());
                if settled.dropped.is_some() {
                    self.log.push((key, None));
                }
            }
            Step::Purge { key } => {
                let range = key.map_or(TokenRange::ALL, |key| {
                    let token = super::key(KEYS[key]).token();
                    TokenRange {
                        first: token,
                        last: token,
                    }
                });
                self.store.purge(range, |_| {}).unwrap();
                for key in key.map_or(0..KEYS.len(), |key| key..key + 1) {
                    self.visible.remove(&key);
                    // Also what only a failed write left in the log.
                    self.log.push((key, None));
                }
            }
            Step::Sync => {
                let mut wait = self.store.synced(self.store.sync.newest());
                let synced = self.store.run_pending_syncs();
                assert!(matches!(poll(&mut wait), Some(Ok(()))));
                if synced {
                    self.all_durable();
                } else {
                    assert_eq!(self.log.len(), self.ghosts, "a write was not synced");
                }
            }
            Step::VoidPositions => {
                self.store.void_positions().unwrap();
                self.all_durable();
            }
            Step::CloseAndReopen => {
                self.store.close().unwrap();
                assert!(matches!(
                    put(&self.store, &super::key("a"), "late", &CausalContext::new()),
                    Err(Error::Closed)
                ));
                self.all_durable();
                // A write that failed after the log is part of it.
                self.visible = self.durable.clone();
                self.disk = self.disk.crash();
                self.reopen(Opened::Clean);
            }
            Step::Crash { kept } => {
                self.disk = self.disk.crash_keeping(kept);
                self.reopen(Opened::Unclean);
                let found = self.content();
                let mut expected = self.durable.clone();
                self.ghosts = 0;
                let mut log = std::mem::take(&mut self.log).into_iter();
                while expected != found {
                    let (key, state) = log.next().expect("a crash leaves a prefix of the writes");
                    apply(&mut expected, key, state);
                }
                self.visible = found.clone();
                self.durable = found;
            }
        }
    }

    fn put(&mut self, key: usize, client: &Client) {
        let client = self.context(key, client);
        let before = self.visible.get(&key).cloned();
        let value = self.fresh_value();
        let applied = self
            .store
            .put(&super::key(KEYS[key]), value.clone(), &client, |_| {})
            .unwrap();
        assert_eq!(applied.dot.actor.node, NODE);
        assert!(!client.covers(&applied.dot), "the client knew the dot");
        assert_eq!(
            self.meaning.insert(applied.dot, value.clone()),
            None,
            "a dot was issued twice"
        );
        assert_eq!(applied.delta, State::delta(applied.dot, value, &client));
        assert_eq!(
            applied.previous,
            before
                .as_ref()
                .map(|state| StateHash::of(&super::key(KEYS[key]), state))
        );
        let mut state = before.unwrap_or_default();
        assert!(state.join_ref(&applied.delta));
        assert_eq!(applied.hash, StateHash::of(&super::key(KEYS[key]), &state));
        self.left.push((key, applied.delta));
        self.wrote(key, state);
    }

    fn failed_put(&mut self, key: usize, point: FaultPoint) {
        // Void positions first, so that the fault meets the put itself.
        if self
            .store
            .dots_in_doubt
            .load(std::sync::atomic::Ordering::Acquire)
        {
            self.run(Step::VoidPositions);
        }
        let unsynced = self.disk.unsynced();
        self.disk.fail(point, Failing::Next(1));
        let value = self.fresh_value();
        let outcome = self
            .store
            .put(&super::key(KEYS[key]), value, &CausalContext::new(), |_| {});
        assert!(matches!(outcome, Err(Error::Engine { .. })));
        assert!(self.store.has_failed_writes());
        self.disk.fail(point, Failing::Never);
        if self.disk.unsynced() > unsynced {
            // Only the batch of the record names `objects`; a lease that failed after the log leaves no ghost.
            if let Some(ghost) = self.ghost(key) {
                self.log.push((key, Some(ghost)));
                self.ghosts += 1;
            }
        }
    }

    /// The record that a failed write left in the log.
    fn ghost(&self, key: usize) -> Option<State> {
        let found = self.disk.image(self.disk.unsynced());
        let bytes = found
            .get(&Family::OBJECTS, &super::key(KEYS[key]).encode())
            .unwrap()?;
        let (record, _) = crate::record::decode(&super::key(KEYS[key]).encode(), &bytes).unwrap();
        (Some(&record.state) != self.visible.get(&key)).then_some(record.state)
    }

    fn join(&mut self, key: usize, incoming: &State) {
        let mut state = self.visible.get(&key).cloned().unwrap_or_default();
        let changed = state.join_ref(incoming);
        let joined = self
            .store
            .join(&super::key(KEYS[key]), incoming, |_| {})
            .unwrap();
        assert_eq!(joined.changed, changed);
        assert_eq!(joined.hash, StateHash::of(&super::key(KEYS[key]), &state));
        if changed {
            self.wrote(key, state);
        }
    }

    fn join_many(&mut self, deltas: &[(usize, State)]) {
        let entries = deltas
            .iter()
            .map(|(key, delta)| (super::key(KEYS[*key]), delta));
        let entries: Vec<_> = entries.collect();
        let newest = self
            .store
            .join_all(entries.iter().map(|(key, delta)| (key, *delta)))
            .unwrap();
        assert_eq!(newest.is_some(), !deltas.is_empty());
        for (key, delta) in deltas {
            let mut state = self.visible.get(key).cloned().unwrap_or_default();
            if state.join_ref(delta) {
                self.wrote(*key, state);
            }
        }
    }

    fn wrote(&mut self, key: usize, state: State) {
        self.visible.insert(key, state.clone());
        self.log.push((key, Some(state)));
    }

    fn all_durable(&mut self) {
        self.ghosts = 0;
        for (key, state) in std::mem::take(&mut self.log) {
            apply(&mut self.durable, key, state);
        }
    }

    fn reopen(&mut self, expected: Opened) {
        self.store = observed(&self.disk, &self.account, self.cache_bytes);
        self.account.begin(&self.store);
        self.generation += 1;
        assert_eq!(self.store.opened(), expected);
        assert_eq!(self.store.generation(), self.generation);
    }

    fn context(&self, key: usize, client: &Client) -> CausalContext {
        match client {
            Client::Left(left) if !self.left.is_empty() => left.get(&self.left).1.context().clone(),
            Client::Everything => self
                .visible
                .get(&key)
                .map(|state| state.context().clone())
                .unwrap_or_default(),
            _ => CausalContext::new(),
        }
    }

    fn fresh_value(&mut self) -> Value {
        self.values += 1;
        if self.values.is_multiple_of(3) {
            return Value::tombstone(HybridTime(1));
        }
        value(&self.values.to_string())
    }

    fn content(&self) -> Content {
        let page = self
            .store
            .scan(TokenRange::ALL, None, usize::MAX, usize::MAX)
            .unwrap();
        assert_eq!((page.damaged.len(), &page.next), (0, &None));
        let place = |key: &ObjectKey| {
            KEYS.iter()
                .position(|name| *key == super::key(name))
                .unwrap()
        };
        page.entries
            .iter()
            .map(|(key, state)| (place(key), state.clone()))
            .collect()
    }

    fn check(&mut self) {
        assert_eq!(self.content(), self.visible);
        self.account.check(&self.store);
        let (tombstones, _) = self
            .store
            .tombstones(TokenRange::ALL, None, usize::MAX)
            .unwrap();
        let deleted = |state: &State| {
            !state.is_empty() && state.values().all(|(_, value)| value.is_tombstone())
        };
        let expected = self.visible.values().filter(|state| deleted(state)).count();
        assert_eq!(tombstones.len(), expected);
        for (place, name) in KEYS.iter().enumerate() {
            assert_eq!(
                self.store.get(&super::key(name)).unwrap().as_ref(),
                self.visible.get(&place)
            );
        }
        for (dot, value) in self.visible.values().flat_map(State::values) {
            assert_eq!(
                self.meaning.entry(*dot).or_insert_with(|| value.clone()),
                value,
                "{dot} has two meanings"
            );
        }
    }
}

fn apply(content: &mut Content, key: usize, state: Option<State>) {
    match state {
        Some(state) => {
            content.insert(key, state);
        }
        None => {
            content.remove(&key);
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    prop_oneof![
        8 => (key.clone(), client()).prop_map(|(key, client)| Step::Put { key, client }),
        1 => (key.clone(), prop_oneof![Just(FaultPoint::Write), Just(FaultPoint::WriteAfterLog)])
            .prop_map(|(key, point)| Step::FailedPut { key, point }),
        2 => (key.clone(), 2u64..4, 1u64..6, client())
            .prop_map(|(key, node, counter, client)| Step::JoinForeign { key, node, counter, client }),
        3 => any::<prop::sample::Index>().prop_map(|left| Step::JoinOwn { left }),
        2 => vec(any::<prop::sample::Index>(), 0..5).prop_map(|left| Step::JoinMany { left }),
        1 => key.clone().prop_map(|key| Step::Drop { key }),
        1 => proptest::option::weighted(0.8, key).prop_map(|key| Step::Purge { key }),
        2 => Just(Step::Sync),
        1 => Just(Step::VoidPositions),
        1 => Just(Step::CloseAndReopen),
        2 => (0usize..12).prop_map(|kept| Step::Crash { kept }),
    ]
}

fn client() -> impl Strategy<Value = Client> {
    prop_oneof![
        Just(Client::Nothing),
        Just(Client::Everything),
        any::<prop::sample::Index>().prop_map(Client::Left),
    ]
}
