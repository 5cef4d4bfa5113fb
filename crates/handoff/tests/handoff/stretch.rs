//! Two owners that pull what differs, stretch by stretch, through real stores.

use std::collections::BTreeMap;
use std::sync::Arc;

use dynamokv_handoff::{Page, Stretch};
use dynamokv_ring::{Token, TokenRange};
use dynamokv_storage::{Family, MemoryEngine, ObjectKey, ObjectStore, State, StoreOptions};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::*;

/// What a scan may return at most: items, bytes.
type Limits = (usize, usize);

fn store(node: u64, copies: &[(usize, u64)]) -> Arc<ObjectStore> {
    let engine = Arc::new(MemoryEngine::new(Family::CLUSTER));
    let store = ObjectStore::open(engine, StoreOptions::new(node, 7)).unwrap();
    for (number, counter) in copies {
        join(&store, &numbered(*number), &write(*counter, "v"));
    }
    store
}

fn join(store: &ObjectStore, key: &ObjectKey, state: &State) {
    store.join(key, state, |_| {}).unwrap();
}

fn scan(
    store: &ObjectStore,
    range: TokenRange,
    after: Option<&ObjectKey>,
    (items, bytes): Limits,
) -> Page {
    store.scan(range, after, items, bytes).unwrap().into()
}

fn content(store: &ObjectStore, range: TokenRange) -> BTreeMap<ObjectKey, State> {
    let all = scan(store, range, None, (usize::MAX, usize::MAX));
    all.entries
        .into_iter()
        .map(|entry| (entry.key, entry.state))
        .collect()
}

/// One owner's round with another; the objects that travelled.
fn pull(mine: &ObjectStore, theirs: &ObjectStore, range: TokenRange, limits: [Limits; 2]) -> usize {
    let mut travelled = 0;
    let mut after = None;
    loop {
        let stretch = Stretch::of(&scan(mine, range, after.as_ref(), limits[0]));
        let page = scan(theirs, stretch.within(range), after.as_ref(), limits[1]);
        let answer = stretch.answer(page);
        for entry in &answer.entries {
            assert!(after.as_ref().is_none_or(|after| entry.key > *after));
            join(mine, &entry.key, &entry.state);
        }
        travelled += answer.entries.len();
        if answer.next.is_none() {
            return travelled;
        }
        assert!(answer.next > after, "it goes on");
        after = answer.next;
    }
}

fn copies() -> impl Strategy<Value = Vec<(usize, u64)>> {
    vec((0..24_usize, 1..4_u64), 0..30)
}

fn limits() -> impl Strategy<Value = Limits> {
    (1..12_usize, prop_oneof![Just(usize::MAX), 1..400_usize])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whoever_pulls_has_all_that_either_had_and_nothing_beyond_the_range(
        a in copies(), b in copies(), limits in [limits(), limits()], last in any::<u64>(),
    ) {
        let range = TokenRange { first: Token::MIN, last: Token(last) };
        let (mine, theirs) = (store(1, &a), store(2, &b));
        let mut expected = content(&mine, TokenRange::ALL);
        for (key, state) in content(&theirs, range) {
            expected.entry(key).or_default().join_ref(&state);
        }
        let before = content(&theirs, TokenRange::ALL);
        pull(&mine, &theirs, range, limits);
        prop_assert_eq!(content(&mine, TokenRange::ALL), expected);
        prop_assert_eq!(content(&theirs, TokenRange::ALL), before, "the asked one stays as it was");
        pull(&theirs, &mine, range, limits);
        prop_assert_eq!(content(&mine, range), content(&theirs, range));
    }

    #[test]
    fn between_equal_owners_nothing_travels(a in copies(), mine in limits(), theirs in 12..24_usize) {
        let stores = [store(1, &a), store(2, &a)];
        let travelled = pull(&stores[0], &stores[1], TokenRange::ALL, [mine, (theirs, usize::MAX)]);
        prop_assert_eq!(travelled, 0);
    }

    #[test]
    fn what_differs_travels_with_its_stretch_and_no_other(
        a in copies(), differing in 0..24_usize, items in 1..6_usize,
    ) {
        let (mine, theirs) = (store(1, &a), store(2, &a));
        join(&theirs, &numbered(differing), &write(9, "more"));
        let limits = [(items, usize::MAX), (usize::MAX, usize::MAX)];
        let travelled = pull(&mine, &theirs, TokenRange::ALL, limits);
        prop_assert!((1..=items + 1).contains(&travelled), "{} travelled", travelled);
        prop_assert_eq!(content(&mine, TokenRange::ALL), content(&theirs, TokenRange::ALL));
    }
}
