//! Markers as the engine stores them: `[target, 8 bytes big-endian][encoded object key]` -> `[format version]`.

use std::ops::Bound;

use bytes::{BufMut, Bytes, BytesMut};
use dynamokv_ring::NodeId;
use dynamokv_storage::ObjectKey;

/// Readers take the marker's presence for what it says; later versions may append.
pub(crate) const VALUE: Bytes = Bytes::from_static(&[1]);

const TARGET_BYTES: usize = 8;

pub(crate) fn encode(target: NodeId, key: &ObjectKey) -> Bytes {
    let key = key.encode();
    let mut out = BytesMut::with_capacity(TARGET_BYTES + key.len());
    out.put_u64(target.0);
    out.put_slice(&key);
    out.freeze()
}

/// The target of a marker; `None` if the bytes are too short to be one.
pub(crate) fn target(marker: &Bytes) -> Option<NodeId> {
    let (target, _) = marker.split_first_chunk::<TARGET_BYTES>()?;
    Some(NodeId(u64::from_be_bytes(*target)))
}

/// The key of a marker; `None` if the bytes are none.
pub(crate) fn key(marker: &Bytes) -> Option<ObjectKey> {
    let key = marker.get(TARGET_BYTES..)?;
    ObjectKey::decode(&marker.slice_ref(key)).ok()
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

    /// Everything from the first marker of `target` on.
    pub(crate) fn from(target: NodeId) -> Self {
        Self {
            end: None,
            ..Self::of(target, None)
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

    use super::*;

    #[test]
    fn markers_are_stored_as_they_always_were() {
        let object = ObjectKey::new("default", "milk").unwrap();
        let stored = encode(NodeId(0x0102_0304_0506_0708), &object);
        let mut expected = vec![1, 2, 3, 4, 5, 6, 7, 8];
        expected.extend(object.token().0.to_be_bytes());
        expected.extend(b"\x07defaultmilk");
        assert_eq!(stored, expected);
        assert_eq!(VALUE, [1].as_slice());
        assert_eq!(target(&stored), Some(NodeId(0x0102_0304_0506_0708)));
        assert_eq!(key(&stored), Some(object));
    }

    #[test]
    fn bytes_that_are_no_marker_are_told_apart() {
        assert_eq!(target(&Bytes::from_static(b"1234567")), None);
        let keyless = Bytes::from_static(b"12345678no key");
        assert_eq!((target(&keyless).is_some(), key(&keyless)), (true, None));
    }
}
