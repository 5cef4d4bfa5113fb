//! How far a transfer has come, as it is kept on disk.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dynamokv_ring::NodeId;
use dynamokv_storage::ObjectKey;

/// How far one source of a partition was read, with everything up to there synced here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// Up to this key.
    After(ObjectKey),
    /// To the end.
    Complete,
}

/// The positions in one partition, by source; what a node keeps to go on after a restart.
///
/// They say what was read *during one membership change*: whoever keeps them keeps that change's identity with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(pub BTreeMap<NodeId, Position>);

impl Positions {
    /// `[format][source, 8 bytes big-endian][length of the key, 4 bytes big-endian; 0 is complete][encoded key]...`
    /// O(bytes).
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(FORMAT);
        for (source, position) in &self.0 {
            out.put_u64(source.0);
            let key = match position {
                Position::After(key) => key.encode(),
                Position::Complete => Bytes::new(),
            };
            // A key has 64 KiB at most.
            out.put_u32(key.len() as u32);
            out.put_slice(&key);
        }
        out.freeze()
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` for anything else: then the partition is read from the beginning.
    #[must_use]
    pub fn decode(bytes: &Bytes) -> Option<Self> {
        let mut rest = bytes.clone();
        if rest.try_get_u8().ok()? != FORMAT {
            return None;
        }
        let mut positions = BTreeMap::new();
        while !rest.is_empty() {
            let source = NodeId(rest.try_get_u64().ok()?);
            let length = rest.try_get_u32().ok()? as usize;
            if length > rest.len() {
                return None;
            }
            let key = rest.split_to(length);
            let position = if key.is_empty() {
                Position::Complete
            } else {
                Position::After(ObjectKey::decode(&key).ok()?)
            };
            positions.insert(source, position);
        }
        Some(Self(positions))
    }
}

const FORMAT: u8 = 1;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn positions() -> impl Strategy<Value = Positions> {
        let key = prop::option::of(prop::collection::vec(any::<u8>(), 1..40));
        let position = key.prop_map(|key| match key {
            Some(key) => Position::After(ObjectKey::new("default", key).unwrap()),
            None => Position::Complete,
        });
        prop::collection::btree_map(any::<u64>().prop_map(NodeId), position, 0..5)
            .prop_map(Positions)
    }

    proptest! {
        #[test]
        fn positions_are_read_back_and_a_part_of_them_is_no_other_place(
            positions in positions(),
            cut in any::<prop::sample::Index>(),
            noise in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let bytes = positions.encode();
            prop_assert_eq!(Positions::decode(&bytes), Some(positions.clone()));
            if let Some(part) = Positions::decode(&bytes.slice(..cut.index(bytes.len()))) {
                prop_assert!(part.0.iter().all(|(source, at)| positions.0.get(source) == Some(at)));
            }
            let _ = Positions::decode(&noise.into());
        }
    }

    #[test]
    fn the_format_is_golden() {
        let key = ObjectKey::new("default", "k").unwrap();
        let positions = [
            (NodeId(1), Position::Complete),
            (NodeId(2), Position::After(key.clone())),
        ];
        let mut expected = vec![1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        expected.extend([0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 17]);
        expected.extend(key.encode());
        assert_eq!(Positions(positions.into()).encode(), expected);
    }
}
