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
fn family_names_have_rules_that_the_error_states() {
    assert!(Family::new("write-2_b").is_ok());
    let error = Family::new("Not allowed").unwrap_err().to_string();
    assert_eq!(
        error,
        "invalid column family name \"Not allowed\": 1..=64 bytes of a-z, 0-9, '_' and '-' are allowed"
    );
    assert_eq!(Family::new("objects").unwrap(), Family::OBJECTS);
}

fn try_put(engine: &dyn Engine, key: &'static str) -> crate::Result<()> {
    let mut batch = Batch::new();
    batch.put(&Family::DEFAULT, key, "x");
    engine.write(batch)
}

fn put(engine: &dyn Engine, key: &'static str) {
    try_put(engine, key).unwrap();
}

fn holds(engine: &dyn Engine, key: &str) -> bool {
    engine
        .get(&Family::DEFAULT, key.as_bytes())
        .unwrap()
        .is_some()
}

#[cfg(feature = "rocksdb")]
mod rocks {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Disk for Folder {
        fn open(&mut self) -> Box<dyn Engine> {
            Box::new(open(self.0.path(), &FAMILIES).unwrap())
        }

        /// The log outlives the process; only a real power loss could take it.
        fn lose_power(&mut self) {}
    }

    fn open(path: &std::path::Path, families: &[Family]) -> crate::Result<RocksEngine> {
        let options = RocksOptions {
            memory_bytes: 8 << 20,
            ..RocksOptions::default()
        };
        RocksEngine::open(path, families.iter().cloned(), &options)
    }

    #[test]
    fn rocksdb_conforms() {
        engine_suite(|| Folder(tempfile::tempdir().unwrap()));
    }

    #[test]
    fn a_folder_in_use_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let _held = open(folder.path(), &FAMILIES).unwrap();
        let error = open(folder.path(), &FAMILIES).unwrap_err();
        assert!(
            matches!(&error, Error::InUse { path, .. } if **path == *folder.path()),
            "{error}"
        );
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "in the way").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = open(&path, &FAMILIES).unwrap_err();
            assert!(
                matches!(&error, Error::NotWritable { path: named, .. } if **named == *path),
                "{error}"
            );
        }
    }

    #[test]
    fn a_foreign_family_is_named_and_a_missing_one_is_made() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path(), &[Family::DEFAULT, Family::META]).unwrap());
        let error = open(folder.path(), &[Family::DEFAULT]).unwrap_err();
        assert!(
            matches!(&error, Error::ForeignFamily { family, .. } if &**family == "meta"),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains(&folder.path().display().to_string())
        );

        let grown = open(folder.path(), &FAMILIES).unwrap();
        assert_eq!(grown.families(), FAMILIES);
        put(&grown, "key");
    }

    #[test]
    fn the_default_family_is_there_only_if_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(folder.path(), &[Family::META]).unwrap();
        assert!(matches!(
            try_put(&engine, "key"),
            Err(Error::UnknownFamily { .. })
        ));
        assert_eq!(engine.families(), [Family::META]);
    }

    #[test]
    fn a_disk_with_too_little_room_takes_the_facts_of_the_store_alone() {
        let folder = tempfile::tempdir().unwrap();
        let options = RocksOptions {
            room_bytes_min: u64::MAX,
            ..RocksOptions::default()
        };
        let engine = RocksEngine::open(folder.path(), FAMILIES, &options).unwrap();
        for _ in 0..3 {
            let refused = try_put(&engine, "key").unwrap_err();
            assert!(matches!(refused, Error::DiskFull { .. }), "{refused}");
            let path = folder.path().display().to_string();
            assert!(refused.to_string().contains(&path), "{refused}");
        }
        let mut batch = Batch::new();
        batch.put(&Family::META, "fact", "x");
        engine.write(batch).unwrap();
        engine.sync().unwrap();
        assert!(!holds(&engine, "key"));
    }

    #[test]
    fn a_damaged_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path(), &FAMILIES).unwrap());
        std::fs::write(folder.path().join("CURRENT"), "MANIFEST-999999\n").unwrap();
        let error = open(folder.path(), &FAMILIES).unwrap_err().to_string();
        assert!(
            error.contains(&folder.path().display().to_string()),
            "{error}"
        );
    }

    #[test]
    fn a_checkpoint_of_a_running_engine_holds_every_batch_whole_up_to_one_moment() {
        const BEFORE: u32 = 200;
        let folder = tempfile::tempdir().unwrap();
        let engine = open(&folder.path().join("live"), &FAMILIES).unwrap();
        // The nth batch puts n into two families.
        let write = |n: u32| {
            let mut batch = Batch::new();
            for family in [Family::DEFAULT, Family::OBJECTS] {
                batch.put(&family, n.to_be_bytes().to_vec(), "x");
            }
            engine.write(batch).unwrap();
        };
        (0..BEFORE).for_each(write);
        let copy = folder.path().join("copy");
        let done = std::sync::atomic::AtomicBool::new(false);
        let written = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut n = BEFORE;
                while !done.load(std::sync::atomic::Ordering::Acquire) {
                    write(n);
                    n += 1;
                }
                n
            });
            engine.checkpoint(&copy).unwrap();
            done.store(true, std::sync::atomic::Ordering::Release);
            writer.join().unwrap()
        });

        let keys = |engine: &RocksEngine, family| {
            let view = engine.snapshot();
            let entries = view.range(&family, EVERYTHING).unwrap();
            entries.map(|entry| entry.unwrap().0).collect::<Vec<_>>()
        };
        let copied = open(&copy, &FAMILIES).unwrap();
        let found = keys(&copied, Family::DEFAULT);
        assert!((BEFORE as usize..=written as usize).contains(&found.len()));
        let expected = (0..found.len() as u32).map(|n| n.to_be_bytes().to_vec());
        assert!(found.iter().map(|key| key.to_vec()).eq(expected), "a gap");
        assert_eq!(found, keys(&copied, Family::OBJECTS));

        // Apart from each other from now on.
        put(&copied, "copy alone");
        assert!(!holds(&engine, "copy alone"));
        assert_eq!(keys(&engine, Family::DEFAULT).len(), written as usize);
    }

    #[test]
    fn a_checkpoint_that_cannot_be_written_names_its_folder_and_harms_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(&folder.path().join("live"), &FAMILIES).unwrap();
        put(&engine, "key");
        let taken = folder.path().join("taken");
        std::fs::create_dir(&taken).unwrap();
        let error = engine.checkpoint(&taken).unwrap_err();
        assert!(
            matches!(&error, Error::CheckpointExists { path } if **path == *taken),
            "{error}"
        );
        assert_eq!(std::fs::read_dir(&taken).unwrap().count(), 0);

        let orphan = folder.path().join("no/such/parent");
        let error = engine.checkpoint(&orphan).unwrap_err();
        assert!(
            matches!(&error, Error::Checkpoint { path, .. } if **path == *orphan),
            "{error}"
        );
        put(&engine, "later");
        engine.checkpoint(&folder.path().join("free")).unwrap();
    }
}
