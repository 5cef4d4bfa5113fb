//! The deleted objects: an index of them, and how they are let go of for good.
//!
//! The family `tombstones` has an entry for each object whose values are all tombstones, under the key of its record and written in
//! one batch with it. The value is empty, or the proof that all owners have this very state; any change of the state
//! takes the proof away.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dynamokv_ring::TokenRange;

use super::range::Bounds;
use super::{Cursor, ObjectStore, Settle};
use crate::Result;
use crate::engine::{Batch, Family};
use crate::hash::StateHash;
use crate::key::ObjectKey;
use crate::sync::WriteSeq;
use crate::value::State;

/// An object of which only tombstones are left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The object.
    pub key: ObjectKey,
    /// Its state.
    pub hash: StateHash,
    /// Since when all owners are known to have exactly this state, if they are.
    pub proof: Option<Proof>,
}

/// That all owners of an object had the same state, synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The number of the membership change whose ring these owners are of; no other was open.
    pub change: u64,
    /// When the last of them said so, in milliseconds since the Unix epoch.
    pub since_ms: u64,
}

const VERSION: u8 = 1;

impl Proof {
    fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(17);
        out.put_u8(VERSION);
        out.put_u64(self.change);
        out.put_u64(self.since_ms);
        out.freeze()
    }

    /// None that can be read is none: it is given anew.
    fn decode(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() != 17 || bytes.get_u8() != VERSION {
            return None;
        }
        Some(Self {
            change: bytes.get_u64(),
            since_ms: bytes.get_u64(),
        })
    }
}

impl ObjectStore {
    /// Deleted objects of `range` beyond `after`, in the order of their keys, and where to go on: `None` at the end. Looks at
    /// `limit` of them at most. O(limit), whatever else the range holds.
    ///
    /// # Errors
    /// The engine's failure. Objects with damaged records are passed over.
    pub fn tombstones(
        &self,
        range: TokenRange,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<(Vec<Tombstone>, Option<Cursor>)> {
        let bounds = Bounds::of(range);
        let snapshot = self.engine().snapshot();
        let (mut found, mut last) = (Vec::new(), None);
        let entries = snapshot.range(&Family::TOMBSTONES, bounds.after(after))?;
        for (nth, entry) in entries.enumerate() {
            let (engine_key, proof) = entry?;
            if nth >= limit.max(1) {
                return Ok((found, last.map(Cursor)));
            }
            if let Ok(key) = ObjectKey::decode(&engine_key) {
                let stored = self.load(&key, &engine_key)?;
                if let Some(hash) = stored.hash(&key).filter(|_| is_deleted(&stored.state)) {
                    let proof = Proof::decode(&proof);
                    found.push(Tombstone { key, hash, proof });
                }
            }
            last = Some(engine_key);
        }
        Ok((found, None))
    }

    /// Notes a proof for the state of that hash; whether it is still the object's. Not synced: a proof that is lost is given anew.
    ///
    /// # Errors
    /// As those of [`settle`](Self::settle).
    pub fn prove(&self, key: &ObjectKey, hash: StateHash, proof: Proof) -> Result<bool> {
        let settled = self.settle(key, |state, settle| {
            let same = is_deleted_as(state, hash);
            if same {
                let batch = settle.batch();
                batch.put(&Family::TOMBSTONES, key.encode(), proof.encode());
            }
            same
        })?;
        Ok(settled.output)
    }

    /// Whether the object is deleted, with the state of that hash, and the number to sync before that is said.
    ///
    /// # Errors
    /// As those of [`settle`](Self::settle).
    pub fn is_tombstone(&self, key: &ObjectKey, hash: StateHash) -> Result<(bool, WriteSeq)> {
        let settled = self.settle(key, |state, _| is_deleted_as(state, hash))?;
        Ok((settled.output, settled.seq))
    }

    /// Lets go of a deleted object if its state is the one of that hash; says whether it is gone, and the number to sync.
    /// An object of which nothing is known counts as gone.
    ///
    /// # Errors
    /// As those of [`settle`](Self::settle).
    pub fn collect(&self, key: &ObjectKey, hash: StateHash) -> Result<(bool, WriteSeq)> {
        let settled = self.settle(key, |state, settle: &mut Settle| {
            let same = is_deleted_as(state, hash);
            if same {
                settle.drop_record();
            }
            same || state.is_none()
        })?;
        Ok((settled.output, settled.seq))
    }
}

fn is_deleted_as(state: Option<(&State, StateHash)>, hash: StateHash) -> bool {
    state.is_some_and(|(state, of)| of == hash && is_deleted(state))
}

/// Whether nothing but tombstones is left of an object.
pub(super) fn is_deleted(state: &State) -> bool {
    !state.is_empty() && state.values().all(|(_, value)| value.is_tombstone())
}

/// Keeps the index in step with a record that is about to be written.
pub(super) fn stage(batch: &mut Batch, engine_key: &Bytes, was_deleted: bool, state: &State) {
    if is_deleted(state) {
        batch.put(&Family::TOMBSTONES, engine_key.clone(), Bytes::new());
    } else if was_deleted {
        batch.delete(&Family::TOMBSTONES, engine_key.clone());
    }
}
