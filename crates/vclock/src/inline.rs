//! A list of small copies that needs the heap only beyond `N` of them.

use std::ops::{Deref, DerefMut};

/// Read and changed as a slice. An empty list is an empty `Vec`, which owns no memory, so no filler
/// value is needed.
#[derive(Clone, Debug)]
pub(crate) enum InlineVec<T, const N: usize> {
    /// `len` items; those from there on are copies without meaning.
    Inline { items: [T; N], len: usize },
    /// No items yet, or so many once that they did not fit.
    Heap(Vec<T>),
}

impl<T: Copy, const N: usize> InlineVec<T, N> {
    pub(crate) const fn new() -> Self {
        Self::Heap(Vec::new())
    }

    /// Makes room for `capacity` items in all.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self::Heap(if capacity > N {
            Vec::with_capacity(capacity)
        } else {
            Vec::new()
        })
    }

    pub(crate) fn push(&mut self, item: T) {
        match self {
            Self::Inline { items, len } if *len < N => {
                items[*len] = item;
                *len += 1;
            }
            Self::Heap(items) if items.capacity() > 0 => items.push(item),
            _ => self.grow(1, item),
        }
    }

    /// Puts `item` before the one at `at`.
    pub(crate) fn insert(&mut self, at: usize, item: T) {
        self.grow(1, item);
        let last = self.len() - 1;
        self.copy_within(at..last, at + 1);
        self[at] = item;
    }

    /// Keeps the items that are `wanted`, in their order.
    pub(crate) fn retain(&mut self, mut wanted: impl FnMut(&T) -> bool) {
        match self {
            Self::Heap(items) => items.retain(wanted),
            Self::Inline { items, len } => {
                let mut kept = 0;
                for at in 0..*len {
                    if wanted(&items[at]) {
                        items[kept] = items[at];
                        kept += 1;
                    }
                }
                *len = kept;
            }
        }
    }

    /// Appends `more` copies of `filler`, to be overwritten.
    pub(crate) fn grow(&mut self, more: usize, filler: T) {
        match self {
            Self::Heap(items) if items.capacity() == 0 && (1..=N).contains(&more) => {
                *self = Self::Inline {
                    items: [filler; N],
                    len: more,
                };
            }
            Self::Heap(items) => items.resize(items.len() + more, filler),
            Self::Inline { items, len } if *len + more <= N => {
                items[*len..*len + more].fill(filler);
                *len += more;
            }
            Self::Inline { items, len } => {
                let mut heap = Vec::with_capacity((*len + more).max(2 * N));
                heap.extend_from_slice(&items[..*len]);
                heap.resize(*len + more, filler);
                *self = Self::Heap(heap);
            }
        }
    }
}

impl<T, const N: usize> Deref for InlineVec<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Inline { items, len } => items.get(..*len).unwrap_or(items),
            Self::Heap(items) => items,
        }
    }
}

impl<T, const N: usize> DerefMut for InlineVec<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::Inline { items, len } => &mut items[..(*len).min(N)],
            Self::Heap(items) => items,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lists_match_a_vec_and_need_the_heap_only_beyond_their_room(
            steps in proptest::collection::vec((0_usize..9, 0_usize..5, 0_u8..), 0..12),
        ) {
            let mut ours = InlineVec::<u8, 4>::new();
            let mut model = Vec::new();
            let mut greatest = 0;
            for (at, more, item) in steps {
                if more == 0 {
                    let at = at.min(model.len());
                    ours.insert(at, item);
                    model.insert(at, item);
                } else if more == 4 {
                    ours.retain(|kept| *kept < item);
                    model.retain(|kept| *kept < item);
                } else {
                    ours.grow(more, item);
                    model.resize(model.len() + more, item);
                }
                prop_assert_eq!(&*ours, &*model);
                greatest = model.len().max(greatest);
                let heap = matches!(&ours, InlineVec::Heap(items) if items.capacity() > 0);
                prop_assert_eq!(heap, greatest > 4);
            }
        }
    }
}
