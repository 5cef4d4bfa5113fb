use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::{KeyRange, holds_nothing};

type Chunk = BTreeMap<Bytes, Bytes>;

/// An ordered map whose clones are snapshots: a clone costs O(1), and the first write after it copies
/// one chunk and the index of chunks, O(n / `CHUNK_ENTRIES_MAX` + `CHUNK_ENTRIES_MAX`), not the map.
///
/// Invariant: a chunk stands in the index under a key that is no greater than its least entry and
/// greater than every entry of the chunk before; the first stands under the empty key.
#[derive(Clone, Default)]
pub(super) struct CowMap {
    chunks: Arc<BTreeMap<Bytes, Arc<Chunk>>>,
}

const CHUNK_ENTRIES_MAX: usize = 512;

impl CowMap {
    pub(super) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.chunk_for(key)?.1.get(key)
    }

    pub(super) fn insert(&mut self, key: Bytes, value: Bytes) {
        let bound = self
            .chunk_for(&key)
            .map_or_else(Bytes::new, |(bound, _)| bound.clone());
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(chunks.entry(bound).or_default());
        chunk.insert(key, value);
        if chunk.len() > CHUNK_ENTRIES_MAX
            && let Some(middle) = chunk.keys().nth(CHUNK_ENTRIES_MAX / 2).cloned()
        {
            let upper = chunk.split_off(&middle);
            chunks.insert(middle, Arc::new(upper));
        }
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        let Some((bound, _)) = self
            .chunk_for(key)
            .filter(|(_, chunk)| chunk.contains_key(key))
        else {
            return;
        };
        let bound = bound.clone();
        let chunks = Arc::make_mut(&mut self.chunks);
        if let Some(shared) = chunks.get_mut(&bound) {
            let chunk = Arc::make_mut(shared);
            chunk.remove(key);
            if chunk.is_empty() && !bound.is_empty() {
                chunks.remove(&bound);
            }
        }
    }

    pub(super) fn remove_range(&mut self, start: &[u8], end: &[u8]) {
        let range = (Bound::Included(start), Bound::Excluded(end));
        let doomed: Vec<Bytes> = self.range(range).map(|(key, _)| key.clone()).collect();
        for key in doomed {
            self.remove(&key);
        }
    }

    pub(super) fn range<'a>(
        &'a self,
        range: KeyRange<'_>,
    ) -> Box<dyn Iterator<Item = (&'a Bytes, &'a Bytes)> + 'a> {
        if holds_nothing(range) {
            return Box::new(std::iter::empty());
        }
        let first = match range.0 {
            Bound::Included(start) | Bound::Excluded(start) => {
                self.chunk_for(start).map(|(bound, _)| bound.as_ref())
            }
            Bound::Unbounded => None,
        };
        let chunks = self.chunks.range::<[u8], _>((
            first.map_or(Bound::Unbounded, Bound::Included),
            Bound::Unbounded,
        ));
        let (start, end) = (
            range.0.map(Bytes::copy_from_slice),
            range.1.map(Bytes::copy_from_slice),
        );
        let after = end.clone();
        Box::new(
            chunks
                .take_while(move |(bound, _)| match &after {
                    Bound::Included(end) | Bound::Excluded(end) => *bound <= end,
                    Bound::Unbounded => true,
                })
                .flat_map(move |(_, chunk)| {
                    chunk.range::<Bytes, _>((start.as_ref(), end.as_ref()))
                }),
        )
    }

    fn chunk_for(&self, key: &[u8]) -> Option<(&Bytes, &Arc<Chunk>)> {
        self.chunks
            .range::<[u8], _>((Bound::Unbounded, Bound::Included(key)))
            .next_back()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn agrees_with_a_plain_map_and_clones_never_change(
            ops in vec((0u16..4_000, 0u8..6, any::<u8>()), 0..3_000),
            snapshot_at in 0usize..3_000,
        ) {
            let (mut map, mut model) = (CowMap::default(), BTreeMap::new());
            let mut frozen = None;
            for (at, (key, kind, value)) in ops.into_iter().enumerate() {
                if at == snapshot_at {
                    frozen = Some((map.clone(), model.clone()));
                }
                let bytes = Bytes::copy_from_slice(&key.to_be_bytes());
                match kind {
                    0 => { map.remove(&bytes); model.remove(&bytes); }
                    1 if value < 10 => {
                        let end = (key + u16::from(value) * 30).to_be_bytes();
                        map.remove_range(&bytes, &end);
                        model.retain(|k: &Bytes, _| !(*k >= bytes && k.as_ref() < end.as_slice()));
                    }
                    _ => {
                        map.insert(bytes.clone(), Bytes::copy_from_slice(&[value]));
                        model.insert(bytes, Bytes::copy_from_slice(&[value]));
                    }
                }
            }
            for (map, model) in frozen.into_iter().chain([(map, model)]) {
                prop_assert!(map.range((Bound::Unbounded, Bound::Unbounded)).eq(model.iter()));
                for key in 0u16..4_000 {
                    let key = key.to_be_bytes();
                    prop_assert_eq!(map.get(&key), model.get(key.as_slice()));
                }
            }
        }
    }

    #[test]
    fn a_large_map_is_split_into_bounded_chunks() {
        let mut map = CowMap::default();
        for key in 0u32..10_000 {
            map.insert(Bytes::copy_from_slice(&key.to_be_bytes()), Bytes::new());
        }
        assert!(map.chunks.len() > 10);
        assert!(
            map.chunks
                .values()
                .all(|chunk| chunk.len() <= CHUNK_ENTRIES_MAX)
        );
        map.remove_range(&[], &[0xff; 5]);
        assert_eq!(map.chunks.len(), 1, "emptied chunks are dropped");
    }
}
