use std::ops::Bound;

use bytes::Bytes;
use dynamokv_ring::TokenRange;

use super::ObjectStore;
use crate::Result;
use crate::engine::Family;
use crate::error::Damage;
use crate::key::ObjectKey;
use crate::record;
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

/// A record that a scan stepped over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRecord {
    /// Its key, if at least that is readable.
    pub key: Option<ObjectKey>,
    /// The key under which it stands in the engine.
    pub engine_key: Bytes,
    /// What gave it away.
    pub reason: Damage,
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
        let after = after.map(ObjectKey::encode);
        let first = range.first.0.to_be_bytes();
        let beyond = range.last.0.checked_add(1).map(u64::to_be_bytes);
        let start = match &after {
            Some(after) if after.as_ref() >= first.as_slice() => Bound::Excluded(after.as_ref()),
            _ => Bound::Included(first.as_slice()),
        };
        let end = beyond.as_ref().map_or(Bound::Unbounded, |beyond| {
            Bound::Excluded(beyond.as_slice())
        });

        let snapshot = self.engine().snapshot();
        let mut page = Page::default();
        let (mut items, mut bytes) = (0, 0);
        let mut last: Option<ObjectKey> = None;
        for entry in snapshot.range(&Family::OBJECTS, (start, end))? {
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
            last = ObjectKey::decode(&engine_key).ok();
            let damage = match &last {
                None => Some(Damage::Key),
                Some(key) => match record::decode(&engine_key, &stored) {
                    Ok((record, _)) => {
                        page.entries.push((key.clone(), record.state));
                        None
                    }
                    Err(reason) => Some(reason),
                },
            };
            if let Some(reason) = damage {
                self.meters.count_damaged();
                page.damaged.push(DamagedRecord {
                    key: last.clone(),
                    engine_key,
                    reason,
                });
            }
        }
        Ok(page)
    }
}
