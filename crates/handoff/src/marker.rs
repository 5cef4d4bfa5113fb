//! Markers as the engine stores them: `[target, 8 bytes big-endian][encoded object key]` for one key, `[target][slice, 2 bytes
//! big-endian]` for all keys of a slice. Their value is `[format version][milliseconds since the Unix epoch, 8 bytes
//! big-endian]`: since when it is held.

use std::ops::Bound;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dynamokv_ring::NodeId;
use dynamokv_storage::ObjectKey;

use crate::Slice;

const VERSION: u8 = 1;
const TARGET_BYTES: usize = 8;
const SLICE_BYTES: usize = 2;

/// What a marker says is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Marked {
    Key(ObjectKey),
    Slice(Slice),
}

pub(crate) fn encode(target: NodeId, key: &ObjectKey) -> Bytes {
    let key = key.encode();
    let mut out = BytesMut::with_capacity(TARGET_BYTES + key.len());
    out.put_u64(target.0);
    out.put_slice(&key);
    out.freeze()
}

pub(crate) fn encode_slice(target: NodeId, slice: Slice) -> Bytes {
    let mut out = BytesMut::with_capacity(TARGET_BYTES + SLICE_BYTES);
    out.put_u64(target.0);
    out.put_u16(slice.number());
    out.freeze()
}

pub(crate) fn encode_value(since_ms: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(9);
    out.put_u8(VERSION);
    out.put_u64(since_ms);
    out.freeze()
}

/// Since when it is held. Readers take a marker's presence for what it says, whatever its value: without a time it is
/// as new as can be. Later versions may append.
pub(crate) fn since_ms(value: &Bytes) -> u64 {
    let time = value.get(1..).unwrap_or_default();
    time.first_chunk()
        .map_or(u64::MAX, |ms| u64::from_be_bytes(*ms))
}

/// The target of a marker; `None` if the bytes are too short to be one.
pub(crate) fn target(marker: &Bytes) -> Option<NodeId> {
    let (target, _) = marker.split_first_chunk::<TARGET_BYTES>()?;
    Some(NodeId(u64::from_be_bytes(*target)))
}

/// What is held; `None` if the bytes are no marker.
pub(crate) fn marked(marker: &Bytes) -> Option<Marked> {
    let mut held = marker.get(TARGET_BYTES..)?;
    if held.len() == SLICE_BYTES {
        return Slice::from_number(held.get_u16()).map(Marked::Slice);
    }
    ObjectKey::decode(&marker.slice_ref(held))
        .ok()
        .map(Marked::Key)
}

/// The markers of `target` after `after`, as a range of the engine.
pub(crate) struct Range {
    start: Bound<Bytes>,
    end: Option<[u8; TARGET_BYTES]>,
}

impl Range {
    pub(crate) fn of(target: NodeId, after: Option<&ObjectKey>) -> Self {
        let start = match after {
            Some(key) => Bound::Excluded(encode(target, key)),
            None => Bound::Included(Bytes::copy_from_slice(&target.0.to_be_bytes())),
        };
        Self {
            start,
            end: target.0.checked_add(1).map(u64::to_be_bytes),
        }
    }

    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let start = self.start.as_ref().map(|start| start.as_ref());
        let end = self
            .end
            .as_ref()
            .map_or(Bound::Unbounded, |end| Bound::Excluded(end.as_slice()));
        (start, end)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dynamokv_ring::Token;

    use super::*;

    const TARGET: NodeId = NodeId(0x0102_0304_0506_0708);

    #[test]
    fn markers_are_stored_as_they_always_were() {
        let object = ObjectKey::new("default", "milk").unwrap();
        let stored = encode(TARGET, &object);
        let mut expected = vec![1, 2, 3, 4, 5, 6, 7, 8];
        expected.extend(object.token().0.to_be_bytes());
        expected.extend(b"\x07defaultmilk");
        assert_eq!(stored, expected);
        assert_eq!(target(&stored), Some(TARGET));
        assert_eq!(marked(&stored), Some(Marked::Key(object)));
        let value = encode_value(0x0a0b);
        assert_eq!(value, [1, 0, 0, 0, 0, 0, 0, 0x0a, 0x0b].as_slice());
        assert_eq!(since_ms(&value), 0x0a0b);
        assert_eq!(since_ms(&Bytes::from_static(&[1])), u64::MAX);
    }

    #[test]
    fn markers_of_slices_are_stored_as_they_always_were() {
        let slice = Slice::of(Token(0x8040_0000_0000_0000));
        let stored = encode_slice(TARGET, slice);
        assert_eq!(stored, [1, 2, 3, 4, 5, 6, 7, 8, 2, 1].as_slice());
        assert_eq!(target(&stored), Some(TARGET));
        assert_eq!(marked(&stored), Some(Marked::Slice(slice)));
    }

    #[test]
    fn bytes_that_are_no_marker_are_told_apart() {
        assert_eq!(target(&Bytes::from_static(b"1234567")), None);
        for rest in ["", "n", "no", "no key"] {
            let marker = Bytes::from(format!("12345678{rest}"));
            assert_eq!((target(&marker).is_some(), marked(&marker)), (true, None));
        }
    }
}
