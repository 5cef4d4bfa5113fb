//! What is held for whom, in memory: enough to choose the form of the next marker, and to know when a slice is handed over.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ops::Bound;

use dynamokv_ring::{NodeId, Token};
use dynamokv_storage::{Engine, Family, Result};
use parking_lot::{Mutex, RwLock};

use crate::Slice;
use crate::marker::{self, Marked};

/// How the next thing that is held for a target is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// By a marker of its own.
    Key,
    /// By the marker of its slice, held since that time.
    Slice { since_ms: u64 },
}

/// The accounts of all targets that ever had a marker since the opening. None is taken out: another marker for it
/// may be on its way to the engine.
#[derive(Debug)]
pub(crate) struct Ledger {
    hints_max: NonZeroU64,
    accounts: RwLock<BTreeMap<NodeId, Mutex<Account>>>,
}

#[derive(Debug, Default)]
struct Account {
    /// Keys with a marker of their own. A mark whose batch failed is counted until everything is delivered.
    hints: u64,
    /// Not fewer than there are: where it is 0 nobody needs to look for a marker. Unlike `hints` it is never set right by a pass,
    /// which does not see what is on its way to the engine.
    hints_most: u64,
    slices: BTreeMap<Slice, Whole>,
    /// No marker is older.
    oldest_ms: Option<u64>,
    /// Of the markers that the present pass has met.
    oldest_met_ms: Option<u64>,
}

/// A slice that is held as a whole.
#[derive(Debug)]
struct Whole {
    since_ms: u64,
    /// Something in it was marked, or could not be handed over, since the present pass through it began.
    touched: bool,
}

impl Ledger {
    /// Reads all markers. O(markers).
    pub(crate) fn read(engine: &dyn Engine, hints_max: NonZeroU64) -> Result<Self> {
        let mut accounts: BTreeMap<NodeId, Account> = BTreeMap::new();
        let snapshot = engine.snapshot();
        for found in snapshot.range(&Family::HINTS, EVERYTHING)? {
            let (stored, value) = found?;
            let Some(target) = marker::target(&stored) else {
                tracing::error!(marker = ?stored, "unreadable hint marker");
                continue;
            };
            let (account, since_ms) = (
                accounts.entry(target).or_default(),
                marker::since_ms(&value),
            );
            match marker::marked(&stored) {
                Some(Marked::Slice(slice)) => account.hold(slice, since_ms),
                // One that is unreadable takes its place on the disk too.
                Some(Marked::Key(_)) | None => account.count(since_ms),
            }
        }
        let accounts = accounts.into_iter();
        Ok(Self {
            hints_max,
            accounts: RwLock::new(
                accounts
                    .map(|(id, account)| (id, Mutex::new(account)))
                    .collect(),
            ),
        })
    }

    /// A key of `slice`, without a marker of its own, is about to be marked for `target`.
    pub(crate) fn enter(&self, target: NodeId, slice: Slice, now_ms: u64) -> Form {
        if !self.accounts.read().contains_key(&target) {
            self.accounts.write().entry(target).or_default();
        }
        let entered = self.with(target, |account| {
            if account.hints >= self.hints_max.get() && !account.slices.contains_key(&slice) {
                if account.slices.is_empty() {
                    tracing::warn!(%target, hints = account.hints, "too many keys are held for the node to remember each: ranges are");
                }
                account.hold(slice, now_ms);
            }
            match account.slices.get_mut(&slice) {
                Some(whole) => {
                    whole.touched = true;
                    Form::Slice {
                        since_ms: whole.since_ms,
                    }
                }
                None => {
                    account.count(now_ms);
                    Form::Key
                }
            }
        });
        entered.unwrap_or(Form::Key)
    }

    /// A marker of a key is gone.
    pub(crate) fn leave(&self, target: NodeId) {
        self.with(target, |account| {
            account.hints = account.hints.saturating_sub(1);
            account.hints_most = account.hints_most.saturating_sub(1);
        });
    }

    pub(crate) fn targets(&self) -> Vec<NodeId> {
        self.accounts.read().keys().copied().collect()
    }

    /// Those for whom a key may have a marker of its own. Allocates nothing where there are none.
    pub(crate) fn targets_of_keys(&self) -> Vec<NodeId> {
        let accounts = self.accounts.read();
        let marked = accounts
            .iter()
            .filter(|(_, account)| account.lock().hints_most > 0);
        marked.map(|(target, _)| *target).collect()
    }

    /// Whether a key may have a marker of its own for `target`.
    pub(crate) fn may_hold_keys(&self, target: NodeId) -> bool {
        self.with(target, |account| account.hints_most > 0)
            .unwrap_or(false)
    }

    /// Whether the token's slice is held as a whole for anybody but `except`.
    pub(crate) fn holds_slice_of(&self, token: Token, except: Option<NodeId>) -> bool {
        let slice = Slice::of(token);
        let accounts = self.accounts.read();
        let mut others = accounts
            .iter()
            .filter(|(target, _)| Some(**target) != except);
        others.any(|(_, account)| account.lock().slices.contains_key(&slice))
    }

    /// Whether the token's slice is held as a whole for `target`.
    pub(crate) fn holds_slice_for(&self, token: Token, target: NodeId) -> bool {
        let held = self.with(target, |account| {
            account.slices.contains_key(&Slice::of(token))
        });
        held.unwrap_or(false)
    }

    /// The first slice beyond `after` that is held as a whole for `target`, and since before `before_ms` where that is given.
    pub(crate) fn next_slice(
        &self,
        target: NodeId,
        after: Option<Slice>,
        before_ms: Option<u64>,
    ) -> Option<Slice> {
        let due = |whole: &Whole| before_ms.is_none_or(|before| whole.since_ms < before);
        let next = self.with(target, |account| {
            let mut slices = account.slices.iter();
            let next = slices.find(|(slice, whole)| Some(**slice) > after && due(whole));
            next.map(|(slice, _)| *slice)
        });
        next.flatten()
    }

    /// A pass through the slice begins.
    pub(crate) fn begin_slice(&self, target: NodeId, slice: Slice) {
        self.touch(target, slice, false);
    }

    /// Something of the slice is not handed over.
    pub(crate) fn leave_in_slice(&self, target: NodeId, slice: Slice) {
        self.touch(target, slice, true);
    }

    /// A pass through the slice ended: if nothing of it is left it is held no longer, and `forget` removes its marker
    /// before another one can be put in its place. Whether that is so.
    ///
    /// What others hold of the slice was perhaps kept for the sake of this one: they go through it once more, to let it go.
    pub(crate) fn end_slice(
        &self,
        target: NodeId,
        slice: Slice,
        forget: impl FnOnce() -> Result<()>,
    ) -> Result<bool> {
        // Nobody else looks or marks meanwhile.
        let mut accounts = self.accounts.write();
        let Some(account) = accounts.get_mut(&target).map(Mutex::get_mut) else {
            return Ok(true);
        };
        match account.slices.get(&slice) {
            Some(whole) if whole.touched => return Ok(false),
            Some(_) => forget()?,
            None => return Ok(true),
        }
        account.slices.remove(&slice);
        for other in accounts.values_mut().map(Mutex::get_mut) {
            if let Some(whole) = other.slices.get_mut(&slice) {
                whole.touched = true;
            }
        }
        Ok(true)
    }

    /// Whether the token's slice is held as a whole for anybody but `except`. If so they go through it once more: it is
    /// up to them to let go of the key.
    pub(crate) fn leave_to_slices_of(&self, token: Token, except: NodeId) -> bool {
        let slice = Slice::of(token);
        let accounts = self.accounts.read();
        let mut is_held = false;
        for (_, account) in accounts.iter().filter(|(target, _)| **target != except) {
            if let Some(whole) = account.lock().slices.get_mut(&slice) {
                whole.touched = true;
                is_held = true;
            }
        }
        is_held
    }

    /// A pass over the single markers begins.
    pub(crate) fn begin_pass(&self, target: NodeId) {
        self.with(target, |account| account.oldest_met_ms = None);
    }

    /// A page of a pass has met markers, the oldest since then; with the last page all are known.
    pub(crate) fn met(&self, target: NodeId, oldest_ms: Option<u64>, is_last: bool) {
        self.with(target, |account| {
            account.oldest_met_ms = account.oldest_met_ms.into_iter().chain(oldest_ms).min();
            if is_last {
                account.oldest_ms = account.oldest_met_ms;
            }
            if is_last && account.oldest_met_ms.is_none() {
                account.hints = 0;
            }
        });
    }

    /// Nothing is held for `target` since an earlier time. `None` where nothing is held.
    pub(crate) fn oldest_ms(&self, target: NodeId) -> Option<u64> {
        let oldest = self.with(target, |account| {
            let key = account.oldest_ms.filter(|_| account.hints > 0);
            let slices = account.slices.values().map(|whole| whole.since_ms);
            slices.chain(key).min()
        });
        oldest.flatten()
    }

    /// How many slices are held as a whole for `target`.
    pub(crate) fn slices(&self, target: NodeId) -> usize {
        self.with(target, |account| account.slices.len())
            .unwrap_or(0)
    }

    fn touch(&self, target: NodeId, slice: Slice, touched: bool) {
        self.with(target, |account| {
            if let Some(whole) = account.slices.get_mut(&slice) {
                whole.touched = touched;
            }
        });
    }

    fn with<R>(&self, target: NodeId, act: impl FnOnce(&mut Account) -> R) -> Option<R> {
        let accounts = self.accounts.read();
        let account = accounts.get(&target)?;
        let mut account = account.lock();
        Some(act(&mut account))
    }
}

impl Account {
    fn hold(&mut self, slice: Slice, since_ms: u64) {
        let whole = Whole {
            since_ms,
            touched: true,
        };
        self.slices.insert(slice, whole);
    }

    fn count(&mut self, since_ms: u64) {
        self.hints += 1;
        self.hints_most += 1;
        for oldest in [&mut self.oldest_ms, &mut self.oldest_met_ms] {
            *oldest = oldest.iter().copied().chain([since_ms]).min();
        }
    }
}

const EVERYTHING: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);
