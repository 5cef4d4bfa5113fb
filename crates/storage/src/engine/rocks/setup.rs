//! How RocksDB is set up, and why.

use rocksdb::statistics::StatsLevel;
use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, DataBlockIndexType, Options,
    WriteBufferManager,
};

/// How a [`RocksEngine`](super::RocksEngine) uses memory and the disk.
#[derive(Clone, Debug)]
pub struct RocksOptions {
    /// The one setting for memory, in bytes: blocks, filters, indices and write buffers share it. Writers wait when
    /// flushes cannot keep up with it. At least 4 MiB is used. Default 128 MiB.
    pub memory_bytes: usize,
    /// Bytes of log after which the oldest write buffer is flushed; bounds the time to open. Default 256 MiB.
    pub log_bytes_max: u64,
    /// The most that flushes and compactions write a second, in bytes; leaves the rest of the disk to the log's syncs. Less
    /// than several times what is written for long holds writers up. At least 1 MiB. Default 512 MiB.
    pub background_bytes_per_sec_max: u64,
    /// Free bytes of the disk below which writes are [`Error::DiskFull`](crate::Error::DiskFull), but for those to
    /// [`Family::META`](crate::Family::META) alone: what is under way, flushes above all, needs them, and a disk that is full to
    /// the brim may take a restart to recover. Default 64 MiB.
    pub room_bytes_min: u64,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            memory_bytes: 128 << 20,
            log_bytes_max: 256 << 20,
            background_bytes_per_sec_max: 512 << 20,
            room_bytes_min: 64 << 20,
        }
    }
}

/// What is shared by all families of one database.
pub(super) struct Setup {
    pub(super) database: Options,
    pub(super) cache: Cache,
    pub(super) write_buffers: WriteBufferManager,
    write_buffer_bytes: usize,
}

const BLOCK_BYTES: usize = 16 << 10;
const MEMORY_BYTES_MIN: usize = 4 << 20;
const BACKGROUND_BYTES_MIN: u64 = 1 << 20;

impl Setup {
    pub(super) fn new(options: &RocksOptions) -> Self {
        let memory = options.memory_bytes.max(MEMORY_BYTES_MIN);
        // Without a lock, unlike the LRU one.
        let cache = Cache::new_hyper_clock_cache(memory, 0);
        // Half of the memory at most, charged to the cache, so that one figure bounds both. Writers stall beyond it:
        // otherwise the bound would be a wish.
        let write_buffers = WriteBufferManager::new_write_buffer_manager_with_cache(
            memory / 2,
            true,
            cache.clone(),
        );
        Self {
            database: database(options, &write_buffers),
            cache,
            write_buffers,
            // Half of that: one is flushed while the next takes writes. Smaller ones mean more tables to merge.
            write_buffer_bytes: memory / 4,
        }
    }

    pub(super) fn family(&self) -> Options {
        let mut tables = BlockBasedOptions::default();
        tables.set_block_cache(&self.cache);
        // Charged to the cache as well; otherwise they grow with the data, beyond every bound. Every read asks the
        // newest tables, so theirs stay.
        tables.set_cache_index_and_filter_blocks(true);
        tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
        // A put reads first, and the first put to a key finds nothing: ten bits a key spare 99 of 100 such reads.
        tables.set_bloom_filter(10.0, false);
        // Records are often a kilobyte: four times RocksDB's default, so that merges handle fewer blocks, and indices stay small.
        tables.set_block_size(BLOCK_BYTES);
        // Most reads name their key: a hash within the block saves the search.
        tables.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);

        let mut family = Options::default();
        family.set_block_based_table_factory(&tables);
        // No prefix extractor: it pays for scans within one prefix, and every scan here spans many tokens. It would
        // only demand care of each iterator.
        // What is young is rewritten soon: only what is old is worth the time.
        family.set_compression_per_level(&[
            DBCompressionType::None,
            DBCompressionType::None,
            DBCompressionType::Lz4,
        ]);
        // Each merge of young tables rewrites the next level as well, so fewer and greater ones cost writers less; a read that
        // the cache of records does not answer asks the filters of some more tables.
        family.set_level_zero_file_num_compaction_trigger(8);
        family.set_write_buffer_size(self.write_buffer_bytes);
        family.set_max_write_buffer_number(4);
        // As the tables' filters, for what is not in a table yet.
        family.set_memtable_prefix_bloom_ratio(0.02);
        family.set_memtable_whole_key_filtering(true);
        family
    }
}

fn database(options: &RocksOptions, write_buffers: &WriteBufferManager) -> Options {
    let mut database = Options::default();
    database.create_if_missing(true);
    database.create_missing_column_families(true);
    database.set_write_buffer_manager(write_buffers);
    database.set_max_total_wal_size(options.log_bytes_max);
    // The log is handed to the operating system when somebody waits for that, and not with each write.
    database.set_manual_wal_flush(true);
    // After a crash the log counts up to its first torn record: a prefix of the writes, never one with a hole.
    database.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    // A synced log that is missing is an error at opening, and not a smaller database. Logs are not written over
    // (`recycle_log_file_num`), although that would make syncs cheaper: RocksDB knows of holes after a crash with it.
    database.set_track_and_verify_wals_in_manifest(true);
    // Spreads the write-back of new tables, so that a flush does not stall the log's fsync.
    database.set_bytes_per_sync(1 << 20);
    let rate = options.background_bytes_per_sec_max;
    let rate = i64::try_from(rate.max(BACKGROUND_BYTES_MIN)).unwrap_or(i64::MAX);
    // Not tuned by itself: that falls to a twentieth while little is written, and then the first burst waits for it.
    database.set_ratelimiter(rate, REFILL_MICROS, FAIRNESS);
    let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get());
    database.set_max_background_jobs(cores.clamp(2, 8) as i32);
    // Files are deleted in the background, not by the reader that used them last.
    database.set_avoid_unnecessary_blocking_io(true);
    database.set_keep_log_file_num(4);
    // Counters only: timers and histograms would cost each read.
    database.enable_statistics();
    database.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
    database.set_stats_dump_period_sec(0);
    database
}

/// A hundred refills a second, so that nobody waits for long; one turn in ten for the less urgent, as RocksDB has it.
const REFILL_MICROS: i64 = 10_000;
const FAIRNESS: i32 = 10;
