//! Making a data directory from a snapshot.

use std::fs::{self, File};
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dynamokv_storage::{Family, ObjectStore, RocksEngine, RocksOptions, StoreOptions};

use crate::persist::{self, Alive};
use crate::{Error, NodeConfig};

/// What to restore, and as what.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Restore {
    /// The snapshot's folder. It is copied and stays as it is.
    pub snapshot: PathBuf,
    /// The data directory to make; it must be empty or not exist.
    pub data_dir: PathBuf,
    /// For the restore of **all** members: the id of the new cluster that they found, the same for each. Without it the node
    /// comes back into its cluster, which has gone on without it.
    pub new_cluster: Option<NonZeroU64>,
    /// Milliseconds since the Unix epoch. A restored node counts its starts from here on, since its cluster has seen more of
    /// them than the snapshot knows.
    pub now_ms: u64,
    /// Milliseconds for which deleted objects are remembered: `tombstone-grace-s` of the cluster. A member that comes back with
    /// older data would bring back what was deleted since.
    pub grace_ms: u64,
}

impl Restore {
    /// Of one member of a cluster that goes on.
    pub fn new(snapshot: impl Into<PathBuf>, data_dir: impl Into<PathBuf>, now_ms: u64) -> Self {
        Self {
            snapshot: snapshot.into(),
            data_dir: data_dir.into(),
            new_cluster: None,
            now_ms,
            grace_ms: NodeConfig::default().tombstone_grace_s * 1_000,
        }
    }
}

/// Makes the data directory. A node that starts on it takes other epochs than any before. As a member of its old cluster it
/// counts in no read of a partition until it has compared it with enough other owners; in a new cluster it counts at once, and what
/// the snapshots disagree on is exchanged.
///
/// Blocks for a copy of the data. All or nothing: the directory appears whole, by a rename from a folder beside it.
///
/// # Errors
/// [`Error::Restore`] names the folder in the way; [`Error::Storage`] if the snapshot cannot be opened.
pub fn restore(order: &Restore) -> Result<(), Error> {
    let (snapshot, data_dir) = (&order.snapshot, &order.data_dir);
    if !snapshot.join("CURRENT").is_file() {
        return Err(refused(
            snapshot,
            "it is no snapshot: it has no file CURRENT",
        ));
    }
    if fs::read_dir(data_dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(refused(
            data_dir,
            "it is not empty: choose another data directory, or move this one away",
        ));
    }
    let draft = beside(data_dir)?;
    if draft.exists() {
        return Err(refused(
            &draft,
            "an earlier restore was broken off: remove this folder",
        ));
    }
    let made = copy(snapshot, &draft)
        .map_err(|error| refused(&draft, error))
        .and_then(|()| prepare(&draft, order));
    if let Err(error) = made {
        // What is left of it is named by the next attempt.
        let _ = fs::remove_dir_all(&draft);
        return Err(error);
    }
    publish(&draft, data_dir).map_err(|error| refused(data_dir, error))
}

fn refused(path: &Path, reason: impl ToString) -> Error {
    Error::Restore {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// On the same file system, so that it can be renamed.
fn beside(data_dir: &Path) -> Result<PathBuf, Error> {
    let Some(name) = data_dir.file_name() else {
        return Err(refused(
            data_dir,
            "it has no name: give the path of a folder",
        ));
    };
    let mut name = name.to_owned();
    name.push(".restoring");
    Ok(data_dir.with_file_name(name))
}

/// Copies, and not links: a log is written on.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let copied = to.join(entry.file_name());
            fs::copy(entry.path(), &copied)?;
            File::open(copied)?.sync_all()?;
        }
    }
    File::open(to)?.sync_all()
}

/// Leaves the store as after a crash, so that all its issuing positions are void.
fn prepare(draft: &Path, order: &Restore) -> Result<(), Error> {
    let engine = RocksEngine::open(draft, Family::CLUSTER, &RocksOptions::default())?;
    let Some(node) = ObjectStore::owner(&engine)? else {
        return Err(refused(
            &order.snapshot,
            "it holds no store of a cluster's node",
        ));
    };
    // No epoch is drawn here, so the seed is never used.
    let store = ObjectStore::open(Arc::new(engine), StoreOptions::new(node, order.now_ms))?;
    match order.new_cluster {
        None => {
            check_age(&store, order)?;
            persist::forget_all(&store)?;
        }
        Some(id) => found(&store, id, &order.snapshot)?,
    }
    // Beyond whatever the cluster has heard of the node since: this copy is an older one on purpose.
    if let Some(alive) = persist::load_alive(&store)? {
        let at_ms = match order.new_cluster {
            None => alive.at_ms,
            // Whose members have deleted nothing yet.
            Some(_) => order.now_ms,
        };
        let heartbeats = alive.heartbeats.max(order.now_ms);
        persist::save_alive(&store, Alive { at_ms, heartbeats })?;
    }
    Ok(store.raise_generation(order.now_ms)?)
}

fn check_age(store: &ObjectStore, order: &Restore) -> Result<(), Error> {
    let made_ms = persist::load_alive(store)?.map_or(0, |alive| alive.at_ms);
    if order.now_ms.saturating_sub(made_ms) <= order.grace_ms {
        return Ok(());
    }
    Err(refused(
        &order.snapshot,
        format!(
            "it is older than the {} s (`tombstone-grace-s`) for which the cluster remembers deleted objects, and would bring them back: \
             start an empty node in its place (`--replace`)",
            order.grace_ms / 1_000
        ),
    ))
}

fn found(store: &ObjectStore, cluster: NonZeroU64, snapshot: &Path) -> Result<(), Error> {
    let Some(mut facts) = persist::load(store)?.facts else {
        return Err(refused(snapshot, "its node was no member of a cluster yet"));
    };
    if facts.open.is_some() {
        return Err(refused(
            snapshot,
            "a membership change was open when it was made, and the members' snapshots need not agree on it: \
             take one from before or after it",
        ));
    }
    if facts.cluster_id == cluster.get() {
        return Err(refused(
            snapshot,
            "it is of the very cluster whose id was given: give a new one",
        ));
    }
    facts.cluster_id = cluster.get();
    persist::move_to(store, &facts)
}

fn publish(draft: &Path, data_dir: &Path) -> io::Result<()> {
    if data_dir.exists() {
        fs::remove_dir(data_dir)?;
    }
    fs::rename(draft, data_dir)?;
    let parent = data_dir
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
