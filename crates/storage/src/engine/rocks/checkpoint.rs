use std::fs::File;
use std::path::Path;

use rocksdb::checkpoint::Checkpoint;

use super::RocksEngine;
use crate::{Error, Result};

/// Links the tables and copies the log's end, so it takes little time and room while both folders are on one disk.
pub(super) fn write(engine: &RocksEngine, path: &Path) -> Result<()> {
    // RocksDB would say so too, but only by its text.
    if path.symlink_metadata().is_ok() {
        return Err(Error::CheckpointExists { path: path.into() });
    }
    let failed = |reason: String| Error::Checkpoint {
        path: path.into(),
        reason: reason.into(),
    };
    Checkpoint::new(&engine.db)
        .and_then(|checkpoint| checkpoint.create_checkpoint(path))
        .map_err(|error| failed(error.to_string()))?;
    // RocksDB syncs the files and the folder, but not the folder's own entry.
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))
        .and_then(|folder| folder.sync_all())
        .map_err(|error| failed(error.to_string()))
}
