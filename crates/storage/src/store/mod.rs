//! The versioned object store: replicated states by key, over any engine.

mod cache;
mod check;
mod counters;
mod epochs;
mod identity;
mod join;
mod meta;
mod observer;
mod options;
mod range;
mod scan;
mod stripes;
#[cfg(test)]
mod tests;
mod tombstones;
mod walk;
mod write;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;

pub use check::{DamagedRecord, Scrubbed, VerifyReport};
pub use counters::Counters;
pub use identity::Opened;
pub use join::Joined;
pub use observer::{Change, Observer};
pub use options::StoreOptions;
pub use range::{Cursor, Purged, RangeStatistics};
pub use scan::Page;
pub use tombstones::{Proof, Tombstone};
pub use walk::{Moment, Walked};
pub use write::{Applied, Settle, Settled};

use cache::{Cached, RecordCache};
use counters::Meters;
use epochs::Epochs;
use meta::Owner;
use stripes::Stripes;

use crate::engine::{Batch, Engine, Family};
use crate::hash::StateHash;
use crate::key::ObjectKey;
use crate::record;
use crate::sync::{GroupSync, SyncWait, WriteSeq};
use crate::value::State;
use crate::{Error, Result};

/// A versioned store of one node's replicas: for each [`ObjectKey`] a [`State`], changed under the key's lock.
///
/// **Durability.** A change is visible as soon as the call returns, and has a [`WriteSeq`];
/// [`settled`](Self::settled) waits until it is as durable as the policy asks, [`synced`](Self::synced) until it is
/// on disk. After a failed sync the store refuses writes ([`Error::Poisoned`]) and goes on serving reads.
///
/// **Dots are never issued twice.** The node's issuing position for a key is written with the key's state and is
/// valid only within the store's incarnation, a durable number that grows at each opening after an unclean stop,
/// with [`void_positions`](Self::void_positions), and before the next put after a failed one. So all
/// positions are voided at once, in O(1), and the next put to each key takes a fresh epoch.
///
/// **Damage.** A record that fails its checksum is reported and counted, never served. A put or join replaces it and says
/// so; a scan steps over it.
///
/// Calls block for engine reads and writes (memory, mostly), not for syncs, but for those whose documentation says so.
pub struct ObjectStore {
    options: StoreOptions,
    sync: GroupSync,
    stripes: Stripes,
    cache: RecordCache,
    epochs: Epochs,
    observer: Option<Box<dyn Observer>>,
    opened: Opened,
    generation: u64,
    /// Changes only while every stripe is locked.
    incarnation: AtomicU64,
    /// A put failed: its dot may come back with the log. No further dot is taken before the positions are void.
    dots_in_doubt: AtomicBool,
    /// The lapses of the sync after which the positions are void already.
    lapses_voided: AtomicU64,
    /// A batch that let a record go failed: the drop may come back with the log and hide what was acknowledged after
    /// it. Until the next opening whatever relies on a record writes it again.
    drops_in_doubt: AtomicBool,
    /// Changes only while every stripe is locked.
    closed: AtomicBool,
    meters: Meters,
}

impl ObjectStore {
    /// Opens the store in `engine`, which must have the families `objects` and `meta`. Blocks for one sync.
    ///
    /// # Errors
    /// [`Error::ForeignNode`] and [`Error::NewerFormat`] for another's store, [`Error::DamagedMeta`],
    /// [`Error::UnknownFamily`], or the engine's failure. Nothing was changed, or nothing that matters.
    pub fn open(engine: Arc<dyn Engine>, options: StoreOptions) -> Result<Arc<Self>> {
        Self::open_with(engine, options, None)
    }

    /// As [`open`](Self::open); `observer` hears of every change from now on.
    ///
    /// # Errors
    /// As those of [`open`](Self::open).
    pub fn open_observed(
        engine: Arc<dyn Engine>,
        options: StoreOptions,
        observer: impl Observer,
    ) -> Result<Arc<Self>> {
        Self::open_with(engine, options, Some(Box::new(observer)))
    }

    fn open_with(
        engine: Arc<dyn Engine>,
        options: StoreOptions,
        observer: Option<Box<dyn Observer>>,
    ) -> Result<Arc<Self>> {
        let families = engine.families();
        if let Some(family) = [Family::OBJECTS, Family::TOMBSTONES, Family::META]
            .into_iter()
            .find(|family| !families.contains(family))
        {
            return Err(Error::UnknownFamily { family });
        }
        let sync = GroupSync::new(engine, options.durability, options.sync_mode)?;
        let mut batch = Batch::new();
        let identity = identity::advance(sync.engine().as_ref(), options.node, &mut batch)?;
        sync.write(batch)?;
        sync.sync_now()?;
        let epochs = Epochs::open(&sync, options.random_seed)?;
        tracing::debug!(
            engine = sync.engine().name(),
            generation = identity.generation,
            opened = ?identity.opened,
            "store opened"
        );
        Ok(Arc::new(Self {
            cache: RecordCache::new(options.cache_bytes),
            options,
            sync,
            stripes: Stripes::new(),
            epochs,
            observer,
            opened: identity.opened,
            generation: identity.generation,
            incarnation: AtomicU64::new(identity.incarnation),
            dots_in_doubt: AtomicBool::new(false),
            lapses_voided: AtomicU64::new(0),
            drops_in_doubt: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            meters: Meters::default(),
        }))
    }

    /// The node that the store in `engine` belongs to; `None` where there is no store yet. For those who keep
    /// their id with their data.
    ///
    /// # Errors
    /// [`Error::DamagedMeta`], or the engine's failure.
    pub fn owner(engine: &dyn Engine) -> Result<Option<u64>> {
        identity::owner(engine)
    }

    /// The state of `key` in an engine that no store has open: for those who look at a disk from outside.
    ///
    /// # Errors
    /// [`Error::Damaged`] for an unreadable record, or the engine's failure.
    pub fn peek(engine: &dyn Engine, key: &ObjectKey) -> Result<Option<State>> {
        let engine_key = key.encode();
        let Some(stored) = engine.get(&Family::OBJECTS, &engine_key)? else {
            return Ok(None);
        };
        match record::decode(&engine_key, &stored) {
            Ok((record, _)) => Ok(Some(record.state)),
            Err(reason) => Err(Error::Damaged {
                key: key.clone(),
                reason,
            }),
        }
    }

    /// The options it was opened with.
    #[must_use]
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// The engine, for families other than `objects` and `meta`, which are the store's own.
    #[must_use]
    pub fn engine(&self) -> &Arc<dyn Engine> {
        self.sync.engine()
    }

    /// Grows with each opening, by one, and more where [`raise_generation`](Self::raise_generation) said so. Durable.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What was found at opening.
    #[must_use]
    pub fn opened(&self) -> Opened {
        self.opened
    }

    /// Whether nothing was lost before this opening: the store is new, or was closed cleanly.
    #[must_use]
    pub fn opened_clean(&self) -> bool {
        self.opened != Opened::Unclean
    }

    /// What was counted since the opening.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.meters.read()
    }

    /// The state of `key`, or `None` if nothing is known of it. One engine look-up; takes no lock.
    ///
    /// # Errors
    /// [`Error::Damaged`] for an unreadable record, or the engine's failure.
    pub fn get(&self, key: &ObjectKey) -> Result<Option<State>> {
        self.look_up(key)?.readable(key)
    }

    /// As [`get`](Self::get), with the state's hash. O(size of the state).
    ///
    /// # Errors
    /// As those of [`get`](Self::get).
    pub fn get_hashed(&self, key: &ObjectKey) -> Result<Option<(State, StateHash)>> {
        let found = self.look_up(key)?;
        let hash = found.hash(key);
        Ok(found.readable(key)?.zip(hash))
    }

    /// The hash of the state of `key` where its record is in memory; `None` says nothing. O(1).
    #[must_use]
    pub fn warm_hash(&self, key: &ObjectKey) -> Option<StateHash> {
        let warm = key.with_encoded(|engine_key| self.cache.get(engine_key));
        warm.map(|cached| cached.hash)
    }

    /// Waits until the write is as durable as the policy asks.
    pub fn settled(&self, seq: WriteSeq) -> SyncWait {
        self.sync.settled(seq)
    }

    /// Waits until the write is on disk, whatever the policy.
    pub fn synced(&self, seq: WriteSeq) -> SyncWait {
        self.sync.synced(seq)
    }

    /// Runs one sync on the caller's thread if somebody waits for one, or if the policy is an interval and something is
    /// unsynced. For [`SyncMode::Manual`](crate::SyncMode::Manual). Says whether there was one.
    pub fn run_pending_syncs(&self) -> bool {
        self.sync.run_pending()
    }

    /// Whether the last write or sync found no room. Writes are refused then, reads go on, and it passes once there is room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.sync.is_full()
    }

    /// Whether a write has failed since the opening. It is not visible, but may be at the next opening, also after a clean stop.
    #[must_use]
    pub fn has_failed_writes(&self) -> bool {
        self.sync.write_failed()
    }

    /// Why writes are refused since a sync failed; `None` while all is well. The store must be opened again.
    #[must_use]
    pub fn poison(&self) -> Option<Arc<str>> {
        self.sync.poison()
    }

    /// The value of an entry that the store's user put.
    ///
    /// # Errors
    /// [`Error::DamagedMeta`], or the engine's failure.
    pub fn meta_get(&self, name: &str) -> Result<Option<Bytes>> {
        meta::read(self.engine().as_ref(), Owner::User, name)
    }

    /// Sets an entry of the store's user, durably: blocks for a sync.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`] or the engine's failure; the outcome is then unknown.
    pub fn meta_put(&self, name: &str, value: impl AsRef<[u8]>) -> Result<()> {
        let mut batch = Batch::new();
        Self::stage_meta(&mut batch, name, value);
        self.write(batch)?;
        self.sync.sync_now()
    }

    /// Adds to `batch` what [`meta_put`](Self::meta_put) would write, so that it lands together with other changes.
    pub fn stage_meta(batch: &mut Batch, name: &str, value: impl AsRef<[u8]>) {
        meta::stage(batch, Owner::User, name, value.as_ref());
    }

    /// Adds to `batch` the end of such an entry.
    pub fn stage_meta_removal(batch: &mut Batch, name: &str) {
        meta::stage_removal(batch, Owner::User, name);
    }

    /// Writes a batch of the user's own families (hint markers, say) that concerns no single key.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`] or the engine's failure.
    pub fn write(&self, batch: Batch) -> Result<WriteSeq> {
        self.refuse_if_closed()?;
        self.sync.write(batch)
    }

    /// Returns when every change of a key that is under way has ended: what was staged before the call is then visible, or
    /// has failed. Others may begin meanwhile. O(1), a few microseconds.
    pub fn barrier(&self) {
        self.stripes.pass();
    }

    /// Lets the next opening count on from `at_least`, where that is greater: for a store made from an older copy, whose cluster
    /// remembers later openings. Blocks for a sync.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`] or the engine's failure; the outcome is then unknown.
    pub fn raise_generation(&self, at_least: u64) -> Result<()> {
        let mut batch = Batch::new();
        identity::stage_generation(&mut batch, self.generation.max(at_least));
        self.write(batch)?;
        self.sync.sync_now()
    }

    /// Voids all issuing positions: every key's next put takes a fresh epoch. For a node that learns that it is an older
    /// copy of itself. Stops all writers meanwhile, and blocks for a sync; O(1) otherwise.
    ///
    /// # Errors
    /// The engine's failure; the positions are then void no later than at the next put.
    pub fn void_positions(&self) -> Result<()> {
        let _all = self.stripes.lock_all();
        // From here on, until it is done: no dot on the old positions.
        self.dots_in_doubt.store(true, Ordering::Release);
        self.begin_incarnation()
    }

    /// Voids the positions if that is still due; of many writers that find it due, one does it.
    fn resolve_doubt(&self) -> Result<()> {
        let _all = self.stripes.lock_all();
        if self.in_doubt() {
            self.begin_incarnation()
        } else {
            Ok(())
        }
    }

    /// Whether a dot may have left this node that its disk does not know.
    fn in_doubt(&self) -> bool {
        self.dots_in_doubt.load(Ordering::Acquire)
            || self.lapses_voided.load(Ordering::Acquire) != self.sync.lapses()
    }

    /// Every stripe is locked.
    fn begin_incarnation(&self) -> Result<()> {
        self.refuse_if_closed()?;
        let lapses = self.sync.lapses();
        let next = self.incarnation.load(Ordering::Acquire) + 1;
        let mut batch = Batch::new();
        identity::stage_incarnation(&mut batch, next);
        self.sync.write(batch)?;
        self.sync.sync_now()?;
        self.incarnation.store(next, Ordering::Release);
        self.dots_in_doubt.store(false, Ordering::Release);
        self.lapses_voided.store(lapses, Ordering::Release);
        Ok(())
    }

    /// Refuses further writes, makes all earlier ones durable and marks the stop as clean, so that the positions
    /// survive. Blocks for two syncs. Reads go on.
    ///
    /// # Errors
    /// [`Error::Closed`] the second time, [`Error::Poisoned`] or the engine's failure; the stop then counts as unclean, or
    /// as clean with everything on disk.
    pub fn close(&self) -> Result<()> {
        self.close_with(|_| {})
    }

    /// As [`close`](Self::close). `last` runs when all changes are made, and adds operations on other families, or
    /// [`stage_meta`](Self::stage_meta), that become durable together with the mark.
    ///
    /// # Errors
    /// As those of [`close`](Self::close).
    pub fn close_with(&self, last: impl FnOnce(&mut Batch)) -> Result<()> {
        let _all = self.stripes.lock_all();
        self.refuse_if_closed()?;
        // Before the mark: no write may follow it, not even after a failure to write it, for it may be on disk.
        self.closed.store(true, Ordering::Release);
        self.sync.sync_now()?;
        let mut batch = Batch::new();
        if self.in_doubt() {
            identity::stage_incarnation(&mut batch, self.incarnation.load(Ordering::Acquire) + 1);
        }
        last(&mut batch);
        identity::stage_clean_stop(&mut batch);
        self.sync.write(batch)?;
        self.sync.sync_now()
    }

    /// A change is visible, and its key still locked.
    fn tell(&self, change: Change) {
        if let Some(observer) = &self.observer
            && change.old != change.new
        {
            observer.changed(&change);
        }
    }

    fn refuse_if_closed(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            Err(Error::Closed)
        } else {
            Ok(())
        }
    }

    /// What stands under a key that is not locked.
    fn look_up(&self, key: &ObjectKey) -> Result<Stored> {
        key.with_encoded(|engine_key| {
            if let Some(warm) = self.load_warm(engine_key) {
                return Ok(warm);
            }
            if !self.cache.is_on() {
                return self.load_from_engine(key, engine_key);
            }
            // Held to the end: what is read without the lock may be replaced before it could be kept.
            let lock = self.stripes.try_lock(key.token());
            let mut stored = self.load_from_engine(key, engine_key)?;
            if lock.is_none() {
                // A writer's next state may be in the engine while the one before it, which another reader has kept meanwhile, is
                // still in memory: who was shown the newer one must not be shown the older one next.
                return Ok(self.load_warm(engine_key).unwrap_or(stored));
            }
            if let Some(record) = stored.to_cached(key) {
                stored.found = Found::Hashed(record.hash);
                self.cache.put(Bytes::copy_from_slice(engine_key), record);
            }
            Ok(stored)
        })
    }

    /// What stands under a key that is locked.
    fn load(&self, key: &ObjectKey, engine_key: &[u8]) -> Result<Stored> {
        match self.load_warm(engine_key) {
            Some(warm) => Ok(warm),
            None => self.load_from_engine(key, engine_key),
        }
    }

    fn load_warm(&self, engine_key: &[u8]) -> Option<Stored> {
        let cached = self.cache.get(engine_key)?;
        let record::Record { position, state } = record::decode_trusted(&cached.record)?;
        Some(Stored {
            state,
            position,
            found: Found::Hashed(cached.hash),
            damage: None,
        })
    }

    fn load_from_engine(&self, key: &ObjectKey, engine_key: &[u8]) -> Result<Stored> {
        let Some(bytes) = self.engine().get(&Family::OBJECTS, engine_key)? else {
            return Ok(Stored::default());
        };
        match record::decode(engine_key, &bytes) {
            Ok((record, state_bytes)) => Ok(Stored {
                state: record.state,
                position: record.position,
                found: Found::Encoded {
                    state_at: bytes.len() - state_bytes.len(),
                    record: bytes,
                },
                damage: None,
            }),
            Err(reason) => {
                self.meters.count_damaged();
                tracing::warn!(%key, %reason, "damaged record");
                Ok(Stored {
                    damage: Some(reason),
                    ..Stored::default()
                })
            }
        }
    }
}

impl fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStore")
            .field("engine", &self.engine().name())
            .field("node", &self.options.node)
            .field("generation", &self.generation)
            .field("opened", &self.opened)
            .finish_non_exhaustive()
    }
}

/// What stands under a key.
#[derive(Default)]
struct Stored {
    state: State,
    position: Option<record::Stamped>,
    found: Found,
    damage: Option<crate::Damage>,
}

/// How much is known of a state.
#[derive(Default)]
enum Found {
    /// There is no readable record.
    #[default]
    Nothing,
    /// The record, and where in it the state's canonical bytes begin.
    Encoded {
        record: Bytes,
        state_at: usize,
    },
    Hashed(StateHash),
}

impl Stored {
    /// The state, if there is a record.
    fn readable(self, key: &ObjectKey) -> Result<Option<State>> {
        match self.damage {
            Some(reason) => Err(Error::Damaged {
                key: key.clone(),
                reason,
            }),
            None => Ok((!matches!(self.found, Found::Nothing)).then_some(self.state)),
        }
    }

    /// Computed on demand: hashing a large state costs as much as reading it, and readers need no hash.
    fn hash(&self, key: &ObjectKey) -> Option<StateHash> {
        match &self.found {
            Found::Nothing => None,
            Found::Encoded { record, state_at } => {
                Some(StateHash::of_encoded(key, &record[*state_at..]))
            }
            Found::Hashed(hash) => Some(*hash),
        }
    }

    /// For the cache; `None` where it came from there, or where there is nothing.
    fn to_cached(&self, key: &ObjectKey) -> Option<Cached> {
        let Found::Encoded { record, .. } = &self.found else {
            return None;
        };
        Some(Cached {
            record: record.clone(),
            hash: self.hash(key)?,
        })
    }
}
