//! The changes to one key, each under its lock and in one atomic batch.

use std::sync::atomic::Ordering;

use dynamokv_vclock::{CausalContext, Dot, Position, issue};
use parking_lot::MutexGuard;

use super::cache::Cached;
use super::tombstones::{self, is_deleted};
use super::{Change, ObjectStore};
use crate::engine::{Batch, Family};
use crate::hash::StateHash;
use crate::key::ObjectKey;
#[cfg(feature = "planted-bugs")]
use crate::planted::{self, Bug};
use crate::record::{self, Stamped};
use crate::sync::WriteSeq;
use crate::value::{State, Value};
use crate::{Error, Result};

/// The greatest length of a value's content type, in bytes.
const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// What a put did.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The dot of the new value.
    pub dot: Dot,
    /// What the other replicas join: the value under its dot, and the client's context with the dot.
    pub delta: State,
    /// The state after the put.
    pub hash: StateHash,
    /// The state before it, if there was a readable one.
    pub previous: Option<StateHash>,
    /// An unreadable record was replaced: this replica may have forgotten values of the key.
    pub replaced_damaged: bool,
    /// For [`ObjectStore::settled`] and [`ObjectStore::synced`].
    pub seq: WriteSeq,
}

/// What a settlement may do; see [`ObjectStore::settle`].
#[derive(Debug, Default)]
pub struct Settle {
    batch: Batch,
    drops_record: bool,
}

impl Settle {
    /// Operations to write in the same batch.
    pub fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// Lets go of the key's record: its state and the node's position. The next put takes a fresh epoch.
    pub fn drop_record(&mut self) {
        self.drops_record = true;
    }
}

/// What a settlement did.
#[derive(Clone, Copy, Debug)]
pub struct Settled<R> {
    /// What the closure returned.
    pub output: R,
    /// The state that was let go, if one was.
    pub dropped: Option<StateHash>,
    /// For [`ObjectStore::settled`] and [`ObjectStore::synced`].
    pub seq: WriteSeq,
}

/// A record within a batch.
pub(super) struct Staged {
    pub(super) engine_key: bytes::Bytes,
    record: bytes::Bytes,
    pub(super) hash: StateHash,
}

impl ObjectStore {
    /// Writes `value` as one that supersedes what `client` covers and is concurrent with everything else. `markers` adds
    /// operations on other families to the same atomic batch.
    ///
    /// Blocks for a sync in one case of 16,384, when a new block of epochs is leased.
    ///
    /// # Errors
    /// - [`Error::ValueLength`], [`Error::ContentTypeLength`], [`Error::TooManySiblings`],
    ///   [`Error::ContextTooLarge`]: nothing happened, no dot was taken.
    /// - [`Error::Closed`], [`Error::Poisoned`], [`Error::EpochsExhausted`]: likewise.
    /// - the engine's failure: the value is not visible, but may come back after a crash. Its dot is never issued
    ///   again.
    pub fn put(
        &self,
        key: &ObjectKey,
        value: Value,
        client: &CausalContext,
        markers: impl FnOnce(&mut Batch),
    ) -> Result<Applied> {
        #[cfg(feature = "planted-bugs")]
        let client = if planted::is(Bug::ContextIgnored) {
            &CausalContext::new()
        } else {
            client
        };
        self.check_value(&value)?;
        let engine_key = key.encode();
        let _lock = self.lock_for_dot(key)?;
        let stored = self.load(key, &engine_key)?;
        self.check_siblings(key, &stored.state, client)?;

        let previous = stored.hash(key);
        let before = stored.state.context();
        #[cfg(feature = "planted-bugs")]
        let mut lowest = (0..).map(dynamokv_vclock::Epoch);
        let (dot, position) = issue(
            self.options.node,
            self.valid(stored.position),
            before,
            client,
            || {
                self.meters.count_epoch();
                #[cfg(feature = "planted-bugs")]
                if planted::is(Bug::EpochReused) {
                    return lowest.next().ok_or(Error::EpochsExhausted);
                }
                self.epochs.draw(&self.sync)
            },
        )?;
        let delta = State::delta(dot, value, client);
        let mut state = stored.state.clone();
        state.join_ref(&delta);
        self.check_context(key, before, state.context())?;

        let mut batch = Batch::new();
        let was_deleted = is_deleted(&stored.state);
        let staged = self.stage(
            &mut batch,
            key,
            engine_key,
            Some(position),
            &state,
            was_deleted,
        );
        let hash = staged.hash;
        markers(&mut batch);
        let written = self
            .sync
            .write(batch)
            .inspect_err(|_| self.dots_in_doubt.store(true, Ordering::Release));
        let seq = self.keep([staged], written)?;
        self.tell(Change {
            token: key.token(),
            old: previous,
            new: Some(hash),
        });
        Ok(Applied {
            dot,
            delta,
            hash,
            previous,
            replaced_damaged: stored.damage.is_some(),
            seq,
        })
    }

    /// Decides about a key while nobody can change it: `decide` sees its state, or `None` where nothing is known, and
    /// says what to write and whether the record is let go; all of it lands in one batch.
    ///
    /// So a marker is removed only if the state is still the one that was acknowledged, and a state only with its
    /// last marker.
    ///
    /// # Errors
    /// [`Error::Damaged`]: `decide` was not called. [`Error::Closed`], [`Error::Poisoned`] or the engine's failure:
    /// nothing is visible.
    pub fn settle<R>(
        &self,
        key: &ObjectKey,
        decide: impl FnOnce(Option<(&State, StateHash)>, &mut Settle) -> R,
    ) -> Result<Settled<R>> {
        let engine_key = key.encode();
        let _lock = self.stripes.lock(key.token());
        self.refuse_if_closed()?;
        let stored = self.load(key, &engine_key)?;
        if let Some(reason) = stored.damage {
            return Err(Error::Damaged {
                key: key.clone(),
                reason,
            });
        }
        let mut settle = Settle::default();
        let hash = stored.hash(key);
        let output = decide(hash.map(|hash| (&stored.state, hash)), &mut settle);
        let dropped = hash.filter(|_| settle.drops_record);
        if dropped.is_some() {
            if is_deleted(&stored.state) {
                settle.batch.delete(&Family::TOMBSTONES, engine_key.clone());
            }
            settle.batch.delete(&Family::OBJECTS, engine_key);
        } else if hash.is_some()
            && !settle.batch.is_empty()
            && self.drops_in_doubt.load(Ordering::Acquire)
        {
            let position = self.valid(stored.position);
            let deleted = is_deleted(&stored.state);
            let batch = &mut settle.batch;
            // The same record again: what is cached of it stays true.
            self.stage(batch, key, engine_key, position, &stored.state, deleted);
        }
        if dropped.is_some() {
            key.with_encoded(|engine_key| self.cache.remove(engine_key));
        }
        let seq = self.write_some(settle.batch).inspect_err(|_| {
            if dropped.is_some() {
                self.drops_in_doubt.store(true, Ordering::Release);
            }
        })?;
        if dropped.is_some() {
            self.tell(Change {
                token: key.token(),
                old: dropped,
                new: None,
            });
        }
        Ok(Settled {
            output,
            dropped,
            seq,
        })
    }

    /// The key's lock, held at a moment when its position can be trusted.
    fn lock_for_dot(&self, key: &ObjectKey) -> Result<MutexGuard<'_, ()>> {
        loop {
            let lock = self.stripes.lock(key.token());
            self.refuse_if_closed()?;
            if !self.in_doubt() {
                return Ok(lock);
            }
            drop(lock);
            self.resolve_doubt()?;
        }
    }

    pub(super) fn valid(&self, position: Option<Stamped>) -> Option<Position> {
        #[cfg(feature = "planted-bugs")]
        if planted::is(Bug::EpochReused) {
            return position.map(|stamped| stamped.position);
        }
        let incarnation = self.incarnation.load(Ordering::Acquire);
        position
            .filter(|stamped| stamped.incarnation == incarnation)
            .map(|stamped| stamped.position)
    }

    pub(super) fn stage(
        &self,
        batch: &mut Batch,
        key: &ObjectKey,
        engine_key: bytes::Bytes,
        position: Option<Position>,
        state: &State,
        was_deleted: bool,
    ) -> Staged {
        let incarnation = self.incarnation.load(Ordering::Acquire);
        let stamped = position.map(|position| Stamped {
            incarnation,
            position,
        });
        let encoded = record::encode(&engine_key, stamped, state);
        let hash = StateHash::of_encoded(key, encoded.state());
        self.meters.see(state.len(), state.context().len());
        tombstones::stage(batch, &engine_key, was_deleted, state);
        let record = encoded.bytes;
        batch.put(&Family::OBJECTS, engine_key.clone(), record.clone());
        Staged {
            engine_key,
            record,
            hash,
        }
    }

    /// Takes over into the cache what was written.
    pub(super) fn keep<R>(
        &self,
        staged: impl IntoIterator<Item = Staged>,
        written: Result<R>,
    ) -> Result<R> {
        for Staged {
            engine_key,
            record,
            hash,
        } in staged.into_iter().filter(|_| self.cache.is_on())
        {
            match written {
                Ok(_) => self.cache.put(engine_key, Cached { record, hash }),
                Err(_) => self.cache.remove(&engine_key),
            }
        }
        written
    }

    /// With nothing to write, the newest number: it covers whatever the decision was based on.
    pub(super) fn write_some(&self, batch: Batch) -> Result<WriteSeq> {
        if batch.is_empty() {
            Ok(self.sync.newest())
        } else {
            self.sync.write(batch)
        }
    }

    fn check_value(&self, value: &Value) -> Result<()> {
        let bytes = value.body.as_ref().map_or(0, |body| body.len());
        if bytes > self.options.value_bytes_max {
            return Err(Error::ValueLength {
                bytes,
                limit: self.options.value_bytes_max,
            });
        }
        let bytes = value.content_type.as_ref().map_or(0, |text| text.len());
        if bytes > CONTENT_TYPE_BYTES_MAX {
            return Err(Error::ContentTypeLength {
                bytes,
                limit: CONTENT_TYPE_BYTES_MAX,
            });
        }
        Ok(())
    }

    fn check_siblings(&self, key: &ObjectKey, state: &State, client: &CausalContext) -> Result<()> {
        let kept = state
            .values()
            .filter(|(dot, _)| !client.covers(dot))
            .count();
        let limit = self.options.sibling_limit_hard;
        if kept >= limit {
            self.meters.count_refused();
            return Err(Error::TooManySiblings {
                key: key.clone(),
                count: kept,
                limit,
            });
        }
        if kept >= self.options.sibling_limit_soft {
            tracing::warn!(%key, siblings = kept + 1, limit, "many concurrent values: read, merge, write with their context");
        }
        Ok(())
    }

    /// A put that adds nothing to an oversized context may pass: it could shrink the key's siblings.
    fn check_context(
        &self,
        key: &ObjectKey,
        before: &CausalContext,
        after: &CausalContext,
    ) -> Result<()> {
        let (entries, limit) = (after.len(), self.options.context_entries_max);
        if entries > limit && entries > before.len() {
            return Err(Error::ContextTooLarge {
                key: key.clone(),
                entries,
                limit,
            });
        }
        Ok(())
    }
}
