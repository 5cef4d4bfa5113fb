//! Snapshots of a running node.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dynamokv_rpc::AdminError;
use dynamokv_storage::{Engine, Error, Keyspace, NAME_BYTES_MAX};

/// Writes a snapshot named `name` into `folder`, off the runtime's threads; gives its path.
pub(super) async fn write(
    engine: &Arc<dyn Engine>,
    folder: Option<&Path>,
    name: &str,
) -> Result<PathBuf, AdminError> {
    check(name)?;
    let folder = folder.ok_or_else(|| {
        AdminError::Precondition(
            "this node has no `snapshot-dir`: start it with one, a folder on the disk of its data"
                .to_owned(),
        )
    })?;
    let (folder, path) = (folder.to_owned(), folder.join(name));
    let (engine, to) = (Arc::clone(engine), path.clone());
    let written = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&folder).map_err(|error| {
            AdminError::Failed(format!("{} cannot be made: {error}", folder.display()))
        })?;
        engine.checkpoint(&to).map_err(|error| match error {
            Error::CheckpointExists { .. } | Error::CheckpointUnsupported { .. } => {
                AdminError::Precondition(error.to_string())
            }
            error => AdminError::Failed(error.to_string()),
        })
    });
    let failed = |error| AdminError::Failed(format!("the snapshot was broken off: {error}"));
    written.await.map_err(failed)??;
    tracing::info!(path = %path.display(), "snapshot written");
    Ok(path)
}

/// A name by the rule of keyspaces, and no path: a caller decides what the folder is called, the operator where it is.
fn check(name: &str) -> Result<(), AdminError> {
    if Keyspace::new(name).is_ok() {
        return Ok(());
    }
    Err(AdminError::InvalidArgument(format!(
        "name has {} bytes; 1..={NAME_BYTES_MAX} of a-z, 0-9, '_' and '-' are allowed, and no path",
        name.len()
    )))
}
