//! Joins of what comes from elsewhere: one key in a batch of its own, or many that share one.

use std::sync::atomic::Ordering;

use super::tombstones::is_deleted;
use super::write::Staged;
use super::{Change, ObjectStore};
use crate::Result;
use crate::engine::Batch;
use crate::hash::StateHash;
use crate::key::ObjectKey;
use crate::sync::WriteSeq;
use crate::value::State;

/// So many keys share a batch at most: their locks are held meanwhile.
const TOGETHER: usize = 16;

/// What a join did.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    /// Whether the state is another one now.
    pub changed: bool,
    /// The state after the join.
    pub hash: StateHash,
    /// The state before it, if there was a readable one.
    pub previous: Option<StateHash>,
    /// An unreadable record was replaced: this replica may have forgotten values of the key.
    pub replaced_damaged: bool,
    /// For [`ObjectStore::settled`] and [`ObjectStore::synced`]; covers the state also where nothing changed.
    pub seq: WriteSeq,
}

/// What a join puts into its batch.
struct StagedJoin {
    /// `None` where nothing is to be written.
    staged: Option<Staged>,
    change: Change,
    changed: bool,
    hash: StateHash,
    replaced_damaged: bool,
}

impl ObjectStore {
    /// Joins a state or delta from elsewhere. Never refuses for siblings or context, or replicas could not converge.
    ///
    /// An own dot that this node does not know voids the key's position. Where nothing changes and `markers` adds
    /// nothing, nothing is written.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed), [`Error::Poisoned`](crate::Error::Poisoned) or the engine's failure.
    pub fn join(
        &self,
        key: &ObjectKey,
        incoming: &State,
        markers: impl FnOnce(&mut Batch),
    ) -> Result<Joined> {
        let _lock = self.stripes.lock(key.token());
        self.refuse_if_closed()?;
        let mut batch = Batch::new();
        let join = self.stage_join(&mut batch, key, incoming)?;
        markers(&mut batch);
        let seq = self.keep(join.staged, self.write_some(batch))?;
        self.tell(join.change);
        Ok(Joined {
            changed: join.changed,
            hash: join.hash,
            previous: join.change.old,
            replaced_damaged: join.replaced_damaged,
            seq,
        })
    }

    /// As many [`join`](Self::join)s, of a few keys in each batch: for copies that arrive together. Returns the number of the last
    /// write; `None` if there was nothing to join.
    ///
    /// # Errors
    /// As those of [`join`](Self::join); what stood before the failing batch is joined then.
    pub fn join_all<'a>(
        &self,
        entries: impl IntoIterator<Item = (&'a ObjectKey, &'a State)>,
    ) -> Result<Option<WriteSeq>> {
        let mut newest = None;
        let mut some: Vec<(&ObjectKey, &State)> = Vec::with_capacity(TOGETHER);
        for entry in entries {
            // A batch sees nothing of itself, so a key stands in it once.
            if some.len() == TOGETHER || some.iter().any(|(key, _)| *key == entry.0) {
                newest = Some(self.join_together(&some)?);
                some.clear();
            }
            some.push(entry);
        }
        if !some.is_empty() {
            newest = Some(self.join_together(&some)?);
        }
        Ok(newest)
    }

    fn join_together(&self, entries: &[(&ObjectKey, &State)]) -> Result<WriteSeq> {
        let tokens = entries.iter().map(|(key, _)| key.token());
        let _locks = self.stripes.lock_each(tokens);
        self.refuse_if_closed()?;
        let mut batch = Batch::new();
        let joins = entries
            .iter()
            .map(|(key, incoming)| self.stage_join(&mut batch, key, incoming));
        let mut joins = joins.collect::<Result<Vec<StagedJoin>>>()?;
        let staged = joins.iter_mut().filter_map(|join| join.staged.take());
        let seq = self.keep(staged, self.write_some(batch))?;
        for StagedJoin { change, .. } in joins {
            self.tell(change);
        }
        Ok(seq)
    }

    /// Adds to `batch` what a join changes. The key is locked, until its change is told.
    fn stage_join(
        &self,
        batch: &mut Batch,
        key: &ObjectKey,
        incoming: &State,
    ) -> Result<StagedJoin> {
        let engine_key = key.encode();
        let stored = self.load(key, &engine_key)?;
        let previous = stored.hash(key);
        let replaced_damaged = stored.damage.is_some();
        let position = self.valid(stored.position).filter(|position| {
            position.survives(
                self.options.node,
                stored.state.context(),
                incoming.context(),
            )
        });
        let was_deleted = is_deleted(&stored.state);
        let mut state = stored.state;
        let changed = state.join_ref(incoming);
        let (staged, hash) = match previous {
            Some(hash) if !changed && !self.drops_in_doubt.load(Ordering::Acquire) => (None, hash),
            _ => {
                let staged = self.stage(batch, key, engine_key, position, &state, was_deleted);
                let hash = staged.hash;
                (Some(staged), hash)
            }
        };
        Ok(StagedJoin {
            staged,
            change: Change {
                token: key.token(),
                old: previous,
                new: Some(hash),
            },
            changed,
            hash,
            replaced_damaged,
        })
    }
}
