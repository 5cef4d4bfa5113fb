//! Sorted lists without repetition, walked and merged once from end to end.

use std::cmp::Ordering;

/// Walks a sorted list along keys that ascend. It gallops: each step costs the logarithm of the
/// distance, and all steps together no more than the list's length. (Bentley and Yao, "An almost
/// optimal algorithm for unbounded searching", 1976.)
pub(crate) struct Walk<'a, T>(&'a [T]);

impl<'a, T> Walk<'a, T> {
    pub(crate) fn new(list: &'a [T]) -> Self {
        Self(list)
    }

    /// Leaves behind all items that are `before` the key, and shows the first that is not.
    pub(crate) fn seek(&mut self, before: impl Fn(&T) -> bool) -> Option<&'a T> {
        let mut reach = 0;
        while self.0.get(reach).is_some_and(&before) {
            reach = 2 * reach + 1;
        }
        // The last item that was tried and passed is at `reach / 2`, if any was.
        if reach > 0 {
            let end = reach.min(self.0.len());
            let passed = reach / 2 + 1;
            let near = self.0.get(passed..end).unwrap_or_default();
            self.0 = &self.0[passed + near.partition_point(before)..];
        }
        self.0.first()
    }
}

/// Both lists as one that ascends; equal items come twice.
pub(crate) fn merged<'a, T: Ord>(
    mut left: &'a [T],
    mut right: &'a [T],
) -> impl Iterator<Item = &'a T> {
    std::iter::from_fn(move || {
        let list = match (left, right) {
            ([a, ..], [b, ..]) if a <= b => &mut left,
            (_, [_, ..]) => &mut right,
            _ => &mut left,
        };
        let (first, rest) = list.split_first()?;
        *list = rest;
        Some(first)
    })
}

/// Merges `other`, which descends, into the first `filled` items of `list`, in place. The room
/// behind them is for exactly those of `other` that have no equal among them; of equal ones the
/// present one stays. Works from the back, so that each item moves once.
pub(crate) fn interleave<'a, T: Copy + 'a>(
    list: &mut [T],
    filled: usize,
    other: impl Iterator<Item = &'a T>,
    order: impl Fn(&T, &T) -> Ordering,
) {
    let (mut read, mut write) = (filled, list.len());
    for theirs in other {
        let mut found = None;
        while read < write && read > 0 && found != Some(Ordering::Equal) {
            let next = order(&list[read - 1], theirs);
            if next == Ordering::Less {
                break;
            }
            found = Some(next);
            (read, write) = (read - 1, write - 1);
            list[write] = list[read];
        }
        if read == write {
            return; // no room is left: all of the rest is here
        }
        if found != Some(Ordering::Equal) {
            write -= 1;
            list[write] = *theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_walk_finds_what_a_search_from_the_start_finds(
            list in btree_set(0_u32..200, 0..60), mut keys in vec(0_u32..210, 0..20),
        ) {
            let list: Vec<u32> = list.into_iter().collect();
            keys.sort_unstable();
            let mut walk = Walk::new(&list);
            for key in keys {
                prop_assert_eq!(walk.seek(|item| *item < key), list.iter().find(|item| **item >= key));
            }
        }

        #[test]
        fn lists_merge_as_sets_do(
            left in btree_set(0_u32..40, 0..30), right in btree_set(0_u32..40, 0..30),
        ) {
            let union: Vec<u32> = left.union(&right).copied().collect();
            let (left, right): (Vec<_>, Vec<_>) = (left.into_iter().collect(), right.into_iter().collect());
            let mut walked: Vec<u32> = merged(&left, &right).copied().collect();
            prop_assert!(walked.is_sorted() && walked.len() == left.len() + right.len());
            walked.dedup();
            prop_assert_eq!(&walked, &union);

            let mut list = left.clone();
            list.resize(union.len(), 0);
            interleave(&mut list, left.len(), right.iter().rev(), Ord::cmp);
            prop_assert_eq!(list, union);
        }
    }
}
