use std::time::Duration;

use rocksdb::properties;
use rocksdb::statistics::Ticker;

use super::RocksEngine;
use crate::Result;
use crate::engine::EngineStatistics;

pub(super) fn read(engine: &RocksEngine) -> Result<EngineStatistics> {
    let (db, setup) = (&engine.db, &engine.setup);
    let count = |ticker| setup.database.get_ticker_count(ticker);
    let total = |property: &rocksdb::properties::PropName| -> Result<u64> {
        let mut total = 0;
        for family in &engine.families {
            let value = db.property_int_value_cf(engine.handle(family)?, property);
            total += value.map_err(|error| engine.explain(&error))?.unwrap_or(0);
        }
        Ok(total)
    };
    // The same for the whole database, whichever family is asked.
    let of_database = |property: &rocksdb::properties::PropName| -> Result<u64> {
        let value = db.property_int_value(property);
        Ok(value.map_err(|error| engine.explain(&error))?.unwrap_or(0))
    };
    Ok(EngineStatistics {
        cache_hits: count(Ticker::BlockCacheHit),
        cache_misses: count(Ticker::BlockCacheMiss),
        filter_hits: count(Ticker::BloomFilterUseful),
        stalled: Duration::from_micros(count(Ticker::StallMicros)),
        writes_stopped: of_database(properties::IS_WRITE_STOPPED)? > 0,
        log_bytes: count(Ticker::WalFileBytes),
        log_syncs: count(Ticker::WalFileSynced),
        flush_bytes: count(Ticker::FlushWriteBytes),
        compaction_read_bytes: count(Ticker::CompactReadBytes),
        compaction_written_bytes: count(Ticker::CompactWriteBytes),
        compaction_pending_bytes: total(properties::ESTIMATE_PENDING_COMPACTION_BYTES)?,
        background_errors: of_database(properties::BACKGROUND_ERRORS)?,
        memory_bytes_max: of_database(properties::BLOCK_CACHE_CAPACITY)?,
        memory_bytes: setup.cache.get_usage() as u64,
        write_buffer_bytes: setup.write_buffers.get_usage() as u64,
        table_bytes: total(properties::LIVE_SST_FILES_SIZE)?,
    })
}
