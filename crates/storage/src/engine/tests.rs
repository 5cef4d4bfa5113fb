#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::Error;
use crate::testing::{Disk, FAMILIES, engine_suite};

struct MemoryDisk(MemoryEngine);

impl Disk for MemoryDisk {
    fn open(&mut self) -> Box<dyn Engine> {
        Box::new(self.0.clone())
    }

    fn lose_power(&mut self) {}
}

struct FaultDisk {
    engine: FaultEngine,
    kept: usize,
}

impl Disk for FaultDisk {
    fn open(&mut self) -> Box<dyn Engine> {
        Box::new(self.engine.clone())
    }

    fn lose_power(&mut self) {
        self.engine = self.engine.crash_keeping(self.kept);
    }
}

#[test]
fn memory_conforms() {
    engine_suite(|| MemoryDisk(MemoryEngine::new(FAMILIES)));
}

#[test]
fn fault_conforms_whatever_part_of_the_log_a_crash_leaves() {
    for kept in [0, 1, 3] {
        engine_suite(|| FaultDisk {
            engine: FaultEngine::new(FAMILIES),
            kept,
        });
    }
}

#[test]
fn a_crash_loses_exactly_what_was_not_synced_and_ends_the_old_handles() {
    let old = FaultEngine::new(FAMILIES);
    put(&old, "synced");
    old.sync().unwrap();
    put(&old, "unsynced");
    put(&old, "unsynced too");
    assert_eq!((old.unsynced(), old.syncs()), (2, 1));

    let partly = old.crash_keeping(1);
    assert!(
        holds(&partly, "synced") && holds(&partly, "unsynced") && !holds(&partly, "unsynced too")
    );
    let new = old.crash();
    assert!(holds(&new, "synced") && !holds(&new, "unsynced"));
    for outcome in [
        old.write(Batch::new()),
        old.sync(),
        old.get(&Family::META, b"x").map(|_| ()),
    ] {
        assert!(matches!(
            outcome,
            Err(Error::Engine {
                engine: "fault",
                ..
            })
        ));
    }
    put(&new, "later");
    assert!(holds(&new, "later"), "a crash leaves no faults behind");
}

#[test]
fn faults_come_on_order_and_end_on_order() {
    let engine = FaultEngine::new(FAMILIES);
    engine.fail(FaultPoint::Write, Failing::Next(2));
    assert!(try_put(&engine, "a").is_err());
    assert!(try_put(&engine, "a").is_err());
    assert!(try_put(&engine, "b").is_ok());
    assert!(!holds(&engine, "a"), "a failed write leaves no trace");

    engine.set_full(true);
    assert!(matches!(try_put(&engine, "c"), Err(Error::DiskFull { .. })));
    assert!(holds(&engine, "b"), "a full disk can be read");
    engine.set_full(false);
    assert!(try_put(&engine, "c").is_ok());

    engine.fail(FaultPoint::Sync, Failing::Always);
    assert!(engine.sync().is_err());
    assert_eq!(engine.unsynced(), 2, "a failed sync makes nothing durable");
    engine.fail(FaultPoint::Sync, Failing::Never);
    assert!(engine.sync().is_ok());

    engine.fail(FaultPoint::Read, Failing::Next(1));
    assert!(engine.get(&Family::DEFAULT, b"b").is_err());
    assert!(holds(&engine, "b"));
}

#[test]
fn a_write_that_failed_after_the_log_comes_back_with_it() {
    let engine = FaultEngine::new(FAMILIES);
    engine.fail(FaultPoint::WriteAfterLog, Failing::Next(1));
    assert!(try_put(&engine, "ghost").is_err());
    assert!(!holds(&engine, "ghost"));
    assert!(!holds(&engine.crash(), "ghost"));
    assert!(holds(&engine.crash_keeping(1), "ghost"));
}

#[test]
fn an_engine_without_files_says_that_it_has_no_checkpoints() {
    let path = std::path::Path::new("/somewhere");
    let error = MemoryEngine::new(FAMILIES).checkpoint(path).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the memory engine keeps no files, so there is no checkpoint in /somewhere: use RocksDB"
    );
}

#[test]
fn an_engine_that_counts_nothing_says_so() {
    assert_eq!(MemoryEngine::new(FAMILIES).statistics().unwrap(), None);
}

#[test]
fn family_names_have_rules_that_the_error_states() {
    assert!(Family::new("write-2_b").is_ok());
    let error = Family::new("Not allowed").unwrap_err().to_string();
    assert_eq!(
        error,
        "invalid column family name \"Not allowed\": 1..=64 bytes of a-z, 0-9, '_' and '-' are allowed"
    );
    assert_eq!(Family::new("objects").unwrap(), Family::OBJECTS);
}

pub(super) fn try_put(engine: &dyn Engine, key: &'static str) -> crate::Result<()> {
    let mut batch = Batch::new();
    batch.put(&Family::DEFAULT, key, "x");
    engine.write(batch)
}

pub(super) fn put(engine: &dyn Engine, key: &'static str) {
    try_put(engine, key).unwrap();
}

pub(super) fn holds(engine: &dyn Engine, key: &str) -> bool {
    engine
        .get(&Family::DEFAULT, key.as_bytes())
        .unwrap()
        .is_some()
}
