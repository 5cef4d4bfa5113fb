mod checkpoint;
mod room;

use std::fmt;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    FlushOptions, IteratorMode, Options, ReadOptions, WriteBatch, WriteBufferManager, WriteOptions,
};

use self::room::Room;
use crate::engine::{Batch, Engine, Entries, Family, KeyRange, Op, Snapshot, holds_nothing};
use crate::{Error, Result};

/// An engine on RocksDB, in a folder of its own.
///
/// Every write goes to the write-ahead log, which reaches the operating system at once (so it outlives the
/// process) and the disk with [`sync`](Engine::sync).
pub struct RocksEngine {
    db: DB,
    path: PathBuf,
    families: Vec<Family>,
    room: Room,
    /// A write failed for lack of room all the same. Until all was written out anew.
    out_of_room: AtomicBool,
}

/// How a [`RocksEngine`] uses memory.
#[derive(Clone, Debug)]
pub struct RocksOptions {
    /// Bytes for the block cache; write buffers are charged to it, so this bounds both. Default 128 MiB.
    pub memory_bytes: usize,
    /// Bytes of log after which the oldest write buffer is flushed; bounds the time to open. Default 256 MiB.
    pub log_bytes_max: u64,
    /// Free bytes of the disk below which writes are [`Error::DiskFull`], but for those to [`Family::META`] alone: what is under
    /// way, flushes above all, needs them, and a disk that is full to the brim may take a restart to recover. Default 64 MiB.
    pub room_bytes_min: u64,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            memory_bytes: 128 << 20,
            log_bytes_max: 256 << 20,
            room_bytes_min: 64 << 20,
        }
    }
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

        let cache = Cache::new_lru_cache(options.memory_bytes);
        let descriptors = families
            .iter()
            .filter(|family| **family != Family::DEFAULT)
            .chain([&Family::DEFAULT]) // RocksDB insists on having it open.
            .map(|family| ColumnFamilyDescriptor::new(family.as_str(), family_options(&cache)));
        let db = DB::open_cf_descriptors(&database_options(&cache, options), path, descriptors)
            .map_err(|error| explain(path, &error))?;
        Ok(Self {
            db,
            path: path.into(),
            families,
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
        self.families
            .binary_search(family)
            .ok()
            .and_then(|_| self.db.cf_handle(family.as_str()))
            .ok_or_else(|| Error::UnknownFamily {
                family: family.clone(),
            })
    }

    fn explain(&self, error: &rocksdb::Error) -> Error {
        explain(&self.path, error)
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
        self.db
            .write_opt(writes, &WriteOptions::default())
            .map_err(|error| self.explain(&error))
            .inspect_err(|error| {
                if matches!(error, Error::DiskFull { .. }) {
                    self.out_of_room.store(true, Ordering::Release);
                }
            })
    }

    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        Box::new(RocksSnapshot {
            engine: self,
            view: self.db.snapshot(),
        })
    }

    /// After a failed append RocksDB cannot sync that log, and to be asked for it makes it give up for good. What is in
    /// memory is written out by [`rewrite`](Engine::rewrite) instead.
    fn sync(&self) -> Result<()> {
        if self.out_of_room.load(Ordering::Acquire) {
            return Err(Error::DiskFull {
                engine: self.name(),
                reason: format!("{}: an earlier write found no room", self.path.display()).into(),
            });
        }
        self.db
            .flush_wal(true)
            .map_err(|error| self.explain(&error))
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
}

impl fmt::Debug for RocksEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksEngine")
            .field("path", &self.path)
            .field("families", &self.families)
            .finish_non_exhaustive()
    }
}

struct RocksSnapshot<'a> {
    engine: &'a RocksEngine,
    view: rocksdb::Snapshot<'a>,
}

impl Snapshot for RocksSnapshot<'_> {
    fn get(&self, family: &Family, key: &[u8]) -> Result<Option<Bytes>> {
        let found = self.view.get_pinned_cf(self.engine.handle(family)?, key);
        let found = found.map_err(|error| self.engine.explain(&error))?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn range(&self, family: &Family, range: KeyRange<'_>) -> Result<Entries<'_>> {
        let handle = self.engine.handle(family)?;
        if holds_nothing(range) {
            return Ok(Box::new(std::iter::empty()));
        }
        let mut options = ReadOptions::default();
        match range.0 {
            Bound::Included(start) => options.set_iterate_lower_bound(start),
            Bound::Excluded(start) => options.set_iterate_lower_bound(successor(start)),
            Bound::Unbounded => {}
        }
        match range.1 {
            Bound::Included(end) => options.set_iterate_upper_bound(successor(end)),
            Bound::Excluded(end) => options.set_iterate_upper_bound(end),
            Bound::Unbounded => {}
        }
        let entries = self
            .view
            .iterator_cf_opt(handle, options, IteratorMode::Start);
        Ok(Box::new(entries.map(|entry| {
            let (key, value) = entry.map_err(|error| self.engine.explain(&error))?;
            Ok((Bytes::from(key), Bytes::from(value)))
        })))
    }
}

/// The least key above `key`.
fn successor(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

fn database_options(cache: &Cache, options: &RocksOptions) -> Options {
    let mut database = Options::default();
    database.create_if_missing(true);
    database.create_missing_column_families(true);
    database.set_max_total_wal_size(options.log_bytes_max);
    database.set_keep_log_file_num(4);
    // Spreads the write-back of new tables, so that a flush does not stall the log's fsync.
    database.set_bytes_per_sync(1 << 20);
    // Half of the memory at most for writes, charged to the cache, so that one figure bounds both.
    let write_buffers = options.memory_bytes / 2;
    database.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager_with_cache(
        write_buffers,
        false,
        cache.clone(),
    ));
    database
}

fn family_options(cache: &Cache) -> Options {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    // Charged to the cache as well; otherwise filters and indices grow with the data, beyond every bound.
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
    tables.set_bloom_filter(10.0, false);
    let mut family = Options::default();
    family.set_block_based_table_factory(&tables);
    family.set_compression_type(DBCompressionType::Lz4);
    family
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
