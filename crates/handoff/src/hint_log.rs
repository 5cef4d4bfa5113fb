//! The durable hint log: what this node holds for whom.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use dynamokv_ring::NodeId;
use dynamokv_storage::{Batch, Error, Family, ObjectKey, ObjectStore, Result, State};
use dynamokv_storage::{StateHash, WriteSeq};
use parking_lot::Mutex;

use crate::ledger::{Form, Ledger};
use crate::marker::Marked;
use crate::{Slice, marker};

/// The bounds of a [`HintLog`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintBounds {
    /// So many keys are remembered one by one for each target; of further ones the [`Slice`] is, and all that is here of it
    /// is handed over. That bounds the disk that markers take: about 50 bytes each, and 20 KiB of slices a target.
    pub hints_max: NonZeroU64,
}

impl Default for HintBounds {
    fn default() -> Self {
        Self {
            hints_max: NonZeroU64::MIN.saturating_add(99_999),
        }
    }
}

/// The markers "this node holds `key` for `target`", one for each pair, in the engine's family `hints`.
///
/// A marker is written in one batch with the state and carries no data of its own: the state is read when it is
/// delivered, so any number of hints for one key fold into one. It goes, under the key's lock, only when the target
/// acknowledged exactly the present state; a state that nobody else needs here goes in the same batch. (Dynamo,
/// section 4.6, keeps hinted replicas in a separate database instead.)
///
/// Beyond [`HintBounds::hints_max`] keys of a target, one marker stands for all keys of a [`Slice`]: a write never fails for
/// the sake of a hint. It goes when all that is here of the slice was acknowledged and nothing was marked in it meanwhile.
pub struct HintLog {
    pub(crate) store: Arc<ObjectStore>,
    pub(crate) ledger: Ledger,
    marked: Mutex<BTreeSet<NodeId>>,
}

/// What is held for one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Keys that have a marker of their own.
    pub hints: u64,
    /// Slices that are held as a whole.
    pub slices: usize,
    /// Nothing of it is held since an earlier time, in milliseconds since the Unix epoch. `None` where nothing is held.
    pub oldest_ms: Option<u64>,
}

impl Held {
    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.hints == 0 && self.slices == 0
    }
}

/// What an acknowledgement let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Released {
    /// The marker is gone. It stays if the state is another one than was acknowledged.
    pub marker_removed: bool,
    /// The state was let go with the last marker.
    pub state_dropped: Option<StateHash>,
    /// The write that did it. Nobody needs to wait for it: if it is lost, the hint is delivered once more.
    pub seq: WriteSeq,
}

impl HintLog {
    /// The log in the engine of `store`, which must have the family `hints`. Reads all markers: O(markers).
    ///
    /// # Errors
    /// [`Error::UnknownFamily`], or the engine's failure.
    pub fn open(store: Arc<ObjectStore>, bounds: HintBounds) -> Result<Self> {
        let ledger = Ledger::read(store.engine().as_ref(), bounds.hints_max)?;
        Ok(Self {
            store,
            marked: Mutex::new(ledger.targets().into_iter().collect()),
            ledger,
        })
    }

    /// Adds to `batch` that `key` is held for `target` since `now_ms`, in milliseconds since the Unix epoch. It must be the
    /// batch that writes the state under the key's lock: the `markers` of a put or join, or that of a settlement. One look-up.
    ///
    /// Wake the deliveries afterwards; [`take_marked`](Self::take_marked) tells them whom it concerns.
    pub fn mark(&self, batch: &mut Batch, key: &ObjectKey, target: NodeId, now_ms: u64) {
        // Where the look-up fails the key is counted twice.
        let known = self.marker_of(key, target).ok().flatten();
        let (stored, since_ms) = match known {
            // Once more: a removal that failed may be on the disk nevertheless.
            Some(since_ms) => (marker::encode(target, key), since_ms),
            None => {
                let slice = Slice::of(key.token());
                match self.ledger.enter(target, slice, now_ms) {
                    Form::Key => (marker::encode(target, key), now_ms),
                    Form::Slice { since_ms } => (marker::encode_slice(target, slice), since_ms),
                }
            }
        };
        batch.put(&Family::HINTS, stored, marker::encode_value(since_ms));
        self.marked.lock().insert(target);
    }

    /// The targets that were marked since the last call, for [`Delivery::on_marked`](crate::Delivery::on_marked).
    /// The first call gives also all whose markers were found at the opening.
    pub fn take_marked(&self) -> Vec<NodeId> {
        std::mem::take(&mut *self.marked.lock())
            .into_iter()
            .collect()
    }

    /// Every target that has hints here, and possibly some that had some before. No I/O.
    pub fn targets(&self) -> Vec<NodeId> {
        self.ledger.targets()
    }

    /// Whether `key` has a marker of its own for anybody. One look-up for each target for whom some key has; none where none has.
    ///
    /// # Errors
    /// The engine's failure.
    pub fn is_marked(&self, key: &ObjectKey) -> Result<bool> {
        self.is_marked_beside(key, None)
    }

    /// Whether `key` has a marker of its own for `target`. One look-up at most.
    ///
    /// # Errors
    /// The engine's failure.
    pub fn is_marked_for(&self, key: &ObjectKey, target: NodeId) -> Result<bool> {
        self.has_marker(key, target)
    }

    /// Whether `key` is held for `target`, if only with its whole slice. As costly as [`is_marked_for`](Self::is_marked_for).
    ///
    /// # Errors
    /// The engine's failure.
    pub fn is_held_for(&self, key: &ObjectKey, target: NodeId) -> Result<bool> {
        Ok(self.ledger.holds_slice_for(key.token(), target) || self.is_marked_for(key, target)?)
    }

    /// Whether `key` is held for anybody, if only with its whole slice: then it must not be let go. As costly as
    /// [`is_marked`](Self::is_marked).
    ///
    /// # Errors
    /// The engine's failure.
    pub fn is_held(&self, key: &ObjectKey) -> Result<bool> {
        self.is_held_beside(key, None)
    }

    /// What `target` has here. Reads all its hints: O(hints).
    ///
    /// # Errors
    /// The engine's failure.
    pub fn held(&self, target: NodeId) -> Result<Held> {
        let range = marker::Range::of(target, None);
        let snapshot = self.store.engine().snapshot();
        let mut hints = 0;
        for found in snapshot.range(&Family::HINTS, range.bounds())? {
            let (stored, _) = found?;
            hints += u64::from(!matches!(marker::marked(&stored), Some(Marked::Slice(_))));
        }
        Ok(Held {
            hints,
            slices: self.ledger.slices(target),
            oldest_ms: self.oldest_ms(target),
        })
    }

    /// Nothing is held for `target` since an earlier time, in milliseconds since the Unix epoch; `None` where nothing is held.
    /// No I/O.
    pub fn oldest_ms(&self, target: NodeId) -> Option<u64> {
        self.ledger.oldest_ms(target)
    }

    /// `target` has `acknowledged`, synced, as the state of `key`: its marker goes if that is still the state here. The
    /// state goes with it, unless the key is held for another target or `keeps` says that this node owns it in
    /// the current or the next ring. Where there was no marker nothing happens.
    ///
    /// `keeps` is asked under the key's lock and must not use the store. It has to look at the present rings: a
    /// copy that this node accepts as an owner meanwhile is then never let go, even if it changed nothing.
    ///
    /// # Errors
    /// [`Error::Damaged`] and the store's or the engine's failure: nothing was let go.
    pub fn release(
        &self,
        key: &ObjectKey,
        target: NodeId,
        acknowledged: StateHash,
        keeps: impl Fn(&ObjectKey) -> bool,
    ) -> Result<Released> {
        let settled = self.store.settle(key, |state, settle| {
            if is_another(state, acknowledged) || !self.has_marker(key, target)? {
                return Ok(false);
            }
            settle
                .batch()
                .delete(&Family::HINTS, marker::encode(target, key));
            let is_last = !keeps(key)
                && !self.is_marked_beside(key, Some(target))?
                && !self.ledger.leave_to_slices_of(key.token(), target);
            if is_last {
                settle.drop_record();
            }
            Ok::<bool, Error>(true)
        })?;
        let marker_removed = settled.output?;
        if marker_removed {
            self.ledger.leave(target);
        }
        Ok(Released {
            marker_removed,
            state_dropped: settled.dropped,
            seq: settled.seq,
        })
    }

    /// As [`release`](Self::release), for a key that `target` acknowledged with the rest of a slice: the slice's marker stays.
    /// Whether the state is still the one that was acknowledged.
    pub(crate) fn release_of_slice(
        &self,
        key: &ObjectKey,
        target: NodeId,
        acknowledged: StateHash,
        keeps: impl Fn(&ObjectKey) -> bool,
    ) -> Result<bool> {
        let settled = self.store.settle(key, |state, settle| {
            if is_another(state, acknowledged) {
                return Ok(false);
            }
            // A marker of its own is met by a pass over these.
            let is_last = !keeps(key)
                && !self.is_held_beside(key, Some(target))?
                && !self.has_marker(key, target)?;
            if is_last {
                settle.drop_record();
            }
            Ok::<bool, Error>(true)
        })?;
        settled.output
    }

    /// Nothing of the slice is left to hand over: its marker goes, unless something was marked in it meanwhile. Whether it went.
    pub(crate) fn release_slice(&self, target: NodeId, slice: Slice) -> Result<bool> {
        self.ledger.end_slice(target, slice, || {
            let mut batch = Batch::new();
            batch.delete(&Family::HINTS, marker::encode_slice(target, slice));
            self.store.write(batch).map(drop)
        })
    }

    /// `from` left for good: what is held for it is held for `heirs` from now on, in one batch. Where there are no
    /// heirs, or no marker for `from`, nothing happens. Whether anything did.
    ///
    /// # Errors
    /// [`Error::Damaged`] and the store's or the engine's failure: nothing was changed.
    pub fn retarget(
        &self,
        key: &ObjectKey,
        from: NodeId,
        heirs: &[NodeId],
        now_ms: u64,
    ) -> Result<bool> {
        if heirs.is_empty() {
            return Ok(false);
        }
        let settled = self.store.settle(key, |state, settle| {
            if !self.has_marker(key, from)? {
                return Ok(false);
            }
            settle
                .batch()
                .delete(&Family::HINTS, marker::encode(from, key));
            if state.is_some() {
                heirs
                    .iter()
                    .for_each(|heir| self.mark(settle.batch(), key, *heir, now_ms));
            }
            Ok::<bool, Error>(true)
        })?;
        let retargeted = settled.output?;
        if retargeted {
            self.ledger.leave(from);
        }
        Ok(retargeted)
    }

    /// Whether `key` has a marker for anybody but `except`.
    fn is_marked_beside(&self, key: &ObjectKey, except: Option<NodeId>) -> Result<bool> {
        let targets = self.ledger.targets_of_keys();
        for target in targets.into_iter().filter(|target| Some(*target) != except) {
            if self.has_marker(key, target)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_held_beside(&self, key: &ObjectKey, except: Option<NodeId>) -> Result<bool> {
        Ok(
            self.ledger.holds_slice_of(key.token(), except)
                || self.is_marked_beside(key, except)?,
        )
    }

    pub(crate) fn has_marker(&self, key: &ObjectKey, target: NodeId) -> Result<bool> {
        Ok(self.marker_of(key, target)?.is_some())
    }

    /// Since when the key's own marker for `target` says that it is held.
    fn marker_of(&self, key: &ObjectKey, target: NodeId) -> Result<Option<u64>> {
        if !self.ledger.may_hold_keys(target) {
            return Ok(None);
        }
        let stored = marker::encode(target, key);
        let found = self.store.engine().get(&Family::HINTS, &stored)?;
        Ok(found.map(|value| marker::since_ms(&value)))
    }
}

/// A key that is gone has nothing that could be lost.
fn is_another(state: Option<(&State, StateHash)>, acknowledged: StateHash) -> bool {
    state.is_some_and(|(_, hash)| hash != acknowledged)
}

impl fmt::Debug for HintLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HintLog")
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}
