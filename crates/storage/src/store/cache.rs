//! Records that were read or written lately: a put reads before it writes, and most reads ask for what is warm. They are kept as
//! they stand in the engine, which takes a third of what decoded ones take beside their content, and decoded anew each time, which
//! takes as long as a copy would.

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::hash::StateHash;

/// A record as it stands in the engine.
#[derive(Clone)]
pub(super) struct Cached {
    pub(super) record: Bytes,
    pub(super) hash: StateHash,
}

/// Bounded by bytes. Only who holds a key's lock may put its record here, or a reader could keep what a writer has just replaced;
/// anybody may look.
pub(super) struct RecordCache(Option<Cache<Bytes, Cached, Bulk>>);

impl RecordCache {
    /// None at all for 0 bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        let records = bytes_max / RECORD_BYTES_USUAL;
        Self((bytes_max > 0).then(|| Cache::with_weighter(records, bytes_max as u64, Bulk)))
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn get(&self, engine_key: &[u8]) -> Option<Cached> {
        self.0.as_ref()?.get(engine_key)
    }

    pub(super) fn put(&self, engine_key: Bytes, record: Cached) {
        if let Some(records) = &self.0 {
            records.insert(engine_key, record);
        }
    }

    pub(super) fn remove(&self, engine_key: &[u8]) {
        if let Some(records) = &self.0 {
            records.remove(engine_key);
        }
    }

    pub(super) fn clear(&self) {
        if let Some(records) = &self.0 {
            records.clear();
        }
    }
}

/// What an entry weighs.
#[derive(Clone)]
struct Bulk;

impl Weighter<Bytes, Cached> for Bulk {
    fn weight(&self, engine_key: &Bytes, cached: &Cached) -> u64 {
        let rounded_up = cached.record.len() / 8;
        (engine_key.len() + cached.record.len() + rounded_up + ENTRY_BYTES) as u64
    }
}

/// The entry itself, the table's own, and what the small pieces beside the record take: measured, see docs/performance.md.
const ENTRY_BYTES: usize = 272;
/// For the first size of the table.
const RECORD_BYTES_USUAL: usize = 1_024;
