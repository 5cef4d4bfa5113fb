use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::cow::CowMap;
use super::{Batch, Entries, Family, KeyRange, Op, Snapshot};
use crate::{Error, Result};

/// All families of an engine in memory. A clone is a snapshot and costs O(families).
#[derive(Clone, Default)]
pub(super) struct Tables {
    families: BTreeMap<Family, CowMap>,
}

impl Tables {
    pub(super) fn new(families: impl IntoIterator<Item = Family>) -> Self {
        let families: BTreeSet<Family> = families.into_iter().collect();
        Self {
            families: families
                .into_iter()
                .map(|family| (family, CowMap::default()))
                .collect(),
        }
    }

    pub(super) fn names(&self) -> Vec<Family> {
        self.families.keys().cloned().collect()
    }

    /// Refuses a batch that names an unknown family, so that applying it cannot stop half way.
    pub(super) fn check(&self, batch: &Batch) -> Result<()> {
        batch
            .ops()
            .try_for_each(|op| self.table(op.family()).map(|_| ()))
    }

    /// Applies a batch that [`check`](Self::check) let through.
    pub(super) fn apply(&mut self, batch: Batch) {
        for op in batch.into_ops() {
            let Some(table) = self.families.get_mut(op.family()) else {
                continue;
            };
            match op {
                Op::Put { key, value, .. } => table.insert(key, value),
                Op::Delete { key, .. } => table.remove(&key),
                Op::DeleteRange { start, end, .. } => table.remove_range(&start, &end),
            }
        }
    }

    fn table(&self, family: &Family) -> Result<&CowMap> {
        self.families
            .get(family)
            .ok_or_else(|| Error::UnknownFamily {
                family: family.clone(),
            })
    }
}

impl Snapshot for Tables {
    fn get(&self, family: &Family, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.table(family)?.get(key).cloned())
    }

    fn range(&self, family: &Family, range: KeyRange<'_>) -> Result<Entries<'_>> {
        let entries = self.table(family)?.range(range);
        Ok(Box::new(
            entries.map(|(key, value)| Ok((key.clone(), value.clone()))),
        ))
    }
}
