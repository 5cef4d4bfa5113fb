use crate::sync::{Durability, SyncMode};

/// How an [`ObjectStore`](crate::ObjectStore) is opened.
///
/// ```
/// use dynamokv_storage::{Durability, StoreOptions};
///
/// let options = StoreOptions { durability: Durability::Os, ..StoreOptions::new(1, 42) };
/// # assert_eq!(options.sibling_limit_hard, 1_000);
/// ```
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The id of the node that writes; a store belongs to one node for good.
    pub node: u64,
    /// What an acknowledgement promises. Default [`Durability::Sync`].
    pub durability: Durability,
    /// Who runs the syncs. Default [`SyncMode::Thread`].
    pub sync_mode: SyncMode,
    /// Concurrent values of a key from which on a put warns. Default 50.
    pub sibling_limit_soft: usize,
    /// Concurrent values of a key beyond which a put is refused. Default 1,000.
    pub sibling_limit_hard: usize,
    /// Entries of a key's causal context beyond which a put that would add some is refused. Default 10,000.
    pub context_entries_max: usize,
    /// The greatest body of a value that a put accepts, in bytes. Default 4 MiB.
    pub value_bytes_max: usize,
    /// Bytes of memory for records that were read or written lately; 0 for none, which is the default.
    /// Beside whatever the engine keeps.
    pub cache_bytes: usize,
    /// Randomness for epochs: it must differ from one opening of a restored copy to the next, so in production it
    /// comes from the operating system.
    pub random_seed: u64,
}

impl StoreOptions {
    /// The defaults for the given node and seed.
    #[must_use]
    pub fn new(node: u64, random_seed: u64) -> Self {
        Self {
            node,
            durability: Durability::default(),
            sync_mode: SyncMode::default(),
            sibling_limit_soft: 50,
            sibling_limit_hard: 1_000,
            context_entries_max: 10_000,
            value_bytes_max: 4 << 20,
            cache_bytes: 0,
            random_seed,
        }
    }
}
