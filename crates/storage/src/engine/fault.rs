use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::tables::Tables;
use super::{Batch, Engine, Entries, Family, KeyRange, Snapshot};
use crate::{Error, Result};

/// A disk in memory that fails on order and forgets what was not synced: for tests and simulators.
///
/// Deterministic: nothing goes wrong that was not asked for. Clones are handles of one disk.
#[derive(Clone)]
pub struct FaultEngine {
    disk: Arc<Mutex<Disk>>,
}

/// Where a [`FaultEngine`] fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultPoint {
    /// Reads, snapshots' reads included.
    Read,
    /// Writes fail and leave no trace.
    Write,
    /// Writes fail, but the batch reached the log: invisible now, it comes back after a crash that keeps it.
    WriteAfterLog,
    /// Flushes fail and hand nothing over.
    Flush,
    /// Syncs fail and make nothing durable.
    Sync,
    /// Syncs fail for lack of room and make nothing durable.
    SyncWithoutRoom,
}

/// How often a [`FaultPoint`] fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failing {
    /// Not at all.
    #[default]
    Never,
    /// The given number of times from now on.
    Next(u32),
    /// Until told otherwise.
    Always,
}

impl FaultEngine {
    /// An empty disk with the given families and no faults.
    #[must_use]
    pub fn new(families: impl IntoIterator<Item = Family>) -> Self {
        Self::holding(Tables::new(families))
    }

    /// Sets how often `point` fails from now on.
    pub fn fail(&self, point: FaultPoint, failing: Failing) {
        *self.disk.lock().faults.at(point) = failing;
    }

    /// While the disk is full every write is [`Error::DiskFull`]; reads and syncs go on.
    pub fn set_full(&self, full: bool) {
        self.disk.lock().faults.full = full;
    }

    /// Batches written and not synced yet.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.disk.lock().unsynced.len()
    }

    /// How many of the unsynced batches are with the operating system.
    #[must_use]
    pub fn flushed(&self) -> usize {
        self.disk.lock().flushed
    }

    /// Syncs that succeeded since the disk was opened.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.disk.lock().syncs
    }

    /// Power loss: nothing that was not synced survives. Returns the disk as it is found afterwards, without
    /// faults; every older handle fails from now on.
    #[must_use]
    pub fn crash(&self) -> Self {
        self.crash_keeping(0)
    }

    /// The end of the process alone: what was flushed survives, and no more, though more may.
    #[must_use]
    pub fn kill(&self) -> Self {
        self.crash_keeping(self.flushed())
    }

    /// Power loss after which the first `kept` unsynced batches are found nevertheless, as a log may leave them.
    #[must_use]
    pub fn crash_keeping(&self, kept: usize) -> Self {
        let found = self.image(kept);
        self.disk.lock().unplugged = true;
        found
    }

    /// A copy of the disk as a crash at this moment would leave it, with the first `kept` unsynced batches. This
    /// disk goes on: so backups are made, and restored.
    #[must_use]
    pub fn image(&self, kept: usize) -> Self {
        let disk = self.disk.lock();
        let mut found = disk.durable.clone();
        for batch in disk.unsynced.iter().take(kept) {
            found.apply(batch.clone());
        }
        Self::holding(found)
    }

    fn holding(content: Tables) -> Self {
        Self {
            disk: Arc::new(Mutex::new(Disk {
                visible: content.clone(),
                durable: content,
                unsynced: Vec::new(),
                flushed: 0,
                faults: Faults::default(),
                unplugged: false,
                syncs: 0,
            })),
        }
    }
}

struct Disk {
    /// What readers see.
    visible: Tables,
    /// What survives a crash.
    durable: Tables,
    /// What a sync moves from the one to the other, in order.
    unsynced: Vec<Batch>,
    /// So many of these are with the operating system.
    flushed: usize,
    faults: Faults,
    unplugged: bool,
    syncs: u64,
}

impl Disk {
    fn attempt(&mut self, point: FaultPoint) -> Result<()> {
        if self.unplugged {
            return Err(failure("the disk was lost in a crash"));
        }
        let failing = self.faults.at(point);
        match failing {
            Failing::Never => return Ok(()),
            Failing::Next(0) => {
                *failing = Failing::Never;
                return Ok(());
            }
            Failing::Next(left) => *left -= 1,
            Failing::Always => {}
        }
        Err(failure(match point {
            FaultPoint::Read => "injected read failure",
            FaultPoint::Write => "injected write failure",
            FaultPoint::WriteAfterLog => "injected write failure after the log",
            FaultPoint::Flush => "injected flush failure",
            FaultPoint::Sync => "injected sync failure",
            FaultPoint::SyncWithoutRoom => "injected sync failure for lack of room",
        }))
    }
}

#[derive(Default)]
struct Faults {
    read: Failing,
    write: Failing,
    write_after_log: Failing,
    flush: Failing,
    sync: Failing,
    sync_without_room: Failing,
    full: bool,
}

impl Faults {
    fn at(&mut self, point: FaultPoint) -> &mut Failing {
        match point {
            FaultPoint::Read => &mut self.read,
            FaultPoint::Write => &mut self.write,
            FaultPoint::WriteAfterLog => &mut self.write_after_log,
            FaultPoint::Flush => &mut self.flush,
            FaultPoint::Sync => &mut self.sync,
            FaultPoint::SyncWithoutRoom => &mut self.sync_without_room,
        }
    }
}

fn no_room(reason: &'static str) -> Error {
    Error::DiskFull {
        engine: "fault",
        reason: reason.into(),
    }
}

fn failure(reason: &'static str) -> Error {
    Error::Engine {
        engine: "fault",
        reason: reason.into(),
    }
}

impl Engine for FaultEngine {
    fn name(&self) -> &'static str {
        "fault"
    }

    fn families(&self) -> Vec<Family> {
        self.disk.lock().visible.names()
    }

    fn get(&self, family: &Family, key: &[u8]) -> Result<Option<Bytes>> {
        let mut disk = self.disk.lock();
        disk.attempt(FaultPoint::Read)?;
        disk.visible.get(family, key)
    }

    fn write(&self, batch: Batch) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.visible.check(&batch)?;
        disk.attempt(FaultPoint::Write)?;
        if disk.faults.full {
            return Err(no_room("injected full disk"));
        }
        if let Err(error) = disk.attempt(FaultPoint::WriteAfterLog) {
            disk.unsynced.push(batch);
            return Err(error);
        }
        disk.unsynced.push(batch.clone());
        disk.visible.apply(batch);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.attempt(FaultPoint::Flush)?;
        disk.flushed = disk.unsynced.len();
        Ok(())
    }

    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        Box::new(FaultSnapshot {
            engine: self,
            content: self.disk.lock().visible.clone(),
        })
    }

    fn sync(&self) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.attempt(FaultPoint::Sync)?;
        disk.attempt(FaultPoint::SyncWithoutRoom)
            .map_err(|_| no_room("injected sync failure for lack of room"))?;
        for batch in std::mem::take(&mut disk.unsynced) {
            disk.durable.apply(batch);
        }
        disk.flushed = 0;
        disk.syncs += 1;
        Ok(())
    }

    fn rewrite(&self) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.attempt(FaultPoint::Sync)?;
        if disk.faults.full {
            return Err(no_room("injected full disk"));
        }
        disk.durable = disk.visible.clone();
        disk.unsynced.clear();
        disk.flushed = 0;
        disk.syncs += 1;
        Ok(())
    }
}

impl fmt::Debug for FaultEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disk = self.disk.lock();
        f.debug_struct("FaultEngine")
            .field("unsynced", &disk.unsynced.len())
            .field("syncs", &disk.syncs)
            .field("unplugged", &disk.unplugged)
            .finish_non_exhaustive()
    }
}

struct FaultSnapshot<'a> {
    engine: &'a FaultEngine,
    content: Tables,
}

impl Snapshot for FaultSnapshot<'_> {
    fn get(&self, family: &Family, key: &[u8]) -> Result<Option<Bytes>> {
        self.engine.disk.lock().attempt(FaultPoint::Read)?;
        self.content.get(family, key)
    }

    fn range(&self, family: &Family, range: KeyRange<'_>) -> Result<Entries<'_>> {
        self.engine.disk.lock().attempt(FaultPoint::Read)?;
        self.content.range(family, range)
    }
}
