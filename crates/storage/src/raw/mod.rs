//! Plain ordered key-value access, without versions: what a standalone node serves.

#[cfg(test)]
mod tests;

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Batch, Engine, Family};
use crate::key::KEY_BYTES_MAX;
use crate::name::{self, NameKind};
use crate::sync::{Durability, GroupSync, SyncMode, SyncWait, WriteSeq};
use crate::{Error, Result};

/// A store of plain bytes in the families of an engine, in byte order.
///
/// ```
/// use std::sync::Arc;
/// use dynamokv_storage::{Family, MemoryEngine, RawOptions, RawStore};
///
/// let engine = Arc::new(MemoryEngine::new([Family::DEFAULT]));
/// let store = RawStore::open(engine, RawOptions::default())?;
/// for key in ["a", "b", "c"] {
///     store.put(&Family::DEFAULT, key, "value")?;
/// }
/// let page = store.scan(&Family::DEFAULT, b"a", None, 2)?;
/// assert_eq!(page.entries.len(), 2);
/// assert_eq!(page.next.as_deref(), Some(b"c".as_slice()));
/// # Ok::<(), dynamokv_storage::Error>(())
/// ```
pub struct RawStore {
    sync: GroupSync,
    options: RawOptions,
}

/// How a [`RawStore`] is opened.
#[derive(Clone, Debug)]
pub struct RawOptions {
    /// What an acknowledgement promises. Default [`Durability::Sync`].
    pub durability: Durability,
    /// Who runs the syncs. Default [`SyncMode::Thread`].
    pub sync_mode: SyncMode,
    /// The greatest length of a key, in bytes. Default 64 KiB.
    pub key_bytes_max: usize,
    /// The greatest length of a value, in bytes. Default 4 MiB.
    pub value_bytes_max: usize,
    /// The most entries in a page of a scan, whatever the caller asks for. Default 10,000.
    pub page_entries_max: usize,
    /// The most bytes of keys and values in a page, unless its only entry is greater. Default 1 MiB.
    pub page_bytes_max: usize,
}

impl Default for RawOptions {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            sync_mode: SyncMode::default(),
            key_bytes_max: KEY_BYTES_MAX,
            value_bytes_max: 4 << 20,
            page_entries_max: 10_000,
            page_bytes_max: 1 << 20,
        }
    }
}

/// A stretch of a [`RawStore::scan`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawPage {
    /// Keys with their values, ascending.
    pub entries: Vec<(Bytes, Bytes)>,
    /// The first key that did not fit: the start of the next page. `None` when the range is done.
    pub next: Option<Bytes>,
}

impl RawStore {
    /// Opens the store over all families of `engine`.
    ///
    /// # Errors
    /// [`Error::Thread`] if the sync thread cannot be started.
    pub fn open(engine: Arc<dyn Engine>, options: RawOptions) -> Result<Self> {
        let sync = GroupSync::new(engine, options.durability, options.sync_mode)?;
        Ok(Self { sync, options })
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<dyn Engine> {
        self.sync.engine()
    }

    /// The family of the given name; `default` for an empty one.
    ///
    /// # Errors
    /// [`Error::InvalidName`], or [`Error::UnknownFamily`] if the engine does not have it.
    pub fn family(&self, name: &str) -> Result<Family> {
        let name = if name.is_empty() {
            Family::DEFAULT.as_str()
        } else {
            name
        };
        name::check(NameKind::Family, name)?;
        let found = self
            .engine()
            .families()
            .into_iter()
            .find(|family| family.as_str() == name);
        match found {
            Some(family) => Ok(family),
            None => Err(Error::UnknownFamily {
                family: Family::new(name)?,
            }),
        }
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// [`Error::KeyLength`], [`Error::UnknownFamily`], or the engine's failure.
    pub fn get(&self, family: &Family, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        let key = key.as_ref();
        self.check_key(key)?;
        self.engine().get(family, key)
    }

    /// Sets `key` to `value`. Visible at once; wait for [`settled`](Self::settled) before acknowledging it.
    ///
    /// # Errors
    /// [`Error::KeyLength`], [`Error::ValueLength`], [`Error::UnknownFamily`], [`Error::Poisoned`], or the engine's
    /// failure.
    pub fn put(
        &self,
        family: &Family,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<WriteSeq> {
        let (key, value) = (key.into(), value.into());
        self.check_key(&key)?;
        if value.len() > self.options.value_bytes_max {
            return Err(Error::ValueLength {
                bytes: value.len(),
                limit: self.options.value_bytes_max,
            });
        }
        let mut batch = Batch::new();
        batch.put(family, key, value);
        self.sync.write(batch)
    }

    /// Removes `key`; not an error if it is not there.
    ///
    /// # Errors
    /// [`Error::KeyLength`], [`Error::UnknownFamily`], [`Error::Poisoned`], or the engine's failure.
    pub fn delete(&self, family: &Family, key: impl Into<Bytes>) -> Result<WriteSeq> {
        let key = key.into();
        self.check_key(&key)?;
        let mut batch = Batch::new();
        batch.delete(family, key);
        self.sync.write(batch)
    }

    /// The entries of `start..end` (to the family's end without one), up to `limit` and to the page's own bounds, but at
    /// least one. An empty `start` is the family's beginning; a range whose end is not beyond its start holds nothing.
    ///
    /// # Errors
    /// [`Error::KeyLength`] for a bound that no key reaches, [`Error::UnknownFamily`], or the engine's failure.
    pub fn scan(
        &self,
        family: &Family,
        start: &[u8],
        end: Option<&[u8]>,
        limit: usize,
    ) -> Result<RawPage> {
        for bound in [Some(start), end].into_iter().flatten() {
            if !bound.is_empty() {
                self.check_key(bound)?;
            }
        }
        let limit = limit.clamp(1, self.options.page_entries_max.max(1));
        let snapshot = self.engine().snapshot();
        let mut page = RawPage::default();
        let mut bytes = 0;
        for entry in snapshot.range(
            family,
            (
                Bound::Included(start),
                end.map_or(Bound::Unbounded, Bound::Excluded),
            ),
        )? {
            let (key, value) = entry?;
            bytes += key.len() + value.len();
            let full = page.entries.len() >= limit || bytes > self.options.page_bytes_max;
            if full && !page.entries.is_empty() {
                page.next = Some(key);
                break;
            }
            page.entries.push((key, value));
        }
        Ok(page)
    }

    /// Waits until the write is as durable as the policy asks.
    pub fn settled(&self, seq: WriteSeq) -> SyncWait {
        self.sync.settled(seq)
    }

    /// Waits until the write is on disk, whatever the policy.
    pub fn synced(&self, seq: WriteSeq) -> SyncWait {
        self.sync.synced(seq)
    }

    /// Makes every write so far durable, on the caller's thread: for a clean stop.
    ///
    /// # Errors
    /// [`Error::Poisoned`], now or since an earlier sync failed.
    pub fn sync(&self) -> Result<()> {
        self.sync.sync_now()
    }

    /// Runs one sync on the caller's thread if one is due. For [`SyncMode::Manual`]. Says whether there was one.
    pub fn run_pending_syncs(&self) -> bool {
        self.sync.run_pending()
    }

    fn check_key(&self, key: &[u8]) -> Result<()> {
        let limit = self.options.key_bytes_max;
        if (1..=limit).contains(&key.len()) {
            Ok(())
        } else {
            Err(Error::KeyLength {
                bytes: key.len(),
                limit,
            })
        }
    }
}

impl std::fmt::Debug for RawStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawStore")
            .field("engine", &self.engine().name())
            .finish_non_exhaustive()
    }
}
