//! Metrics of what spans nodes: gossip, the ring, hints, exchanges.

use std::fmt;
use std::time::Duration;

use dynamokv_antientropy::Prefix;
use dynamokv_coordinator::Membership;
use dynamokv_http::Page;
use dynamokv_ring::NodeId;
use tokio::time::Instant;

use super::catalogue as metric;
use crate::core::Core;
use crate::exchange::Pair;
use crate::service::Service;
use crate::transport::Transport;

pub(super) fn write<T: Transport>(page: &mut Page<'_>, service: &Service<T>) -> fmt::Result {
    let core = &service.core;
    gossip(page, core)?;
    ring(page, core)?;
    let streaming = service.streaming.borrow().clone();
    let progress = streaming.map(|streaming| streaming.progress);
    let (gained, complete) = progress.map_or((0, 0), |now| (now.partitions, now.complete));
    page.gauge(&metric::TRANSFER_PARTITIONS, gained)?;
    page.gauge(&metric::TRANSFER_COMPLETE, complete)?;
    hints(page, core)?;
    exchange(page, core)
}

fn gossip<T: Transport>(page: &mut Page<'_>, core: &Core<T>) -> fmt::Result {
    let gossip = core.cluster.gossip();
    let (known, live) = gossip.with(|gossip| (gossip.members().count(), gossip.live_count()));
    page.gauge(&metric::NODES_KNOWN, known)?;
    page.gauge(&metric::NODES_LIVE, live)?;
    let counts = gossip.metrics();
    let phi = names(counts.phi.iter().map(|(node, phi)| (*node, *phi)));
    page.gauges(
        &metric::PHI,
        phi.iter()
            .map(|(node, phi)| ([("node", node.as_str())], *phi)),
    )?;
    page.gauge(&metric::SICKNESS, counts.sickness)?;
    page.counter(&metric::GOSSIP_ROUNDS, counts.rounds)?;
    let both = |out, r#in| {
        [
            ([("direction", "sent")], out),
            ([("direction", "received")], r#in),
        ]
    };
    let messages = both(counts.messages_sent, counts.messages_received);
    page.counters(&metric::GOSSIP_MESSAGES, messages)?;
    page.counters(
        &metric::GOSSIP_BYTES,
        both(counts.bytes_sent, counts.bytes_received),
    )?;
    page.counter(&metric::GOSSIP_FAILED, counts.exchanges_failed)?;
    page.counter(&metric::NODES_DOWN, counts.downs)?;
    page.counter(&metric::NODES_UP, counts.ups)
}

fn ring<T: Transport>(page: &mut Page<'_>, core: &Core<T>) -> fmt::Result {
    let view = core.cluster.view();
    let ring = view.current.as_ref();
    let owned = ring.partition_ids().filter(|id| ring.owns(core.me, *id));
    page.gauge(&metric::PARTITIONS_OWNED, owned.count())?;
    page.gauge(&metric::PARTITIONS, ring.partitions())?;
    page.gauge(&metric::PARTITIONS_FORGOTTEN, view.forgotten.len())?;
    page.gauge(&metric::CHANGE, view.fence.number)?;
    page.gauge(&metric::CHANGE_OPEN, u32::from(view.next.is_some()))
}

fn hints<T: Transport>(page: &mut Page<'_>, core: &Core<T>) -> fmt::Result {
    let hints = &core.hints;
    let now_ms = hints.now_ms();
    // A store that cannot be read says so elsewhere: what is left out here is not known.
    let held = hints.targets().into_iter().filter_map(|target| {
        let held = hints.held(target).ok()?;
        Some((target, held))
    });
    let held = names(held);
    let each = |of: &dyn Fn(&dynamokv_handoff::Held) -> f64| -> Vec<_> {
        held.iter()
            .map(|(target, held)| ([("target", target.as_str())], of(held)))
            .collect()
    };
    page.gauges(&metric::HINTS, each(&|held| held.hints as f64))?;
    page.gauges(&metric::HINT_RANGES, each(&|held| held.slices as f64))?;
    let age = |since_ms: Option<u64>| since_ms.map_or(0, |ms| now_ms.saturating_sub(ms));
    let age_s = |since_ms| Duration::from_millis(age(since_ms)).as_secs_f64();
    page.gauges(&metric::HINTS_OLDEST, each(&|held| age_s(held.oldest_ms)))?;
    let delivered = names(hints.deliveries());
    let delivered = delivered.iter();
    page.counters(
        &metric::HINTS_DELIVERED,
        delivered.map(|(target, of)| ([("target", target.as_str())], of.objects)),
    )
}

fn exchange<T: Transport>(page: &mut Page<'_>, core: &Core<T>) -> fmt::Result {
    let (view, now) = (core.cluster.view(), Instant::now());
    let ring = view.current.as_ref();
    let rows = core.ledger.rows(|Pair { partition, peer }| {
        ring.owns(core.me, *partition) && ring.owns(*peer, *partition)
    });
    let longest =
        |times: &mut dyn Iterator<Item = Duration>| times.max().unwrap_or_default().as_secs_f64();
    let compared = rows.iter().filter_map(|(_, row)| row.compared);
    let lag = longest(&mut compared.map(|at| now.saturating_duration_since(at)));
    page.gauge(&metric::EXCHANGE_LAG, lag)?;
    let never = rows.iter().filter(|(_, row)| row.compared.is_none());
    page.gauge(&metric::EXCHANGE_NEVER, never.count())?;
    let ages: Vec<Duration> = rows.iter().filter_map(|(_, row)| row.age(now)).collect();
    page.gauge(&metric::EXCHANGE_PAIRS_DIFFER, ages.len())?;
    page.gauge(&metric::EXCHANGE_DIFFERS, longest(&mut ages.into_iter()))?;
    let total = core.ledger.total();
    let both = |pulled, pushed| {
        [
            ([("direction", "pulled")], pulled),
            ([("direction", "pushed")], pushed),
        ]
    };
    page.counters(
        &metric::EXCHANGE_OBJECTS,
        both(total.objects_pulled, total.objects_pushed),
    )?;
    page.counters(
        &metric::EXCHANGE_BYTES,
        both(total.bytes_pulled, total.bytes_pushed),
    )?;
    page.gauge(&metric::KEYS, core.trees.keys(Prefix::ROOT))?;
    let (counted, buckets) = core.trees.ready_share();
    page.gauge(
        &metric::TREES_COUNTED,
        counted as f64 / buckets.max(1) as f64,
    )
}

/// Nodes as labels.
fn names<V>(rows: impl IntoIterator<Item = (NodeId, V)>) -> Vec<(String, V)> {
    let rows = rows.into_iter();
    rows.map(|(node, value)| (node.to_string(), value))
        .collect()
}
