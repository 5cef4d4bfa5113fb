#![allow(clippy::unwrap_used)]

use super::*;
use crate::Error;
use crate::engine::EVERYTHING;
use crate::engine::tests::{holds, put, try_put};
use crate::testing::{Disk, FAMILIES, engine_suite};

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

#[test]
fn one_setting_bounds_the_memory_however_much_is_written_and_read() {
    const BUDGET: usize = 8 << 20;
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), &FAMILIES).unwrap();
    let mut random = 1_u64;
    let mut body = || -> Vec<u8> {
        let mut byte = || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 56) as u8
        };
        (0..64 << 10).map(|_| byte()).collect()
    };
    let mut peak = 0;
    // Five times the budget, in two families, read again while it is written.
    for n in 0..640_u32 {
        let family = [Family::OBJECTS, Family::DEFAULT][n as usize % 2].clone();
        let mut batch = Batch::new();
        batch.put(&family, n.to_be_bytes().to_vec(), body());
        engine.write(batch).unwrap();
        let earlier = (n / 2).to_be_bytes();
        engine.get(&family, &earlier).unwrap();
        let now = engine.statistics().unwrap().unwrap();
        assert_eq!(now.memory_bytes_max, BUDGET as u64);
        peak = peak.max(now.memory_bytes);
    }
    // Above the bound by what is pinned or in the making: a block, a buffer's arena.
    assert!(peak <= (BUDGET + (2 << 20)) as u64, "{peak} bytes");
    assert!(peak >= (1 << 20) as u64, "something was counted: {peak}");
}

#[test]
fn statistics_tell_hits_from_misses_and_count_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), &FAMILIES).unwrap();
    put(&engine, "key");
    engine.sync().unwrap();
    let written = engine.statistics().unwrap().unwrap();
    assert!(
        written.log_bytes > 0 && written.log_syncs > 0,
        "{written:?}"
    );
    assert!(written.write_buffer_bytes > 0, "{written:?}");
    assert!(!written.writes_stopped && written.background_errors == 0);
    drop(engine);

    let engine = open(folder.path(), &FAMILIES).unwrap();
    let before = engine.statistics().unwrap().unwrap();
    assert!(before.table_bytes > 0, "{before:?}");
    assert!(holds(&engine, "key"));
    let cold = engine.statistics().unwrap().unwrap();
    assert!(cold.cache_misses > before.cache_misses, "{cold:?}");
    assert!(holds(&engine, "key"));
    let warm = engine.statistics().unwrap().unwrap();
    assert!(warm.cache_hits > cold.cache_hits, "{warm:?}");
    assert_eq!(warm.cache_misses, cold.cache_misses);
    assert!(!holds(&engine, "other"));
    let filtered = engine.statistics().unwrap().unwrap();
    assert!(filtered.filter_hits > warm.filter_hits, "{filtered:?}");
}

#[test]
fn a_scan_pushes_nothing_out_of_the_block_cache() {
    let folder = tempfile::tempdir().unwrap();
    put(&open(folder.path(), &FAMILIES).unwrap(), "key");

    let engine = open(folder.path(), &FAMILIES).unwrap();
    let view = engine.snapshot();
    assert_eq!(view.range(&Family::DEFAULT, EVERYTHING).unwrap().count(), 1);
    let scanned = engine.statistics().unwrap().unwrap();
    assert!(holds(&engine, "key"));
    let read = engine.statistics().unwrap().unwrap();
    assert!(read.cache_misses > scanned.cache_misses, "{read:?}");
}
