use dynamokv_ring::TokenRange;

use super::ObjectStore;
use super::check::{self, DamagedRecord};
use super::range::{Bounds, Cursor};
use crate::Result;
use crate::engine::Family;
use crate::key::ObjectKey;
use crate::value::State;

/// A stretch of a scan.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Keys in order, with their states.
    pub entries: Vec<(ObjectKey, State)>,
    /// Where the next page begins: after this key. `None` when the range is done.
    pub next: Option<ObjectKey>,
    /// Records of this stretch that could not be read.
    pub damaged: Vec<DamagedRecord>,
}

impl ObjectStore {
    /// The keys of `range` beyond `after`, in order, up to `limit_items` or about `limit_bytes` of stored bytes,
    /// whichever comes first, but at least one. A page is a view of one moment; writes go on.
    ///
    /// # Errors
    /// The engine's failure. Damaged records are listed and are no error.
    pub fn scan(
        &self,
        range: TokenRange,
        after: Option<&ObjectKey>,
        limit_items: usize,
        limit_bytes: usize,
    ) -> Result<Page> {
        let bounds = Bounds::of(range);
        let after = after.map(|after| Cursor(after.encode()));
        let snapshot = self.engine().snapshot();
        let mut page = Page::default();
        let (mut items, mut bytes) = (0, 0);
        let mut last: Option<ObjectKey> = None;
        for entry in snapshot.range(&Family::OBJECTS, bounds.after(after.as_ref()))? {
            let (engine_key, stored) = entry?;
            // A page ends after a readable key only: another could not be named as the place to go on.
            if let Some(last) =
                last.take_if(|_| items >= limit_items.max(1) || bytes >= limit_bytes)
            {
                page.next = Some(last);
                break;
            }
            items += 1;
            bytes += engine_key.len() + stored.len();
            match check::read(&engine_key, &stored) {
                Ok((key, state)) => {
                    last = Some(key.clone());
                    page.entries.push((key, state));
                }
                Err(damaged) => {
                    self.meters.count_damaged();
                    last.clone_from(&damaged.key);
                    page.damaged.push(damaged);
                }
            }
        }
        Ok(page)
    }
}
