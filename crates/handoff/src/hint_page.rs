//! Deliveries of what is held: which page comes next, and what its acknowledgement lets go.

use std::iter;
use std::num::NonZeroUsize;

use dynamokv_ring::NodeId;
use dynamokv_storage::{Error, Family, ObjectKey, Result, State, StateHash};

use crate::marker::{self, Marked};
use crate::{Delivered, Entry, HintLog, Page, Place, Shipment, Slice};

/// How much is read for one page, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageLimits {
    /// Objects at most.
    pub items: NonZeroUsize,
    /// About so many bytes; a page holds at least one object where there is one.
    pub bytes: NonZeroUsize,
    /// Only what is held since before this time, in milliseconds since the Unix epoch; `None` for all.
    pub held_before_ms: Option<u64>,
}

/// A page of what is held for one target, on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintPage {
    /// What to send.
    pub page: Page,
    /// What to hand to [`HintLog::acknowledge`] with the answer.
    pub pending: Pending,
}

/// What was read for a [`HintPage`], and awaits its acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    target: NodeId,
    hints: Vec<(ObjectKey, StateHash)>,
    damaged: usize,
    /// Where the page is of slices, what of it is of which, in order; else nothing.
    portions: Vec<Portion>,
    next: Option<Place>,
}

/// The part of a page that is of one slice.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Portion {
    slice: Slice,
    objects: usize,
    damaged: usize,
    /// Whether the slice ends with it.
    is_last: bool,
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

    /// Objects that cannot be sent because the record or the marker is unreadable. Their markers stay: a replica may
    /// still mend the record.
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// Where the next page of the pass starts; `None` at its end.
    pub fn next(&self) -> Option<&Place> {
        self.next.as_ref()
    }
}

impl HintLog {
    /// The page that `shipment` is due: of single hints, or of a slice that is held as a whole.
    ///
    /// # Errors
    /// The store's or the engine's failure. A damaged record is none: see [`Pending::damaged`].
    pub fn batch(&self, shipment: &Shipment, limits: &PageLimits) -> Result<HintPage> {
        let target = shipment.target;
        let first_slice = || self.slice_after(target, None, limits);
        match &shipment.from {
            Some(Place::Slice { slice, after }) => {
                self.page_of_slices(target, *slice, after.clone(), limits)
            }
            hints => {
                let after = hints.as_ref().and_then(|place| match place {
                    Place::Hint(key) => Some(key),
                    Place::Slice { .. } => None,
                });
                if after.is_none() {
                    self.ledger.begin_pass(target);
                }
                let (mut page, oldest_ms) = self.read(target, after, limits)?;
                let is_last = page.page.next.is_none();
                self.ledger.met(target, oldest_ms, is_last);
                page.pending.next = match page.page.next.clone() {
                    Some(key) => Some(Place::Hint(key)),
                    None => first_slice(),
                };
                Ok(page)
            }
        }
    }

    /// The single hints of `target` after `after`, in key order, each with the present state of its key. Markers whose state
    /// is gone are removed on the way.
    ///
    /// # Errors
    /// As [`batch`](Self::batch).
    pub fn page(
        &self,
        target: NodeId,
        after: Option<&ObjectKey>,
        limits: &PageLimits,
    ) -> Result<HintPage> {
        Ok(self.read(target, after, limits)?.0)
    }

    /// As [`page`](Self::page); and since when the oldest hint that it met is held.
    fn read(
        &self,
        target: NodeId,
        after: Option<&ObjectKey>,
        limits: &PageLimits,
    ) -> Result<(HintPage, Option<u64>)> {
        let range = marker::Range::of(target, after);
        let snapshot = self.store.engine().snapshot();
        let mut page = Page::default();
        let mut pending = Pending {
            target,
            hints: Vec::new(),
            damaged: 0,
            portions: Vec::new(),
            next: None,
        };
        let (mut seen, mut bytes) = (0, 0);
        let mut oldest_ms = None;
        let mut last: Option<ObjectKey> = None;
        for found in snapshot.range(&Family::HINTS, range.bounds())? {
            let (stored, value) = found?;
            let key = match marker::marked(&stored) {
                Some(Marked::Key(key)) => key,
                Some(Marked::Slice(_)) => continue,
                None => {
                    tracing::error!(%target, marker = ?stored, "unreadable hint marker");
                    pending.damaged += 1;
                    continue;
                }
            };
            if seen == limits.items.get() {
                page.next = last;
                break;
            }
            let since_ms = marker::since_ms(&value);
            oldest_ms = oldest_ms.into_iter().chain([since_ms]).min();
            if limits
                .held_before_ms
                .is_some_and(|before| since_ms >= before)
            {
                continue;
            }
            match self.present(&key, target) {
                Ok(Some((state, hash))) => {
                    bytes += weight(&key, &state);
                    if bytes > limits.bytes.get() && !page.entries.is_empty() {
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
        Ok((HintPage { page, pending }, oldest_ms))
    }

    /// All that is here of `slice` after `after`, and of the slices behind it as long as there is room: many are small, and
    /// a round trip and a sync are for all of them.
    fn page_of_slices(
        &self,
        target: NodeId,
        mut slice: Slice,
        mut after: Option<ObjectKey>,
        limits: &PageLimits,
    ) -> Result<HintPage> {
        let (items_max, bytes_max) = (limits.items.get(), limits.bytes.get());
        let mut page = Page::default();
        let mut pending = Pending {
            target,
            hints: Vec::new(),
            damaged: 0,
            portions: Vec::new(),
            next: None,
        };
        let mut bytes = 0;
        loop {
            if after.is_none() {
                self.ledger.begin_slice(target, slice);
                // Whatever was marked before that is now in reach of the scan.
                self.store.barrier();
            }
            let room = (items_max - page.entries.len(), bytes_max - bytes);
            let scanned = self
                .store
                .scan(slice.range(), after.as_ref(), room.0, room.1)?;
            let next = scanned.next.clone();
            let portion = Portion {
                slice,
                objects: scanned.entries.len(),
                damaged: scanned.damaged.len(),
                is_last: next.is_none(),
            };
            pending.damaged += portion.damaged;
            pending.portions.push(portion);
            for entry in Page::from(scanned).entries {
                bytes += entry.bytes();
                let hash = StateHash::of(&entry.key, &entry.state);
                pending.hints.push((entry.key.clone(), hash));
                page.entries.push(entry);
            }
            pending.next = match next {
                Some(key) => Some(Place::Slice {
                    slice,
                    after: Some(key),
                }),
                None => self.slice_after(target, Some(slice), limits),
            };
            let is_full = page.entries.len() >= items_max
                || bytes >= bytes_max
                || pending.portions.len() >= items_max;
            match &pending.next {
                Some(Place::Slice {
                    slice: behind,
                    after: None,
                }) if !is_full => (slice, after) = (*behind, None),
                _ => return Ok(HintPage { page, pending }),
            }
        }
    }

    fn slice_after(
        &self,
        target: NodeId,
        after: Option<Slice>,
        limits: &PageLimits,
    ) -> Option<Place> {
        let slice = self
            .ledger
            .next_slice(target, after, limits.held_before_ms)?;
        Some(Place::Slice { slice, after: None })
    }

    /// Takes the answer to a page: `accepted` says for each entry, in order, whether the target has it
    /// durably; a missing answer is a no. Each accepted hint is [released](Self::release), and with the last page of a slice
    /// of which nothing is left its marker too.
    ///
    /// # Errors
    /// The store's failure; what was released before it stays so.
    pub fn acknowledge(
        &self,
        pending: Pending,
        accepted: &[bool],
        keeps: impl Fn(&ObjectKey) -> bool,
    ) -> Result<Delivered> {
        let target = pending.target;
        let mut outcome = Delivered {
            next: pending.next,
            left: pending.damaged,
            ..Delivered::default()
        };
        let mut hints = pending
            .hints
            .iter()
            .zip(accepted.iter().chain(iter::repeat(&false)));
        for Portion {
            slice,
            objects,
            damaged,
            is_last,
        } in pending.portions
        {
            let mut is_left = damaged > 0;
            for ((key, hash), accepted) in hints.by_ref().take(objects) {
                let released = *accepted
                    && intact(self.release_of_slice(key, target, *hash, &keeps))?.unwrap_or(false);
                outcome.count(released);
                is_left |= !released;
            }
            if is_left {
                self.ledger.leave_in_slice(target, slice);
            }
            if is_last && !self.release_slice(target, slice)? {
                outcome.left += 1;
            }
        }
        // Where the page is of single hints.
        for ((key, hash), accepted) in hints {
            let released = *accepted
                && intact(self.release(key, target, *hash, &keeps))?
                    .is_some_and(|released| released.marker_removed);
            outcome.count(released);
        }
        Ok(outcome)
    }

    /// The state of a marked key; where it is gone the marker is removed.
    fn present(&self, key: &ObjectKey, target: NodeId) -> Result<Option<(State, StateHash)>> {
        let mut is_marked = false;
        let settled = self.store.settle(key, |state, settle| {
            if let Some((state, hash)) = state {
                return Ok(Some((state.clone(), hash)));
            }
            // Whoever took it meanwhile has said so.
            is_marked = self.has_marker(key, target)?;
            if is_marked {
                settle
                    .batch()
                    .delete(&Family::HINTS, marker::encode(target, key));
            }
            Ok::<_, Error>(None)
        })?;
        if is_marked {
            self.ledger.leave(target);
        }
        settled.output
    }
}

/// `None` where the record is damaged: the hint is not done with.
fn intact<R>(released: Result<R>) -> Result<Option<R>> {
    match released {
        Ok(released) => Ok(Some(released)),
        Err(Error::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
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
