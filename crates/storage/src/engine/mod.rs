//! Ordered key-value engines: the only thing in this crate that knows how bytes reach a disk.

mod batch;
mod cow;
mod family;
mod fault;
mod memory;
#[cfg(feature = "rocksdb")]
mod rocks;
mod statistics;
mod tables;
#[cfg(test)]
mod tests;

use std::ops::Bound;
use std::path::Path;

use bytes::Bytes;

pub use batch::{Batch, Op};
pub use family::Family;
pub use fault::{Failing, FaultEngine, FaultPoint};
pub use memory::MemoryEngine;
#[cfg(feature = "rocksdb")]
pub use rocks::{RocksEngine, RocksOptions};
pub use statistics::EngineStatistics;

use crate::{Error, Result};

/// A range of keys in byte order. An inverted range holds nothing.
pub type KeyRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// The entries of a range in ascending key order.
pub type Entries<'a> = Box<dyn Iterator<Item = Result<(Bytes, Bytes)>> + 'a>;

/// The whole of a family, as a [`KeyRange`].
pub const EVERYTHING: KeyRange<'static> = (Bound::Unbounded, Bound::Unbounded);

/// An ordered key-value store with named families, atomic batches, snapshots and explicit syncs.
///
/// What every engine promises, and `testing::engine_suite` (feature `testing`) checks:
///
/// - a batch is applied whole or not at all, and its operations in their order;
/// - a write is visible to every reader as soon as [`write`](Engine::write) returns;
/// - a crash keeps a prefix of the batches written, which holds at least those written before the last
///   successful [`sync`](Engine::sync) began, and if it is one of the process alone, before the last [`flush`](Engine::flush);
/// - a snapshot never changes, and iteration is in byte order;
/// - an unknown family is [`Error::UnknownFamily`], and changes nothing.
///
/// Calls block the caller: a cached read costs no more than a look-up, a sync costs a disk flush.
pub trait Engine: Send + Sync + 'static {
    /// A short name for logs: `memory`, `rocksdb`.
    fn name(&self) -> &'static str;

    /// The families that this engine was opened with, sorted.
    fn families(&self) -> Vec<Family>;

    /// The newest value of `key`. O(log n).
    ///
    /// # Errors
    /// An unknown family, or the disk's failure to read.
    fn get(&self, family: &Family, key: &[u8]) -> Result<Option<Bytes>>;

    /// Applies `batch` atomically. It is visible at once, survives the process after the next [`flush`](Engine::flush) and the machine
    /// after the next [`sync`](Engine::sync).
    ///
    /// # Errors
    /// After an error nothing of the batch is visible, but it may come back after a crash: the caller
    /// must treat its outcome as unknown until the engine is opened again.
    fn write(&self, batch: Batch) -> Result<()>;

    /// Returns once every batch written before this call began is with the operating system: it survives the process then, if not the
    /// machine. Costs a system call at most, and no disk. An engine whose writes survive the process by themselves has nothing to do.
    ///
    /// # Errors
    /// As those of [`sync`](Engine::sync).
    fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// A view of this moment that later writes do not change.
    fn snapshot(&self) -> Box<dyn Snapshot + '_>;

    /// Returns once every batch written before this call began is durable.
    ///
    /// # Errors
    /// After a failed sync nothing is known about what was not synced before: stop writing.
    fn sync(&self) -> Result<()>;

    /// Writes out everything that is visible anew and syncs it, relying on nothing that an earlier, failed sync left: once
    /// this returns all of it is durable. For a store whose sync failed for lack of room. O(what is in no table yet).
    ///
    /// # Errors
    /// Nothing is known as before. [`Error::DiskFull`] while there is still no room; an engine that cannot do it says
    /// [`Error::Engine`], and must be opened again.
    fn rewrite(&self) -> Result<()> {
        Err(Error::Engine {
            engine: self.name(),
            reason: "it cannot write out anew what it holds".into(),
        })
    }

    /// Writes a consistent copy of the running engine into the folder `path`, which must not exist; its parent must.
    ///
    /// The copy holds every batch whose write returned before this call, and of those that come meanwhile a
    /// prefix. It is durable when the call returns, and is opened like any folder of this engine. Reads and writes go on.
    /// Blocks for the flush of what is not in a table yet; O(files) on one file system, O(data) across two.
    ///
    /// # Errors
    /// [`Error::CheckpointExists`], [`Error::CheckpointUnsupported`] or [`Error::Checkpoint`]: there is no copy.
    fn checkpoint(&self, path: &Path) -> Result<()> {
        Err(Error::CheckpointUnsupported {
            engine: self.name(),
            path: path.into(),
        })
    }

    /// What the engine counted since it was opened and what it uses now; `None` for one that counts nothing.
    /// O(families), no disk is read.
    ///
    /// # Errors
    /// The engine's failure.
    fn statistics(&self) -> Result<Option<EngineStatistics>> {
        Ok(None)
    }

    /// Whether [`sync`](Engine::sync) does anything. An engine that says no is as durable as it gets.
    fn needs_sync(&self) -> bool {
        true
    }
}

/// An unchanging view of an [`Engine`].
pub trait Snapshot: Send + Sync {
    /// The value of `key` when the snapshot was taken. O(log n).
    ///
    /// # Errors
    /// An unknown family, or the disk's failure to read.
    fn get(&self, family: &Family, key: &[u8]) -> Result<Option<Bytes>>;

    /// The entries of `family` within `range`, ascending. O(log n) to start, amortised O(1) a step.
    ///
    /// # Errors
    /// An unknown family. Failures to read come as items; the iteration ends after one.
    fn range(&self, family: &Family, range: KeyRange<'_>) -> Result<Entries<'_>>;
}

/// Whether no key can lie within `range`.
pub(crate) fn holds_nothing(range: KeyRange<'_>) -> bool {
    match range {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (
            Bound::Included(start) | Bound::Excluded(start),
            Bound::Included(end) | Bound::Excluded(end),
        ) => start >= end,
        _ => false,
    }
}
