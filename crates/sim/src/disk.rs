//! A node's disk as one life of the node sees it: tells when there is something to sync, and may lose power in the middle of
//! a write.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use dynamokv::storage::{
    Batch, Engine, Error, Failing, Family, FaultEngine, FaultPoint, ObjectStore, Result, Snapshot,
    State,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::dice::Dice;
use crate::history::Key;

/// The connection of a running node to its disk.
pub struct Plug {
    disk: FaultEngine,
    written: Notify,
    outage: Mutex<Outage>,
    power_lost: Notify,
}

#[derive(Clone, Copy)]
enum Outage {
    None,
    /// After so many further writes; whether the batch is found in the log.
    After(u64, bool),
    Now,
}

impl Plug {
    /// Connects to `disk`.
    pub fn new(disk: FaultEngine) -> Self {
        Self {
            disk,
            written: Notify::new(),
            outage: Mutex::new(Outage::None),
            power_lost: Notify::new(),
        }
    }

    /// The disk behind it.
    pub fn disk(&self) -> &FaultEngine {
        &self.disk
    }

    /// Completes when something was written since the last call.
    pub async fn written(&self) {
        self.written.notified().await;
    }

    /// Syncs what was written, each time when `time` has passed, until nothing is left; never completes.
    pub async fn keep_synced(&self, store: &ObjectStore, mut time: impl FnMut() -> Duration) {
        loop {
            self.written().await;
            while self.disk.unsynced() > 0 {
                tokio::time::sleep(time()).await;
                store.run_pending_syncs();
            }
        }
    }

    /// The power goes in the middle of a write to come; `logged` says whether its batch reaches the log.
    pub fn lose_power_after(&self, writes: u64, logged: bool) {
        *self.outage.lock() = Outage::After(writes, logged);
    }

    /// Calls that off, unless it has happened.
    pub fn spare(&self) {
        let mut outage = self.outage.lock();
        if let Outage::After(..) = *outage {
            *outage = Outage::None;
        }
    }

    /// Completes when the power has gone.
    pub async fn power_lost(&self) {
        self.power_lost.notified().await;
    }

    fn check_power(&self) -> Result<()> {
        match *self.outage.lock() {
            Outage::Now => Err(no_power()),
            _ => Ok(()),
        }
    }
}

impl Engine for Plug {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn families(&self) -> Vec<Family> {
        self.disk.families()
    }

    fn get(&self, family: &Family, key: &[u8]) -> Result<Option<Bytes>> {
        self.check_power()?;
        self.disk.get(family, key)
    }

    fn write(&self, batch: Batch) -> Result<()> {
        let mut outage = self.outage.lock();
        match *outage {
            Outage::None => {}
            Outage::After(0, logged) => {
                if logged {
                    self.disk.write(batch)?;
                }
                *outage = Outage::Now;
                self.power_lost.notify_one();
                return Err(no_power());
            }
            Outage::After(left, logged) => *outage = Outage::After(left - 1, logged),
            Outage::Now => return Err(no_power()),
        }
        drop(outage);
        self.disk.write(batch)?;
        self.written.notify_one();
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.check_power()?;
        self.disk.flush()
    }

    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        self.disk.snapshot()
    }

    fn sync(&self) -> Result<()> {
        self.check_power()?;
        self.disk.sync()
    }
}

/// Where a disk may fail.
pub const FAULT_POINTS: [FaultPoint; 4] = [
    FaultPoint::Read,
    FaultPoint::Write,
    FaultPoint::WriteAfterLog,
    FaultPoint::Sync,
];

/// Ends all faults of a disk.
pub fn heal(disk: &FaultEngine) {
    for point in FAULT_POINTS {
        disk.fail(point, Failing::Never);
    }
    disk.set_full(false);
}

/// How long a sync takes.
pub fn sync_time(dice: &mut Dice, slow: bool) -> Duration {
    dice.duration(SHORTEST_SYNC, if slow { SLOW_SYNC } else { SYNC })
}

fn no_power() -> Error {
    Error::Engine {
        engine: "sim",
        reason: "the power went".into(),
    }
}

const SHORTEST_SYNC: Duration = Duration::from_micros(100);
const SYNC: Duration = Duration::from_millis(8);
const SLOW_SYNC: Duration = Duration::from_millis(500);

/// What the disk has of these keys after the worst crash that may come: that of the power, or only of the process.
pub fn safe_copies(disk: &FaultEngine, keys: &[Key], power_may_go: bool) -> BTreeMap<Key, State> {
    let kept = if power_may_go { 0 } else { disk.flushed() };
    let found = disk.image(kept);
    let copy = |key: &Key| {
        let state = ObjectStore::peek(&found, &key.object_key().ok()?);
        Some((*key, state.ok().flatten()?))
    };
    keys.iter().filter_map(copy).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn write(plug: &Plug, key: &'static str) -> Result<()> {
        let mut batch = Batch::new();
        batch.put(&Family::META, key, "v");
        plug.write(batch)
    }

    #[test]
    fn power_goes_in_the_middle_of_the_write_that_was_named() {
        for logged in [false, true] {
            let plug = Plug::new(FaultEngine::new([Family::META]));
            plug.lose_power_after(1, logged);
            write(&plug, "first").unwrap();
            write(&plug, "second").unwrap_err();
            write(&plug, "third").unwrap_err();
            plug.sync().unwrap_err();
            let found = plug.disk().crash_keeping(usize::MAX);
            let has = |key: &str| found.get(&Family::META, key.as_bytes()).unwrap().is_some();
            assert_eq!(
                (has("first"), has("second"), has("third")),
                (true, logged, false)
            );
        }
    }
}
