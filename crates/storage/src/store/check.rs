//! Looking for damage: over a running store in steps, and over a whole store at rest.

use std::sync::Arc;

use bytes::Bytes;
use dynamokv_ring::TokenRange;

use super::range::{Bounds, Cursor};
use super::{ObjectStore, identity, meta};
use crate::Result;
use crate::engine::{EVERYTHING, Engine, Family};
use crate::error::Damage;
use crate::hash::StateHash;
use crate::key::ObjectKey;
use crate::record;
use crate::value::State;

/// A record that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRecord {
    /// Its key, if at least that is readable.
    pub key: Option<ObjectKey>,
    /// The key under which it stands in the engine.
    pub engine_key: Bytes,
    /// What gave it away.
    pub reason: Damage,
}

/// What a step of [`ObjectStore::scrub`] found.
#[derive(Clone, Debug, Default)]
pub struct Scrubbed {
    /// Records read, damaged ones included.
    pub records: u64,
    /// Their bytes as stored, keys included: what a limit of the rate goes by.
    pub bytes: u64,
    /// Those that could not be read.
    pub damaged: Vec<DamagedRecord>,
    /// Where the next step goes on; `None` when the store is done.
    pub next: Option<Cursor>,
}

/// What [`ObjectStore::verify`] found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The node that the store belongs to; `None` where there is no store, or where that cannot be read.
    pub owner: Option<u64>,
    /// Records read, damaged ones included.
    pub records: u64,
    /// Their bytes as stored, keys included.
    pub bytes: u64,
    /// How many of them could not be read.
    pub damaged_records: u64,
    /// The first 1,000 of those.
    pub damaged: Vec<DamagedRecord>,
    /// The store's and its user's own entries that could not be read.
    pub damaged_entries: Vec<Arc<str>>,
    /// Entries of the other families, which have no checksums but the engine's.
    pub other_entries: u64,
    /// Families that the engine could not read to their end, and its words: what lies beyond is unknown.
    pub cut_short: Vec<(Family, Arc<str>)>,
}

const DAMAGED_LISTED_MAX: usize = 1_000;

impl VerifyReport {
    /// Whether everything could be read.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.damaged_records == 0 && self.damaged_entries.is_empty() && self.cut_short.is_empty()
    }
}

impl ObjectStore {
    /// Reads on from `after`, or from the beginning, until about `limit_bytes` were read, but one record at least, and checks
    /// every record. Called again and again, as fast as the caller likes, it goes through the running store, which
    /// reads and writes meanwhile. What a block cache holds is checked there and not on the disk.
    ///
    /// # Errors
    /// The engine's failure. Damaged records are listed and counted, and are no error.
    pub fn scrub(&self, after: Option<&Cursor>, limit_bytes: usize) -> Result<Scrubbed> {
        let bounds = Bounds::of(TokenRange::ALL);
        let snapshot = self.engine().snapshot();
        let mut found = Scrubbed::default();
        let mut last = None;
        for entry in snapshot.range(&Family::OBJECTS, bounds.after(after))? {
            let (engine_key, stored) = entry?;
            if found.bytes >= limit_bytes as u64
                && let Some(last) = last.take()
            {
                found.next = Some(Cursor(last));
                break;
            }
            found.records += 1;
            found.bytes += (engine_key.len() + stored.len()) as u64;
            if let Err(damaged) = read(&engine_key, &stored) {
                self.meters.count_damaged();
                found.damaged.push(damaged);
            }
            last = Some(engine_key);
        }
        Ok(found)
    }

    /// Reads everything in an engine that no store has open, and checks every record and every entry of the store's own.
    /// Changes nothing. O(data). For a folder: `RocksEngine::open_read_only`.
    ///
    /// # Errors
    /// The engine's failure to begin. All else that is wrong is part of the report.
    pub fn verify(engine: &dyn Engine) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let snapshot = engine.snapshot();
        for family in engine.families() {
            for entry in snapshot.range(&family, EVERYTHING)? {
                match entry {
                    Ok((key, value)) => report.take(&family, &key, &value),
                    Err(error) => {
                        let words = error.to_string().into();
                        report.cut_short.push((family.clone(), words));
                    }
                }
            }
        }
        report.owner = identity::owner(engine).ok().flatten();
        Ok(report)
    }
}

impl VerifyReport {
    fn take(&mut self, family: &Family, key: &Bytes, value: &Bytes) {
        if *family == Family::OBJECTS {
            self.records += 1;
            self.bytes += (key.len() + value.len()) as u64;
            if let Err(damaged) = read(key, value) {
                self.damaged_records += 1;
                if self.damaged.len() < DAMAGED_LISTED_MAX {
                    self.damaged.push(damaged);
                }
            }
        } else if *family == Family::META {
            if meta::open(key, value).is_none() {
                let name = String::from_utf8_lossy(key).as_ref().into();
                self.damaged_entries.push(name);
            }
        } else {
            self.other_entries += 1;
        }
    }
}

/// What stands under an engine key.
pub(super) fn read(
    engine_key: &Bytes,
    stored: &Bytes,
) -> Result<(ObjectKey, State), DamagedRecord> {
    read_encoded(engine_key, stored).map(|(key, state, _)| (key, state))
}

/// With the hash of the state.
pub(super) fn read_hashed(
    engine_key: &Bytes,
    stored: &Bytes,
) -> Result<(ObjectKey, State, StateHash), DamagedRecord> {
    let (key, state, encoded) = read_encoded(engine_key, stored)?;
    let hash = StateHash::of_encoded(&key, encoded);
    Ok((key, state, hash))
}

/// With the canonical bytes of the state.
fn read_encoded<'a>(
    engine_key: &Bytes,
    stored: &'a Bytes,
) -> Result<(ObjectKey, State, &'a [u8]), DamagedRecord> {
    let damaged = |key, reason| DamagedRecord {
        key,
        engine_key: engine_key.clone(),
        reason,
    };
    let Ok(key) = ObjectKey::decode(engine_key) else {
        return Err(damaged(None, Damage::Key));
    };
    match record::decode(engine_key, stored) {
        Ok((record, encoded)) => Ok((key, record.state, encoded)),
        Err(reason) => Err(damaged(Some(key), reason)),
    }
}
