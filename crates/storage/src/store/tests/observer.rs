//! Whatever an observer adds up is what the store holds.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use dynamokv_ring::{Token, TokenRange};
use parking_lot::Mutex;

use super::*;
use crate::key::Keyspace;
use crate::{Change, Observer, StateHash, StoreOptions};

/// Adds up the changes, and sees to it that each begins where the one before it has ended.
#[derive(Default)]
pub(super) struct Account {
    states: Mutex<BTreeMap<Token, StateHash>>,
}

impl Account {
    /// Begins again with what the store holds.
    pub(super) fn begin(&self, store: &ObjectStore) {
        *self.states.lock() = walked(store);
    }

    pub(super) fn check(&self, store: &ObjectStore) {
        assert_eq!(*self.states.lock(), walked(store));
    }
}

impl Observer for Account {
    fn changed(&self, change: &Change) {
        assert_ne!(change.old, change.new, "nothing to tell of");
        let mut states = self.states.lock();
        let known = match change.new {
            Some(new) => states.insert(change.token, new),
            None => states.remove(&change.token),
        };
        assert_eq!(known, change.old);
    }

    fn cleared(&self, range: TokenRange) {
        let mut states = self.states.lock();
        states.retain(|token, _| !range.contains(*token));
    }
}

pub(super) fn observed(
    disk: &FaultEngine,
    account: &Arc<Account>,
    cache_bytes: usize,
) -> Arc<ObjectStore> {
    let options = StoreOptions {
        cache_bytes,
        ..options()
    };
    ObjectStore::open_observed(Arc::new(disk.clone()), options, Arc::clone(account)).unwrap()
}

fn walked(store: &ObjectStore) -> BTreeMap<Token, StateHash> {
    let mut states = BTreeMap::new();
    let walked = store.moment().walk(TokenRange::ALL, |walked| {
        assert_eq!(walked.hash, StateHash::of(&walked.key, &walked.state));
        states.insert(walked.key.token(), walked.hash);
        ControlFlow::Continue(())
    });
    walked.unwrap();
    states
}

#[test]
fn a_damaged_record_counts_as_none_before_it_is_replaced() {
    struct Last(Mutex<Option<Change>>);
    impl Observer for Last {
        fn changed(&self, change: &Change) {
            *self.0.lock() = Some(*change);
        }
        fn cleared(&self, _: TokenRange) {}
    }
    let disk = disk();
    let last = Arc::new(Last(Mutex::new(None)));
    let store =
        ObjectStore::open_observed(Arc::new(disk.clone()), options(), Arc::clone(&last)).unwrap();
    let key = key("k");
    put(&store, &key, "one", &CausalContext::new()).unwrap();
    flip_bit(&disk, &key, 77);
    assert_eq!(walked(&store).len(), 0, "a walk passes over it");
    assert!(store.counters().damaged_records > 0);
    let applied = put(&store, &key, "two", &CausalContext::new()).unwrap();
    assert!(applied.replaced_damaged);
    let change = last.0.lock().unwrap();
    assert_eq!((change.old, change.new), (None, Some(applied.hash)));
}

#[test]
fn a_moment_of_rest_is_one_between_two_changes_and_does_not_move() {
    let account = Arc::new(Account::default());
    let store = observed(&disk(), &account, 0);
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..2_000_u64 {
                    let key = ObjectKey::new("default", (n % 300).to_be_bytes().to_vec()).unwrap();
                    let delta = foreign_delta(2 + thread, n + 1, "v", &CausalContext::new());
                    store.join(&key, &delta, |_| {}).unwrap();
                    if n % 97 == 0 {
                        store
                            .settle(&key, |_, settle| settle.drop_record())
                            .unwrap();
                    }
                }
            });
        }
        for _ in 0..50 {
            let (heard, moment) = store.moment_of_rest(|| account.states.lock().clone());
            let mut states = BTreeMap::new();
            let walked = moment.walk(TokenRange::ALL, |walked| {
                states.insert(walked.key.token(), walked.hash);
                ControlFlow::Continue(())
            });
            walked.unwrap();
            assert_eq!(states, heard);
        }
    });
    account.check(&store);
}

#[test]
fn a_purged_keyspace_is_told_key_by_key() {
    let account = Arc::new(Account::default());
    let store = observed(&disk(), &account, 0);
    for n in 0..20_u8 {
        let keyspace = if n % 2 == 0 { "a" } else { "b" };
        let key = ObjectKey::new(keyspace, vec![n]).unwrap();
        put(&store, &key, "v", &CausalContext::new()).unwrap();
    }
    let keyspace = Keyspace::new("a").unwrap();
    let purged = store
        .purge_keyspace(TokenRange::ALL, &keyspace, None, 7)
        .unwrap();
    assert!(purged.records > 0);
    account.check(&store);
    assert!(!store.has_failed_writes());
}

#[test]
fn what_is_staged_last_is_durable_with_the_clean_stop_and_nothing_is_written_after_it() {
    let disk = disk();
    let store = open(&disk);
    put(&store, &key("k"), "v", &CausalContext::new()).unwrap();
    store
        .close_with(|batch| ObjectStore::stage_meta(batch, "sum", b"1"))
        .unwrap();
    let again = open(&disk.crash());
    assert_eq!(again.opened(), crate::store::Opened::Clean);
    assert_eq!(again.meta_get("sum").unwrap().unwrap(), b"1".as_slice());
}
