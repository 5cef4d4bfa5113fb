//! Every metric of a node: its name, its kind and what it means. Nothing is exported that is not listed here.

use dynamokv_http::Metric;
use prometheus_client::metrics::MetricType;

macro_rules! metrics {
    ($($id:ident: $kind:ident $name:literal $help:literal)*) => {
        $(pub(super) const $id: Metric = Metric {
            name: concat!("dynamokv_", $name),
            kind: MetricType::$kind,
            help: $help,
        };)*
    };
}

metrics! {
    BUILD: Gauge "build" "1; the labels say which node of which cluster this is, and which release it runs"
    UPTIME: Gauge "uptime_seconds" "Seconds since the start of the node"
    READY: Gauge "ready" "1 where the node is a member of the ring and takes requests"

    REQUESTS: Counter "requests" "Requests of clients that this node took, by operation and outcome"
    REQUEST_SECONDS: Histogram "request_duration_seconds" "Seconds from taking a client's request to its answer, by operation"
    QUORUM_FAILURES: Counter "quorum_failures" "Requests that found no quorum, by operation and reason"
    QUORUM_MISSING: Counter "quorum_missing_replies" "Replicas that did not count towards a quorum that failed, by why"
    READ_SIBLINGS: Histogram "read_siblings" "Siblings of the keys that were read"
    OPERATIONS: Gauge "operations" "Reads and writes that this node coordinates, those among them that were answered and go on in the background"

    IN_FLIGHT: Gauge "requests_in_flight" "Requests under way, of clients and of other nodes"
    IN_FLIGHT_MAX: Gauge "requests_in_flight_max" "Requests that may be under way, of clients and of other nodes"
    REFUSED: Counter "requests_refused" "Requests refused with RESOURCE_EXHAUSTED since too many were under way"
    CONNECTIONS: Gauge "connections" "Connections that are open"
    CONNECTIONS_MAX: Gauge "connections_max" "Connections that may be open"
    CONNECTIONS_REFUSED: Counter "connections_refused" "Connections closed at once since too many were open"

    NODES_KNOWN: Gauge "nodes_known" "Nodes that this one knows, itself among them"
    NODES_LIVE: Gauge "nodes_live" "Nodes that this one believes alive, itself among them"
    PHI: Gauge "phi" "Suspicion that a node is down, by node; above `phi-threshold` it counts as down"
    SICKNESS: Gauge "gossip_sickness" "How much this node mistrusts itself; 0 is healthy"
    GOSSIP_ROUNDS: Counter "gossip_rounds" "Gossip rounds begun"
    GOSSIP_MESSAGES: Counter "gossip_messages" "Gossip messages, by direction"
    GOSSIP_BYTES: Counter "gossip_bytes" "Bytes of gossip messages, by direction"
    GOSSIP_FAILED: Counter "gossip_exchanges_failed" "Gossip exchanges that failed, ran out of time or met a refusal"
    NODES_DOWN: Counter "nodes_down_events" "Times that a node came to count as down"
    NODES_UP: Counter "nodes_up_events" "Times that a node came to count as live"

    PARTITIONS_OWNED: Gauge "partitions_owned" "Partitions of which this node keeps a copy in the current ring"
    PARTITIONS: Gauge "partitions" "Partitions of the ring"
    PARTITIONS_FORGOTTEN: Gauge "partitions_forgotten" "Own partitions that do not count in reads until they are refilled"
    CHANGE: Gauge "membership_change_number" "Number of the last finished membership change"
    CHANGE_OPEN: Gauge "membership_change_open" "1 while a membership change is open"
    TRANSFER_PARTITIONS: Gauge "transfer_partitions" "Partitions that this node gains in the open or last membership change"
    TRANSFER_COMPLETE: Gauge "transfer_partitions_complete" "Those of them whose data is here"

    HINTS: Gauge "hints" "Objects held for another node, by target"
    HINT_RANGES: Gauge "hint_ranges" "Ranges held as a whole for another node, by target"
    HINTS_OLDEST: Gauge "hints_oldest_seconds" "Seconds since which something is held for another node, by target"
    HINTS_DELIVERED: Counter "hints_delivered" "Objects handed over to a node that came back, by target"

    EXCHANGE_LAG: Gauge "exchange_lag_seconds" "Seconds since the pair of copies that was compared least recently, of those that this node leads"
    EXCHANGE_NEVER: Gauge "exchange_pairs_not_compared" "Pairs of copies that this node leads and has not compared since its start"
    EXCHANGE_PAIRS_DIFFER: Gauge "exchange_pairs_differ" "Pairs of copies that this node leads and that are known to differ"
    EXCHANGE_DIFFERS: Gauge "exchange_oldest_difference_seconds" "Seconds for which the oldest difference has been known; 0 where there is none"
    EXCHANGE_OBJECTS: Counter "exchange_objects" "Objects moved to mend differences, by direction"
    EXCHANGE_BYTES: Counter "exchange_bytes" "Bytes moved to mend differences, by direction"
    KEYS: Gauge "keys" "Keys in the hash trees of this node, deleted ones that are remembered among them"
    TREES_COUNTED: Gauge "hash_tree_counted_ratio" "Part of the hash trees that is counted, in 0..=1"

    DISK_FULL: Gauge "disk_full" "1 while writes are refused since the disk is full"
    WRITES_REFUSED: Gauge "storage_poisoned" "1 after a sync failed: writes are refused until the node is started again"
    DAMAGED: Counter "damaged_records" "Times that a damaged record was met"
    SIBLINGS_MAX: Gauge "siblings_max" "The most siblings that a write left under one key since the start"
    SIBLINGS_REFUSED: Counter "siblings_refused" "Writes refused since the key has too many siblings"
    CONTEXT_MAX: Gauge "context_entries_max" "The most entries that a write left in one key's context since the start"
    CACHE: Counter "storage_cache_reads" "Blocks read, by whether the cache had them"
    STALLED: Counter "storage_stalled_seconds" "Seconds for which writers were held up since flushes or compactions lagged behind"
    LOG_BYTES: Counter "storage_log_bytes" "Bytes appended to the log"
    LOG_SYNCS: Counter "storage_log_syncs" "Syncs of the log"
    FLUSH_BYTES: Counter "storage_flush_bytes" "Bytes that flushes wrote"
    COMPACTION_BYTES: Counter "storage_compaction_bytes" "Bytes of compactions, by direction"
    COMPACTION_PENDING: Gauge "storage_compaction_pending_bytes" "Bytes that compactions would have to rewrite to be done"
    BACKGROUND_ERRORS: Counter "storage_background_errors" "Flushes and compactions that failed"
    MEMORY: Gauge "storage_memory_bytes" "Memory of the engine: blocks, filters, indices and write buffers"
    MEMORY_MAX: Gauge "storage_memory_max_bytes" "The bound that was set for it"
    TABLE_BYTES: Gauge "storage_table_bytes" "Bytes of the tables on disk that are in use"
}
