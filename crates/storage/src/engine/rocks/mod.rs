mod checkpoint;
mod room;
mod setup;
mod snapshot;
mod statistics;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, FlushOptions, IteratorMode, Options, WriteBatch,
    WriteOptions,
};

pub use setup::RocksOptions;

use room::Room;
use setup::Setup;
use snapshot::RocksSnapshot;

use crate::engine::{Batch, Engine, EngineStatistics, Family, Op, Snapshot};
use crate::{Error, Result};

/// An engine on RocksDB, in a folder of its own.
///
/// Every write goes to the write-ahead log, which reaches the operating system with [`flush`](Engine::flush) and the disk with
/// [`sync`](Engine::sync): many writes share a system call.
pub struct RocksEngine {
    db: DB,
    path: PathBuf,
    families: Vec<Family>,
    setup: Setup,
    room: Room,
    /// A write failed for lack of room all the same. Until all was written out anew.
    out_of_room: AtomicBool,
}

impl RocksEngine {
    /// Opens the database in `path`, and creates the folder and the families that are missing.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has it open, [`Error::NotWritable`], [`Error::ForeignFamily`]
    /// when the folder holds a family that is not in `families`, [`Error::MissingFamily`] when a node's store lacks one
    /// of its own, [`Error::Engine`] for anything else; each
    /// names the path.
    pub fn open(
        path: impl AsRef<Path>,
        families: impl IntoIterator<Item = Family>,
        options: &RocksOptions,
    ) -> Result<Self> {
        let path = path.as_ref();
        let mut families: Vec<Family> = families.into_iter().collect();
        families.sort();
        families.dedup();
        std::fs::create_dir_all(path).map_err(|error| Error::NotWritable {
            path: path.into(),
            reason: error.to_string().into(),
        })?;
        refuse_other_families(path, &families)?;

        let setup = Setup::new(options);
        let descriptors = families
            .iter()
            .filter(|family| **family != Family::DEFAULT)
            .chain([&Family::DEFAULT]) // RocksDB insists on having it open.
            .map(|family| ColumnFamilyDescriptor::new(family.as_str(), setup.family()));
        let db = DB::open_cf_descriptors(&setup.database, path, descriptors)
            .map_err(|error| explain(path, &error))?;
        Ok(Self {
            db,
            path: path.into(),
            families,
            setup,
            room: Room::new(path, options.room_bytes_min),
            out_of_room: AtomicBool::new(false),
        })
    }

    /// Opens the database in `path` with all families that it holds, to look at it: nothing in the folder is changed,
    /// writes fail. No other process should have it open: what it writes meanwhile is not seen, and files that it
    /// deletes are missed. Needs memory for the log, which is read into it.
    ///
    /// # Errors
    /// [`Error::NoStore`] where there is none, [`Error::Engine`] for anything else; each names the path.
    pub fn open_read_only(path: impl AsRef<Path>, options: &RocksOptions) -> Result<Self> {
        let path = path.as_ref();
        if !path.join("CURRENT").exists() {
            return Err(Error::NoStore { path: path.into() });
        }
        let setup = Setup::new(options);
        let names = DB::list_cf(&setup.database, path).map_err(|error| explain(path, &error))?;
        let mut families = names
            .iter()
            .map(|name| Family::new(name))
            .collect::<Result<Vec<Family>>>()?;
        families.sort();
        let descriptors = names
            .iter()
            .map(|name| ColumnFamilyDescriptor::new(name, setup.family()));
        let db = DB::open_cf_descriptors_read_only(&setup.database, path, descriptors, false)
            .map_err(|error| explain(path, &error))?;
        Ok(Self {
            db,
            path: path.into(),
            families,
            setup,
            room: Room::new(path, options.room_bytes_min),
            out_of_room: AtomicBool::new(false),
        })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn handle(&self, family: &Family) -> Result<&ColumnFamily> {
        // RocksDB has `default` open even if nobody asked for it.
        let known = *family != Family::DEFAULT || self.families.contains(family);
        known
            .then(|| self.db.cf_handle(family.as_str()))
            .flatten()
            .ok_or_else(|| Error::UnknownFamily {
                family: family.clone(),
            })
    }

    fn explain(&self, error: &rocksdb::Error) -> Error {
        explain(&self.path, error)
    }

    fn flush_log(&self, sync: bool) -> Result<()> {
        if self.out_of_room.load(Ordering::Acquire) {
            return Err(Error::DiskFull {
                engine: self.name(),
                reason: format!("{}: an earlier write found no room", self.path.display()).into(),
            });
        }
        self.noting_room(self.db.flush_wal(sync))
    }

    /// Remembers that the log could not be written for lack of room.
    fn noting_room<R>(&self, outcome: std::result::Result<R, rocksdb::Error>) -> Result<R> {
        outcome
            .map_err(|error| self.explain(&error))
            .inspect_err(|error| {
                if matches!(error, Error::DiskFull { .. }) {
                    self.out_of_room.store(true, Ordering::Release);
                }
            })
    }
}

impl Engine for RocksEngine {
    fn name(&self) -> &'static str {
        "rocksdb"
    }

    fn families(&self) -> Vec<Family> {
        self.families.clone()
    }

    fn get(&self, family: &Family, key: &[u8]) -> Result<Option<Bytes>> {
        let found = self
            .db
            .get_pinned_cf(self.handle(family)?, key)
            .map_err(|error| self.explain(&error))?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn write(&self, batch: Batch) -> Result<()> {
        self.room.check(&batch)?;
        let mut writes = WriteBatch::default();
        for op in batch.ops() {
            let handle = self.handle(op.family())?;
            match op {
                Op::Put { key, value, .. } => writes.put_cf(handle, key, value),
                Op::Delete { key, .. } => writes.delete_cf(handle, key),
                // RocksDB refuses the whole batch for an inverted range.
                Op::DeleteRange { start, end, .. } if start >= end => {}
                Op::DeleteRange { start, end, .. } => writes.delete_range_cf(handle, start, end),
            }
        }
        self.noting_room(self.db.write_opt(writes, &WriteOptions::default()))
    }

    fn flush(&self) -> Result<()> {
        self.flush_log(false)
    }

    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        Box::new(RocksSnapshot::new(self))
    }

    /// After a failed append RocksDB cannot sync that log, and to be asked for it makes it give up for good. What is in
    /// memory is written out by [`rewrite`](Engine::rewrite) instead.
    fn sync(&self) -> Result<()> {
        self.flush_log(true)
    }

    /// Tables are written and synced from what is in memory, whatever became of the log. While RocksDB itself holds back
    /// writes it refuses this too; where the disk was full it looks for room every few seconds and resumes by itself.
    fn rewrite(&self) -> Result<()> {
        let families = self.families.iter();
        let handles: Vec<&ColumnFamily> = families
            .map(|family| self.handle(family))
            .collect::<Result<_>>()?;
        self.db
            .flush_cfs_opt(&handles, &FlushOptions::default())
            .and_then(|()| self.db.flush_wal(true))
            .map_err(|error| self.explain(&error))?;
        self.out_of_room.store(false, Ordering::Release);
        Ok(())
    }

    fn checkpoint(&self, path: &Path) -> Result<()> {
        checkpoint::write(self, path)
    }

    fn statistics(&self) -> Result<Option<EngineStatistics>> {
        statistics::read(self).map(Some)
    }
}

impl fmt::Debug for RocksEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksEngine")
            .field("path", &self.path)
            .field("families", &self.families)
            .finish_non_exhaustive()
    }
}

fn refuse_other_families(path: &Path, known: &[Family]) -> Result<()> {
    if !path.join("CURRENT").exists() {
        return Ok(());
    }
    let found = DB::list_cf(&Options::default(), path).map_err(|error| explain(path, &error))?;
    let foreign = found.iter().find(|name| {
        **name != *Family::DEFAULT.as_str()
            && !known.iter().any(|family| family.as_str() == name.as_str())
    });
    match foreign {
        Some(name) => Err(Error::ForeignFamily {
            path: path.into(),
            family: name.as_str().into(),
        }),
        None => refuse_incomplete_store(path, &found, known),
    }
}

/// A folder whose first opening was cut short lacks families too, but has no facts of a store yet.
fn refuse_incomplete_store(path: &Path, found: &[String], known: &[Family]) -> Result<()> {
    let has = |family: &Family| found.iter().any(|name| name == family.as_str());
    let missing = Family::CLUSTER
        .into_iter()
        .find(|family| known.contains(family) && !has(family));
    let Some(family) = missing.filter(|_| has(&Family::META)) else {
        return Ok(());
    };
    let meta = [Family::META.as_str()];
    let db = DB::open_cf_for_read_only(&Options::default(), path, meta, false)
        .map_err(|error| explain(path, &error))?;
    let empty = db
        .cf_handle(Family::META.as_str())
        .is_none_or(|handle| db.iterator_cf(handle, IteratorMode::Start).next().is_none());
    if empty {
        return Ok(());
    }
    Err(Error::MissingFamily {
        path: path.into(),
        family,
    })
}

/// RocksDB tells most failures apart only by their text.
fn explain(path: &Path, error: &rocksdb::Error) -> Error {
    let text = error.to_string();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let reason = text.as_str().into();
    if says(&["No space left", "NoSpace"]) {
        Error::DiskFull {
            engine: "rocksdb",
            reason,
        }
    } else if says(&["lock hold by", "/LOCK: Resource temporarily unavailable"]) {
        Error::InUse {
            path: path.into(),
            reason,
        }
    } else if says(&[
        "Permission denied",
        "Read-only file system",
        "Not a directory",
    ]) {
        Error::NotWritable {
            path: path.into(),
            reason,
        }
    } else {
        Error::Engine {
            engine: "rocksdb",
            reason: format!("{}: {text}", path.display()).into(),
        }
    }
}
