//! Metrics of the store and of its engine.

use std::fmt;

use dynamokv_http::Page;
use dynamokv_storage::ObjectStore;

use super::catalogue as metric;

pub(super) fn write(page: &mut Page<'_>, store: &ObjectStore) -> fmt::Result {
    page.gauge(&metric::DISK_FULL, u32::from(store.is_full()))?;
    page.gauge(&metric::WRITES_REFUSED, u32::from(store.poison().is_some()))?;
    let counters = store.counters();
    page.counter(&metric::DAMAGED, counters.damaged_records)?;
    page.gauge(&metric::SIBLINGS_MAX, counters.siblings_max)?;
    page.counter(&metric::SIBLINGS_REFUSED, counters.siblings_refused)?;
    page.gauge(&metric::CONTEXT_MAX, counters.context_entries_max)?;
    // The memory engine counts nothing: its metrics stay at zero, so that no dashboard has holes.
    let engine = store
        .engine()
        .statistics()
        .ok()
        .flatten()
        .unwrap_or_default();
    let cache = [
        ([("from", "cache")], engine.cache_hits),
        ([("from", "disk")], engine.cache_misses),
    ];
    page.counters(&metric::CACHE, cache)?;
    page.counter(&metric::STALLED, engine.stalled.as_secs_f64())?;
    page.counter(&metric::LOG_BYTES, engine.log_bytes)?;
    page.counter(&metric::LOG_SYNCS, engine.log_syncs)?;
    page.counter(&metric::FLUSH_BYTES, engine.flush_bytes)?;
    let compaction = [
        ([("direction", "read")], engine.compaction_read_bytes),
        ([("direction", "written")], engine.compaction_written_bytes),
    ];
    page.counters(&metric::COMPACTION_BYTES, compaction)?;
    page.gauge(&metric::COMPACTION_PENDING, engine.compaction_pending_bytes)?;
    page.counter(&metric::BACKGROUND_ERRORS, engine.background_errors)?;
    page.gauge(&metric::MEMORY, engine.memory_bytes)?;
    page.gauge(&metric::MEMORY_MAX, engine.memory_bytes_max)?;
    page.gauge(&metric::TABLE_BYTES, engine.table_bytes)
}
