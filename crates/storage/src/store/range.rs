//! Token ranges as the engine sees them, and what is done to a whole range.

use std::ops::Bound;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use dynamokv_ring::TokenRange;

use super::{Change, ObjectStore, check};
use crate::Result;
use crate::engine::{Batch, Family, KeyRange};
use crate::key::Keyspace;
use crate::sync::WriteSeq;

/// What a range of tokens holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangeStatistics {
    /// Keys with a record, tombstones and damaged ones included.
    pub keys: u64,
    /// Bytes of the records with their keys, as stored and before compression.
    pub bytes: u64,
}

/// A place between two records, where a walk over them goes on. Stays meaningful whatever is written meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub(super) Bytes);

/// What a step of [`ObjectStore::purge_keyspace`] did.
#[derive(Clone, Debug)]
pub struct Purged {
    /// Records let go.
    pub records: u64,
    /// Where the next step goes on; `None` when the range is done.
    pub next: Option<Cursor>,
    /// For [`ObjectStore::settled`] and [`ObjectStore::synced`].
    pub seq: WriteSeq,
}

impl ObjectStore {
    /// Counts what `range` holds, at one moment. Exact, so it reads the range: O(records and their bytes). Blocks; writes
    /// go on.
    ///
    /// # Errors
    /// The engine's failure.
    pub fn range_statistics(&self, range: TokenRange) -> Result<RangeStatistics> {
        let bounds = Bounds::of(range);
        let snapshot = self.engine().snapshot();
        let mut found = RangeStatistics::default();
        for entry in snapshot.range(&Family::OBJECTS, bounds.after(None))? {
            let (engine_key, stored) = entry?;
            found.keys += 1;
            found.bytes += (engine_key.len() + stored.len()) as u64;
        }
        Ok(found)
    }

    /// Lets go of every record in `range`, states and positions: for data that was handed over. `markers` adds operations on
    /// other families to the same atomic batch. Pages and snapshots taken before are not affected; the next put to a
    /// key takes a fresh epoch.
    ///
    /// One range deletion: O(1) on RocksDB, whose compactions reclaim the room later. Stops all writers meanwhile.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed), [`Error::Poisoned`](crate::Error::Poisoned) or the engine's failure:
    /// nothing is visible.
    pub fn purge(&self, range: TokenRange, markers: impl FnOnce(&mut Batch)) -> Result<WriteSeq> {
        let bounds = Bounds::of(range);
        let _all = self.stripes.lock_all();
        self.refuse_if_closed()?;
        let mut batch = Batch::new();
        let (first, end) = bounds.for_deletion();
        batch.delete_range(&Family::TOMBSTONES, first.clone(), end.clone());
        batch.delete_range(&Family::OBJECTS, first, end);
        markers(&mut batch);
        self.cache.clear();
        let seq = self.drop_records(batch)?;
        if let Some(observer) = &self.observer {
            observer.cleared(range);
        }
        Ok(seq)
    }

    /// As [`purge`](Self::purge), for the keys of one keyspace, which lie scattered: looks at up to `limit_records`
    /// records beyond `after`, whose values it reads past, and lets go of those in `keyspace`, in one batch.
    ///
    /// # Errors
    /// As [`purge`](Self::purge).
    pub fn purge_keyspace(
        &self,
        range: TokenRange,
        keyspace: &Keyspace,
        after: Option<&Cursor>,
        limit_records: usize,
    ) -> Result<Purged> {
        let bounds = Bounds::of(range);
        let _all = self.stripes.lock_all();
        self.refuse_if_closed()?;
        let mut batch = Batch::new();
        let mut dropped = Vec::new();
        let mut records = 0;
        let (mut last, mut next) = (None, None);
        let snapshot = self.engine().snapshot();
        let entries = snapshot.range(&Family::OBJECTS, bounds.after(after))?;
        for (nth, entry) in entries.enumerate() {
            let (engine_key, stored) = entry?;
            if nth >= limit_records.max(1) {
                next = last.map(Cursor);
                break;
            }
            if keyspace.holds(&engine_key) {
                records += 1;
                batch.delete(&Family::TOMBSTONES, engine_key.clone());
                batch.delete(&Family::OBJECTS, engine_key.clone());
                if self.observer.is_some()
                    && let Ok((key, _, hash)) = check::read_hashed(&engine_key, &stored)
                {
                    dropped.push(Change {
                        token: key.token(),
                        old: Some(hash),
                        new: None,
                    });
                }
            }
            last = Some(engine_key);
        }
        drop(snapshot);
        let seq = if batch.is_empty() {
            self.sync.newest()
        } else {
            self.cache.clear();
            self.drop_records(batch)?
        };
        dropped.into_iter().for_each(|change| self.tell(change));
        Ok(Purged { records, next, seq })
    }

    /// A batch that lets records go. Every stripe is locked.
    fn drop_records(&self, batch: Batch) -> Result<WriteSeq> {
        self.sync
            .write(batch)
            .inspect_err(|_| self.drops_in_doubt.store(true, Ordering::Release))
    }
}

/// The engine keys of a range of tokens.
pub(super) struct Bounds {
    first: [u8; 8],
    /// `None` where the range ends with the last token.
    beyond: Option<[u8; 8]>,
}

impl Bounds {
    pub(super) fn of(range: TokenRange) -> Self {
        Self {
            first: range.first.0.to_be_bytes(),
            beyond: range.last.0.checked_add(1).map(u64::to_be_bytes),
        }
    }

    /// The part beyond a cursor; one that lies before the range does not widen it.
    pub(super) fn after<'a>(&'a self, after: Option<&'a Cursor>) -> KeyRange<'a> {
        let start = match after {
            Some(Cursor(after)) if after.as_ref() >= self.first.as_slice() => {
                Bound::Excluded(after.as_ref())
            }
            _ => Bound::Included(self.first.as_slice()),
        };
        let end = self.beyond.as_ref();
        (
            start,
            end.map_or(Bound::Unbounded, |beyond| {
                Bound::Excluded(beyond.as_slice())
            }),
        )
    }

    fn for_deletion(&self) -> (Bytes, Bytes) {
        // Above every key of the last token: what follows a token is the length of a keyspace's name, at most 64.
        const END: [u8; 9] = [0xff; 9];
        let end = match &self.beyond {
            Some(beyond) => Bytes::copy_from_slice(beyond),
            None => Bytes::from_static(&END),
        };
        (Bytes::copy_from_slice(&self.first), end)
    }
}
