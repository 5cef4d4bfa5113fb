//! Refusing writes while there is still room for what is under way.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::engine::{Batch, Family, Op};
use crate::{Error, Result};

/// Keeps part of a disk free.
pub(super) struct Room {
    path: PathBuf,
    bytes_min: u64,
    /// About how much was written since the disk was looked at.
    written: AtomicU64,
    full: AtomicBool,
}

/// After so much the disk is looked at again: a system call for every write would be felt.
const LOOK_EVERY_BYTES: u64 = 64 << 10;

/// What a write counts beside its content, so that many small ones are noticed too.
const WRITE_BYTES: u64 = 1 << 10;

impl Room {
    pub(super) fn new(path: &Path, bytes_min: u64) -> Self {
        Self {
            path: path.to_owned(),
            bytes_min,
            // The first write looks.
            written: AtomicU64::new(LOOK_EVERY_BYTES),
            full: AtomicBool::new(false),
        }
    }

    /// Refuses a batch while too little is free. A store's own facts are small and let through, so that it can be opened,
    /// closed and take part in membership changes.
    pub(super) fn check(&self, batch: &Batch) -> Result<()> {
        if batch.ops().all(|op| *op.family() == Family::META) {
            return Ok(());
        }
        let written = self.written.fetch_add(bytes(batch), Ordering::Relaxed);
        if written < LOOK_EVERY_BYTES && !self.full.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.written.store(0, Ordering::Relaxed);
        // A disk that cannot be looked at says by itself when it is full.
        let free = free_bytes(&self.path).unwrap_or(u64::MAX);
        let full = free < self.bytes_min;
        self.full.store(full, Ordering::Relaxed);
        if !full {
            return Ok(());
        }
        Err(Error::DiskFull {
            engine: "rocksdb",
            reason: format!(
                "{} has {} MiB free, and {} MiB are kept for what is under way",
                self.path.display(),
                free >> 20,
                self.bytes_min >> 20
            )
            .into(),
        })
    }
}

fn bytes(batch: &Batch) -> u64 {
    let content = batch.ops().map(|op| match op {
        Op::Put { key, value, .. } => key.len() + value.len(),
        Op::Delete { key, .. } => key.len(),
        Op::DeleteRange { start, end, .. } => start.len() + end.len(),
    });
    WRITE_BYTES + content.sum::<usize>() as u64
}

#[cfg(unix)]
fn free_bytes(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}
