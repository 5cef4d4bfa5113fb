//! The durable hint log: what this node holds for whom.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use dynamokv_ring::NodeId;
use dynamokv_storage::{Batch, Engine, Error, Family, ObjectKey, ObjectStore, Result, State};
use dynamokv_storage::{StateHash, WriteSeq};
use parking_lot::{Mutex, RwLock};

use crate::{Delivered, Entry, Page, marker};

/// The markers "this node holds `key` for `target`", one for each pair, in the engine's family `hints`.
///
/// A marker is written in one batch with the state and carries no data of its own: the state is read when it is
/// delivered, so any number of hints for one key fold into one. It goes, under the key's lock, only when the target
/// acknowledged exactly the present state; a state that nobody else needs here goes in the same batch. (Dynamo,
/// section 4.6, keeps hinted replicas in a separate database instead.)
pub struct HintLog {
    store: Arc<ObjectStore>,
    /// Every target that has a marker, and some that have none any more. A target is entered before its marker is
    /// visible and never taken out: another marker for it may be on its way to the engine.
    targets: RwLock<BTreeSet<NodeId>>,
    marked: Mutex<BTreeSet<NodeId>>,
}

/// A page of one target's hints, on its way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintPage {
    /// What to send.
    pub page: Page,
    /// What to hand to [`HintLog::acknowledge`] with the target's answer.
    pub pending: Pending,
}

/// What was read for a [`HintPage`], and awaits the target's acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    target: NodeId,
    hints: Vec<(ObjectKey, StateHash)>,
    damaged: usize,
    next: Option<ObjectKey>,
}

impl Pending {
    /// Whose hints.
    pub fn target(&self) -> NodeId {
        self.target
    }

    /// The objects with the state that is on its way, in the order of the page.
    pub fn hints(&self) -> &[(ObjectKey, StateHash)] {
        &self.hints
    }

    /// Hints that cannot be sent because the record or the marker is unreadable. Their markers stay: a replica may
    /// still mend the record.
    pub fn damaged(&self) -> usize {
        self.damaged
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
    /// The log in the engine of `store`, which must have the family `hints`. One seek for each target.
    ///
    /// # Errors
    /// [`Error::UnknownFamily`], or the engine's failure.
    pub fn open(store: Arc<ObjectStore>) -> Result<Self> {
        let targets = stored_targets(store.engine().as_ref())?;
        Ok(Self {
            store,
            marked: Mutex::new(targets.clone()),
            targets: RwLock::new(targets),
        })
    }

    /// Adds to `batch` that `key` is held for `target`. It must be the batch that writes the state under the key's
    /// lock: the `markers` of a put or join, or that of a settlement. No I/O.
    ///
    /// Wake the deliveries afterwards; [`take_marked`](Self::take_marked) tells them whom it concerns.
    pub fn mark(&self, batch: &mut Batch, key: &ObjectKey, target: NodeId) {
        if !self.targets.read().contains(&target) {
            self.targets.write().insert(target);
        }
        batch.put(&Family::HINTS, marker::encode(target, key), marker::VALUE);
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
        self.targets.read().iter().copied().collect()
    }

    /// Whether `key` is held for anybody. One look-up for each target; none where there are no targets.
    ///
    /// # Errors
    /// The engine's failure.
    pub fn is_marked(&self, key: &ObjectKey) -> Result<bool> {
        self.is_marked_beside(key, None)
    }

    /// Whether `key` is held for `target`. One look-up at most.
    ///
    /// # Errors
    /// The engine's failure.
    pub fn is_marked_for(&self, key: &ObjectKey, target: NodeId) -> Result<bool> {
        Ok(self.targets.read().contains(&target) && self.has_marker(key, target)?)
    }

    /// How many hints `target` has here. Reads them all: O(count).
    ///
    /// # Errors
    /// The engine's failure.
    pub fn count(&self, target: NodeId) -> Result<u64> {
        let range = marker::Range::of(target, None);
        let snapshot = self.store.engine().snapshot();
        let mut count = 0;
        for found in snapshot.range(&Family::HINTS, range.bounds())? {
            found?;
            count += 1;
        }
        Ok(count)
    }

    /// The hints of `target` after `after`, in key order, each with the present state of its key: up to `limit_items`
    /// and about `limit_bytes`, but at least one where there is one. Markers whose state is gone are removed on
    /// the way.
    ///
    /// # Errors
    /// The store's or the engine's failure. A damaged record is none: see [`Pending::damaged`].
    pub fn page(
        &self,
        target: NodeId,
        after: Option<&ObjectKey>,
        limit_items: NonZeroUsize,
        limit_bytes: NonZeroUsize,
    ) -> Result<HintPage> {
        let range = marker::Range::of(target, after);
        let snapshot = self.store.engine().snapshot();
        let mut page = Page::default();
        let mut pending = Pending {
            target,
            hints: Vec::new(),
            damaged: 0,
            next: None,
        };
        let (mut seen, mut bytes) = (0, 0);
        let mut last: Option<ObjectKey> = None;
        for found in snapshot.range(&Family::HINTS, range.bounds())? {
            let (stored, _) = found?;
            let Some(key) = marker::key(&stored) else {
                tracing::error!(%target, marker = ?stored, "unreadable hint marker");
                pending.damaged += 1;
                continue;
            };
            if seen == limit_items.get() {
                page.next = last;
                break;
            }
            match self.present(&key, target) {
                Ok(Some((state, hash))) => {
                    bytes += weight(&key, &state);
                    if bytes > limit_bytes.get() && !page.entries.is_empty() {
                        page.next = last;
                        break;
                    }
                    pending.hints.push((key.clone(), hash));
                    page.entries.push(Entry {
                        key: key.clone(),
                        state,
                    });
                }
                Ok(None) => {}
                Err(Error::Damaged { .. }) => pending.damaged += 1,
                Err(error) => return Err(error),
            }
            seen += 1;
            last = Some(key);
        }
        pending.next.clone_from(&page.next);
        Ok(HintPage { page, pending })
    }

    /// Takes the target's answer to a page: `accepted` says for each entry, in order, whether the target has it
    /// durably; a missing answer is a no. Each accepted hint is [released](Self::release).
    ///
    /// # Errors
    /// The store's failure; what was released before it stays so.
    pub fn acknowledge(
        &self,
        pending: Pending,
        accepted: &[bool],
        keeps: impl Fn(&ObjectKey) -> bool,
    ) -> Result<Delivered> {
        let mut outcome = Delivered {
            next: pending.next,
            ..Delivered::default()
        };
        for (index, (key, hash)) in pending.hints.iter().enumerate() {
            let accepted = accepted.get(index) == Some(&true);
            if accepted && self.lets_go(key, pending.target, *hash, &keeps)? {
                outcome.released += 1;
            } else {
                outcome.left += 1;
            }
        }
        outcome.left += pending.damaged;
        Ok(outcome)
    }

    /// `target` has `acknowledged`, synced, as the state of `key`: its marker goes if that is still the state here. The
    /// state goes with it, unless the key is marked for another target or `keeps` says that this node owns it in
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
            let is_acknowledged = state.is_none_or(|(_, hash)| hash == acknowledged);
            if !is_acknowledged || !self.has_marker(key, target)? {
                return Ok(false);
            }
            let is_last = !keeps(key) && !self.is_marked_beside(key, Some(target))?;
            settle
                .batch()
                .delete(&Family::HINTS, marker::encode(target, key));
            if is_last {
                settle.drop_record();
            }
            Ok::<bool, Error>(true)
        })?;
        Ok(Released {
            marker_removed: settled.output?,
            state_dropped: settled.dropped,
            seq: settled.seq,
        })
    }

    /// `from` left for good: what is held for it is held for `heirs` from now on, in one batch. Where there are no
    /// heirs, or no marker for `from`, nothing happens. Whether anything did.
    ///
    /// # Errors
    /// [`Error::Damaged`] and the store's or the engine's failure: nothing was changed.
    pub fn retarget(&self, key: &ObjectKey, from: NodeId, heirs: &[NodeId]) -> Result<bool> {
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
                    .for_each(|heir| self.mark(settle.batch(), key, *heir));
            }
            Ok::<bool, Error>(true)
        })?;
        settled.output
    }

    /// Whether the hint is done with: a damaged record is not.
    fn lets_go(
        &self,
        key: &ObjectKey,
        target: NodeId,
        hash: StateHash,
        keeps: &impl Fn(&ObjectKey) -> bool,
    ) -> Result<bool> {
        match self.release(key, target, hash, keeps) {
            Ok(released) => Ok(released.marker_removed),
            Err(Error::Damaged { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The state of a marked key; where it is gone the marker is removed.
    fn present(&self, key: &ObjectKey, target: NodeId) -> Result<Option<(State, StateHash)>> {
        let settled = self.store.settle(key, |state, settle| match state {
            Some((state, hash)) => Some((state.clone(), hash)),
            None => {
                settle
                    .batch()
                    .delete(&Family::HINTS, marker::encode(target, key));
                None
            }
        })?;
        Ok(settled.output)
    }

    /// Whether `key` is held for anybody but `except`.
    fn is_marked_beside(&self, key: &ObjectKey, except: Option<NodeId>) -> Result<bool> {
        let targets = self.targets();
        for target in targets.into_iter().filter(|target| Some(*target) != except) {
            if self.has_marker(key, target)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has_marker(&self, key: &ObjectKey, target: NodeId) -> Result<bool> {
        let found = self
            .store
            .engine()
            .get(&Family::HINTS, &marker::encode(target, key))?;
        Ok(found.is_some())
    }
}

impl fmt::Debug for HintLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HintLog")
            .field("targets", &*self.targets.read())
            .finish_non_exhaustive()
    }
}

fn stored_targets(engine: &dyn Engine) -> Result<BTreeSet<NodeId>> {
    let snapshot = engine.snapshot();
    let mut targets = BTreeSet::new();
    let mut from = Some(NodeId(0));
    while let Some(start) = from {
        let range = marker::Range::from(start);
        let stored = snapshot.range(&Family::HINTS, range.bounds())?;
        let target = |found: Result<(Bytes, Bytes)>| match found {
            Ok((stored, _)) => marker::target(&stored).map(Ok),
            Err(error) => Some(Err(error)),
        };
        let first = stored.into_iter().find_map(target).transpose()?;
        targets.extend(first);
        from = first.and_then(|target| target.0.checked_add(1)).map(NodeId);
    }
    Ok(targets)
}

/// About the bytes that an object takes on its way.
fn weight(key: &ObjectKey, state: &State) -> usize {
    let bodies = state
        .values()
        .map(|(_, value)| value.body.as_ref().map_or(0, |body| body.len()));
    let entries = state.context().len() + state.len();
    key.key().len() + key.keyspace().as_str().len() + entries * ENTRY_BYTES + bodies.sum::<usize>()
}

/// A dot, a time and lengths, generously.
const ENTRY_BYTES: usize = 48;
