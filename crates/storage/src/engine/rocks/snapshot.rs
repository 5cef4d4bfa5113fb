use std::ops::Bound;

use bytes::Bytes;
use rocksdb::{IteratorMode, ReadOptions};

use super::RocksEngine;
use crate::Result;
use crate::engine::{Entries, Family, KeyRange, Snapshot, holds_nothing};

pub(super) struct RocksSnapshot<'a> {
    engine: &'a RocksEngine,
    view: rocksdb::Snapshot<'a>,
}

impl<'a> RocksSnapshot<'a> {
    pub(super) fn new(engine: &'a RocksEngine) -> Self {
        Self {
            engine,
            view: engine.db.snapshot(),
        }
    }
}

impl Snapshot for RocksSnapshot<'_> {
    fn get(&self, family: &Family, key: &[u8]) -> Result<Option<Bytes>> {
        let found = self.view.get_pinned_cf(self.engine.handle(family)?, key);
        let found = found.map_err(|error| self.engine.explain(&error))?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn range(&self, family: &Family, range: KeyRange<'_>) -> Result<Entries<'_>> {
        let handle = self.engine.handle(family)?;
        if holds_nothing(range) {
            return Ok(Box::new(std::iter::empty()));
        }
        let mut options = ReadOptions::default();
        // A scrub goes round everything: what it reads once must not push out what is asked for often.
        options.fill_cache(false);
        match range.0 {
            Bound::Included(start) => options.set_iterate_lower_bound(start),
            Bound::Excluded(start) => options.set_iterate_lower_bound(successor(start)),
            Bound::Unbounded => {}
        }
        match range.1 {
            Bound::Included(end) => options.set_iterate_upper_bound(successor(end)),
            Bound::Excluded(end) => options.set_iterate_upper_bound(end),
            Bound::Unbounded => {}
        }
        let entries = self
            .view
            .iterator_cf_opt(handle, options, IteratorMode::Start);
        Ok(Box::new(entries.map(|entry| {
            let (key, value) = entry.map_err(|error| self.engine.explain(&error))?;
            Ok((Bytes::from(key), Bytes::from(value)))
        })))
    }
}

/// The least key above `key`.
fn successor(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}
