use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::Family;
use crate::key::ObjectKey;
use crate::name::NameKind;

/// What can go wrong in this crate. Cheap to clone: one failed sync answers many waiters.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing was changed. Name a family that the engine was opened with.
    #[error("unknown column family {family:?}: the engine was not opened with it", family = family.as_str())]
    UnknownFamily {
        /// The family asked for.
        family: Family,
    },

    /// A keyspace's or family's name is empty, too long, or holds other characters than `[a-z0-9_-]`.
    #[error("invalid {kind} name {name:?}: 1..={limit} bytes of a-z, 0-9, '_' and '-' are allowed")]
    InvalidName {
        /// What was named.
        kind: NameKind,
        /// The name, cut at the limit.
        name: Arc<str>,
        /// The greatest length in bytes.
        limit: usize,
    },

    /// The key is empty or too long.
    #[error("key of {bytes} bytes: 1..={limit} bytes are allowed")]
    KeyLength {
        /// The key's length.
        bytes: usize,
        /// The greatest length allowed.
        limit: usize,
    },

    /// The value's body is too long.
    #[error("value of {bytes} bytes: at most {limit} are allowed")]
    ValueLength {
        /// The body's length.
        bytes: usize,
        /// The greatest length allowed.
        limit: usize,
    },

    /// The value's content type is too long.
    #[error("content type of {bytes} bytes: at most {limit} are allowed")]
    ContentTypeLength {
        /// The content type's length.
        bytes: usize,
        /// The greatest length allowed.
        limit: usize,
    },

    /// Nothing was written. Read the key, merge its siblings, and write with the context of that read.
    #[error(
        "{key} has {count} concurrent values, the limit is {limit}: read and merge them, then write with their context"
    )]
    TooManySiblings {
        /// The key.
        key: ObjectKey,
        /// Its siblings now.
        count: usize,
        /// The hard limit.
        limit: usize,
    },

    /// Nothing was written: the context of the key, joined with the one given, has too many entries.
    #[error("{key}: its causal context would have {entries} entries, the limit is {limit}")]
    ContextTooLarge {
        /// The key.
        key: ObjectKey,
        /// Entries of the joined context.
        entries: usize,
        /// The greatest number allowed.
        limit: usize,
    },

    /// The stored record is unreadable. It is not served; a join or put replaces it.
    #[error("the record of {key} is damaged ({reason}): repair it from another replica")]
    Damaged {
        /// The key.
        key: ObjectKey,
        /// What gave it away.
        reason: Damage,
    },

    /// A fact that the store keeps about itself is unreadable: restore the folder, or empty it and let it refill.
    #[error(
        "the store's own entry {entry:?} is damaged: restore the data folder, or empty it and let it refill"
    )]
    DamagedMeta {
        /// The entry's name.
        entry: Arc<str>,
    },

    /// Bytes that are no canonical encoding of a key's state: they were damaged on their way, or come from a newer release.
    #[error("not an encoded state: {reason}")]
    InvalidState {
        /// What is wrong with them.
        reason: Arc<str>,
    },

    /// Bytes that are no encoded object key.
    #[error("not an encoded object key: {bytes:02x?}")]
    InvalidObjectKey {
        /// The bytes, cut at 32.
        bytes: Bytes,
    },

    /// The store was written by a newer release: use that release, or an older copy of the data.
    #[error(
        "the store has format {found}, this release reads up to {supported}: use a newer release"
    )]
    NewerFormat {
        /// The store's format.
        found: u64,
        /// The newest format that this release knows.
        supported: u64,
    },

    /// The store belongs to another node: its dots must not be issued under this id.
    #[error(
        "the store belongs to node {found:016x}, not to node {given:016x}: check the data folder and the node id"
    )]
    ForeignNode {
        /// The node id written in the store.
        found: u64,
        /// The node id given.
        given: u64,
    },

    /// The durable counter of epochs is used up.
    #[error("the node's epochs are used up: replace the node under a new id")]
    EpochsExhausted,

    /// A sync failed earlier, so what is on disk is unknown. Reads go on; open the store again to write.
    #[error("the store refuses writes since a sync failed ({reason}): open it again")]
    Poisoned {
        /// The sync's failure.
        reason: Arc<str>,
    },

    /// The store was closed; a write that still waited for its sync has an unknown outcome.
    #[error("the store is closed")]
    Closed,

    /// Another process, or another handle of this one, has the folder open.
    #[error("{} is in use by another process ({reason}): stop it, or choose another folder", path.display())]
    InUse {
        /// The folder.
        path: Arc<Path>,
        /// The engine's words.
        reason: Arc<str>,
    },

    /// The folder cannot be created or written.
    #[error("{} cannot be written ({reason}): check the path, its owner and its mount", path.display())]
    NotWritable {
        /// The folder.
        path: Arc<Path>,
        /// The operating system's words.
        reason: Arc<str>,
    },

    /// There is no database in the folder.
    #[error("{} holds no store: check the path", path.display())]
    NoStore {
        /// The folder.
        path: Arc<Path>,
    },

    /// The folder holds a family that was not asked for: it is another store's, or the list is incomplete.
    #[error("{} holds the column family {family:?}, which is not configured: name it, or choose another folder", path.display())]
    ForeignFamily {
        /// The folder.
        path: Arc<Path>,
        /// The family found.
        family: Arc<str>,
    },

    /// No checkpoint was written: there is something in its place already, which was not touched.
    #[error("the checkpoint's folder {} exists already: choose one that does not", path.display())]
    CheckpointExists {
        /// The folder.
        path: Arc<Path>,
    },

    /// The folder is a node's store of which a part is gone: what it held would be missing without a word.
    #[error("{} holds a store without its column family {:?}: restore the folder, or empty it and let it refill", path.display(), family.as_str())]
    MissingFamily {
        /// The folder.
        path: Arc<Path>,
        /// The family.
        family: Family,
    },

    /// No checkpoint was written. The running store is as before.
    #[error("cannot write a checkpoint to {} ({reason}): choose a new folder, within one that exists and can be written, with room for the data", path.display())]
    Checkpoint {
        /// The folder.
        path: Arc<Path>,
        /// The engine's words.
        reason: Arc<str>,
    },

    /// The engine keeps no files of which there could be a checkpoint.
    #[error("the {engine} engine keeps no files, so there is no checkpoint in {}: use RocksDB", path.display())]
    CheckpointUnsupported {
        /// The engine's name.
        engine: &'static str,
        /// The folder asked for.
        path: Arc<Path>,
    },

    /// No room. Nothing of the batch is visible; reads go on, and writes once there is room again.
    #[error("the disk of the {engine} engine is full ({reason}): make room")]
    DiskFull {
        /// The engine's name.
        engine: &'static str,
        /// The engine's words.
        reason: Arc<str>,
    },

    /// A sync failed for lack of room. The write is visible, and whether it is on disk is unknown. Make room and write it
    /// again, or read it later: the store takes writes again once it has written out anew all that is visible.
    #[error(
        "the disk is full ({reason}): whether the write is on disk is unknown; make room, then read or write it again"
    )]
    Unsynced {
        /// The sync's failure.
        reason: Arc<str>,
    },

    /// The engine failed. A write's outcome is unknown until the engine is opened again.
    #[error("the {engine} engine failed: {reason}")]
    Engine {
        /// The engine's name.
        engine: &'static str,
        /// The engine's words.
        reason: Arc<str>,
    },

    /// A thread could not be started.
    #[error("cannot start the sync thread: {reason}")]
    Thread {
        /// The operating system's words.
        reason: Arc<str>,
    },
}

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What gave a damaged record away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The record is too short to be one.
    #[error("cut short")]
    Short,
    /// A format version that this release does not know.
    #[error("unknown format {0}")]
    Format(u8),
    /// The checksum does not match.
    #[error("checksum mismatch")]
    Checksum,
    /// The checksum matches and the content makes no sense.
    #[error("unreadable content")]
    Content,
    /// The key under which the record stands is none.
    #[error("unreadable key")]
    Key,
}
