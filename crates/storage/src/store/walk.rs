//! Looking at many records of one moment, by hash.

use std::ops::ControlFlow;

use dynamokv_ring::TokenRange;

use super::range::Bounds;
use super::{ObjectStore, check};
use crate::Result;
use crate::engine::{Family, Snapshot};
use crate::hash::StateHash;
use crate::key::ObjectKey;
use crate::value::State;

/// A record as a walk shows it.
#[derive(Clone, Debug)]
pub struct Walked {
    /// The key.
    pub key: ObjectKey,
    /// Its state.
    pub state: State,
    /// The hash of the state.
    pub hash: StateHash,
    /// The bytes of the record with its key, as stored.
    pub bytes: usize,
}

/// The store at one moment, whatever is written meanwhile.
pub struct Moment<'a> {
    store: &'a ObjectStore,
    snapshot: Box<dyn Snapshot + 'a>,
}

impl ObjectStore {
    /// The store as it is now. O(1).
    #[must_use]
    pub fn moment(&self) -> Moment<'_> {
        Moment {
            store: self,
            snapshot: self.engine().snapshot(),
        }
    }

    /// The store at a moment at which no change is under way: what the [`Observer`](crate::Observer) has heard of and what the
    /// moment shows is the same. `note` runs at that moment, and must be short. Stops all writers meanwhile; O(locks).
    pub fn moment_of_rest<R>(&self, note: impl FnOnce() -> R) -> (R, Moment<'_>) {
        let _all = self.stripes.lock_all();
        (note(), self.moment())
    }
}

impl Moment<'_> {
    /// Shows the readable records of `range` in the order of their keys, until `look` breaks. Damaged ones are counted and
    /// passed over. O(records and their bytes).
    ///
    /// # Errors
    /// The engine's failure.
    pub fn walk(
        &self,
        range: TokenRange,
        mut look: impl FnMut(Walked) -> ControlFlow<()>,
    ) -> Result<()> {
        let bounds = Bounds::of(range);
        for entry in self.snapshot.range(&Family::OBJECTS, bounds.after(None))? {
            let (engine_key, stored) = entry?;
            let Ok((key, state, hash)) = check::read_hashed(&engine_key, &stored) else {
                self.store.meters.count_damaged();
                continue;
            };
            let walked = Walked {
                key,
                state,
                hash,
                bytes: engine_key.len() + stored.len(),
            };
            if look(walked).is_break() {
                break;
            }
        }
        Ok(())
    }
}
