use std::time::Duration;

/// What an engine counted since it was opened, and what it uses at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStatistics {
    /// Blocks found in the cache.
    pub cache_hits: u64,
    /// Blocks that had to be read from the disk or its page cache.
    pub cache_misses: u64,
    /// Tables that a filter spared a read.
    pub filter_hits: u64,
    /// How long writers were held up because flushes or compactions lagged behind.
    pub stalled: Duration,
    /// Whether writers are held up entirely at this moment.
    pub writes_stopped: bool,
    /// Bytes appended to the log.
    pub log_bytes: u64,
    /// Syncs of the log.
    pub log_syncs: u64,
    /// Bytes that flushes wrote.
    pub flush_bytes: u64,
    /// Bytes that compactions read.
    pub compaction_read_bytes: u64,
    /// Bytes that compactions wrote.
    pub compaction_written_bytes: u64,
    /// Bytes that compactions would have to rewrite to be done: grows while they lag behind.
    pub compaction_pending_bytes: u64,
    /// Flushes and compactions that failed. Anything above zero wants a look at the disk.
    pub background_errors: u64,
    /// The bound that was set for memory, in bytes.
    pub memory_bytes_max: u64,
    /// Memory in use: blocks, filters, indices and write buffers, in bytes.
    pub memory_bytes: u64,
    /// The write buffers' part of it.
    pub write_buffer_bytes: u64,
    /// Bytes of the tables on disk that are in use.
    pub table_bytes: u64,
}
