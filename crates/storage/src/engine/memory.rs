use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use super::tables::Tables;
use super::{Batch, Engine, Family, Snapshot};
use crate::Result;

/// An engine in memory.
///
/// The handle is the disk: clones share their content, and it lives as long as one of them, so that a
/// store opened on a clone finds what an earlier one left. Needs no sync.
#[derive(Clone)]
pub struct MemoryEngine {
    tables: Arc<RwLock<Tables>>,
}

impl MemoryEngine {
    /// An empty engine with the given families.
    #[must_use]
    pub fn new(families: impl IntoIterator<Item = Family>) -> Self {
        Self {
            tables: Arc::new(RwLock::new(Tables::new(families))),
        }
    }
}

impl Engine for MemoryEngine {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn families(&self) -> Vec<Family> {
        self.tables.read().names()
    }

    fn get(&self, family: &Family, key: &[u8]) -> Result<Option<Bytes>> {
        self.tables.read().get(family, key)
    }

    fn write(&self, batch: Batch) -> Result<()> {
        let mut tables = self.tables.write();
        tables.check(&batch)?;
        tables.apply(batch);
        Ok(())
    }

    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        Box::new(self.tables.read().clone())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn needs_sync(&self) -> bool {
        false
    }
}

impl fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEngine")
            .field("families", &self.families())
            .finish_non_exhaustive()
    }
}
