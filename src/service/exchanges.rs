//! How copies compare, for operators.

use std::time::Duration;

use dynamokv_antientropy::Prefix;
use dynamokv_coordinator::Membership;
use dynamokv_rpc::pb;
use tokio::time::Instant;

use super::shown::count;
use crate::core::Core;
use crate::exchange::Pair;
use crate::transport::Transport;

/// What the exchanges that this node leads have found, of partitions that it still shares.
pub(super) fn report<T: Transport>(core: &Core<T>) -> pb::ExchangesResponse {
    let (view, now) = (core.cluster.view(), Instant::now());
    let ring = view.current.as_ref();
    let rows = core.ledger.rows(|Pair { partition, peer }| {
        ring.owns(core.me, *partition) && ring.owns(*peer, *partition)
    });
    let (counted, buckets) = core.trees.ready_share();
    let total = core.ledger.total();
    let exchanges = rows.iter().map(|(pair, row)| pb::PartitionExchange {
        partition: pair.partition.0,
        peer: pair.peer.to_string(),
        compared_ms_ago: row
            .compared
            .map(|at| millis(now.saturating_duration_since(at))),
        differs_for_ms: row.age(now).map(millis),
    });
    pb::ExchangesResponse {
        buckets_counted: count(counted),
        buckets: count(buckets),
        keys: core.trees.keys(Prefix::ROOT),
        tree_bytes: core.trees.leaves().1 as u64,
        exchanges: exchanges.collect(),
        oldest_difference_ms: rows
            .iter()
            .filter_map(|(_, row)| row.age(now))
            .max()
            .map(millis),
        objects_pulled: total.objects_pulled,
        bytes_pulled: total.bytes_pulled,
        objects_pushed: total.objects_pushed,
        bytes_pushed: total.bytes_pushed,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
