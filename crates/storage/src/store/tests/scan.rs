use std::collections::BTreeSet;

use dynamokv_ring::{Token, TokenRange};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pages_cover_exactly_the_range_whatever_the_limits(
        names in vec(("[ab]{1,2}", any::<u8>()), 1..60),
        damaged in vec(any::<prop::sample::Index>(), 0..6),
        bounds in (any::<prop::sample::Index>(), any::<prop::sample::Index>(), -1i64..2, -1i64..2),
        limit_items in 0usize..8,
        limit_bytes in prop_oneof![Just(0usize), 1usize..400, Just(usize::MAX)],
    ) {
        let disk = disk();
        let store = open(&disk);
        let keys: BTreeSet<ObjectKey> =
            names.into_iter().map(|(keyspace, key)| ObjectKey::new(&keyspace, vec![key]).unwrap()).collect();
        for key in &keys {
            put(&store, key, &key.to_string(), &CausalContext::new()).unwrap();
        }
        let keys: Vec<ObjectKey> = keys.into_iter().collect();
        let damaged: BTreeSet<&ObjectKey> = damaged.iter().map(|index| index.get(&keys)).collect();
        for key in &damaged {
            flip_bit(&disk, key, 50);
        }
        // Bounds on and beside tokens in use.
        let near = |index: &prop::sample::Index, by: i64| Token(index.get(&keys).token().0.saturating_add_signed(by));
        let range = TokenRange { first: near(&bounds.0, bounds.2), last: near(&bounds.1, bounds.3) };

        let (mut found, mut broken, mut after, mut pages) = (Vec::new(), Vec::new(), None, 0);
        loop {
            let page = store.scan(range, after.as_ref(), limit_items, limit_bytes).unwrap();
            prop_assert!(page.entries.len() + page.damaged.len() <= limit_items.max(1));
            prop_assert!(limit_bytes > 0 || page.entries.len() <= 1);
            prop_assert!(page.next.is_none() || !(page.entries.is_empty() && page.damaged.is_empty()), "no progress");
            found.extend(page.entries);
            broken.extend(page.damaged.into_iter().map(|record| record.key.unwrap()));
            after = page.next;
            pages += 1;
            if after.is_none() { break; }
        }
        prop_assert!(pages <= keys.len() + 1);
        let inside = |key: &&ObjectKey| range.contains(key.token());
        let expected: Vec<&ObjectKey> = keys.iter().filter(inside).filter(|key| !damaged.contains(key)).collect();
        prop_assert_eq!(found.iter().map(|(key, _)| key).collect::<Vec<_>>(), expected);
        prop_assert_eq!(broken.iter().collect::<Vec<_>>(), damaged.into_iter().filter(inside).collect::<Vec<_>>());
        for (key, state) in &found {
            prop_assert_eq!(bodies(state), [key.to_string()]);
        }
    }
}

#[test]
fn a_start_before_the_range_does_not_widen_it() {
    let store = open(&disk());
    let mut keys: Vec<ObjectKey> = (0u8..20)
        .map(|n| ObjectKey::new("default", vec![n]).unwrap())
        .collect();
    keys.sort();
    for key in &keys {
        put(&store, key, "x", &CausalContext::new()).unwrap();
    }
    let range = TokenRange {
        first: keys[10].token(),
        last: Token::MAX,
    };
    let page = store.scan(range, Some(&keys[3]), 100, usize::MAX).unwrap();
    assert_eq!(
        page.entries.iter().map(|(key, _)| key).collect::<Vec<_>>(),
        keys[10..].iter().collect::<Vec<_>>()
    );
}
