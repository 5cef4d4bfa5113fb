//! The view of this node, as operators read it.

use std::collections::{BTreeMap, BTreeSet};

use dynamokv_coordinator::View;
use dynamokv_gossip::{Change, ChangeProgress, ClusterFacts, Gossip, NodeState, Pending, Stage};
use dynamokv_handoff::{Held, Progress, Stream, TransferConfig};
use dynamokv_ring::{NodeId, PartitionId, Placement};
use dynamokv_rpc::{AdminError, pb};
use dynamokv_storage::ObjectKey;

use crate::pull::Streaming;

/// The open change as the node with this gossip sees it.
pub(super) fn open_change(
    gossip: &Gossip,
    view: &View,
    streaming: Option<&Streaming>,
) -> Option<pb::OpenChange> {
    let next = view.next.as_ref()?;
    let facts = gossip.facts()?;
    let open = facts.open.as_ref()?;
    let progress = streaming
        .filter(|streaming| streaming.change == open.id())
        .map(|streaming| streaming.progress)
        .unwrap_or_default();
    let walk = ChangeProgress::new(view.me, gossip.local().stage_mark());
    let stage = walk.stage(facts);
    let blockers = walk.blocked_by(facts, &gossip.change_view());
    Some(pb::OpenChange {
        number: open.target.number,
        proposer: open.proposer.to_string(),
        stage: stage.map_or_else(|| "none".to_owned(), |stage| stage.to_string()),
        fingerprint: format!("{:016x}", next.fingerprint()),
        joining: names(coming(facts, open)),
        leaving: names(leaving(facts, open)),
        removing: names(open.removing.iter().copied()),
        blocked_by: names(blockers),
        partitions_gained: count(progress.partitions),
        partitions_streamed: count(progress.complete),
        altered: names(altered(facts, open)),
        duty: Stage::after(stage).map_or("", Stage::duty).to_owned(),
    })
}

/// What waits for a change to come.
pub(super) fn pending(gossip: &Gossip) -> Vec<pb::PendingWish> {
    let show = |pending: Pending| pb::PendingWish {
        node: pending.node.to_string(),
        wish: pending.wish.to_string(),
        waits_for: pending.waits_for.map_or_else(
            || "a member that is live".to_owned(),
            |wait| wait.to_string(),
        ),
    };
    gossip.pending().into_iter().map(show).collect()
}

/// What is streamed here.
pub(super) fn transfers(
    streaming: Option<&Streaming>,
    config: &TransferConfig,
) -> pb::TransfersResponse {
    let limit = config.bytes_per_second.get();
    let bytes_per_second_max = if limit == u64::MAX { 0 } else { limit };
    let Some(Streaming {
        change,
        began,
        ended,
        progress,
        streams,
    }) = streaming
    else {
        return pb::TransfersResponse {
            bytes_per_second_max,
            ..Default::default()
        };
    };
    let Progress {
        partitions,
        complete,
        items,
        bytes,
        failures,
        bytes_per_second,
        ..
    } = *progress;
    let elapsed = ended.map_or_else(|| began.elapsed(), |ended| ended.duration_since(*began));
    let show = |stream: &Stream| pb::TransferStream {
        partition: stream.partition.0,
        source: stream.source.to_string(),
        under_way: stream.under_way,
        items: stream.items,
        bytes: stream.bytes,
        failures: stream.failures,
    };
    pb::TransfersResponse {
        change: change.to_string(),
        running: ended.is_none(),
        partitions: count(partitions),
        partitions_complete: count(complete),
        items,
        bytes,
        bytes_per_second: if ended.is_none() { bytes_per_second } else { 0 },
        bytes_per_second_max,
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        failures,
        streams: streams.iter().map(show).collect(),
    }
}

fn coming(facts: &ClusterFacts, open: &Change) -> Vec<NodeId> {
    open.target
        .ids()
        .filter(|id| !facts.current.contains(*id))
        .collect()
}

fn altered(facts: &ClusterFacts, open: &Change) -> Vec<NodeId> {
    let altered = |id: &NodeId| {
        let before = facts.current.member(*id);
        before.is_some() && before != open.target.member(*id)
    };
    open.target.ids().filter(altered).collect()
}

fn leaving(facts: &ClusterFacts, open: &Change) -> Vec<NodeId> {
    let stays = |id: &NodeId| open.target.contains(*id) || open.removing.contains(id);
    facts.current.ids().filter(|id| !stays(id)).collect()
}

pub(super) fn names(ids: impl IntoIterator<Item = NodeId>) -> Vec<String> {
    ids.into_iter().map(|id| id.to_string()).collect()
}

pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) fn cluster_warnings(view: &View, gossip: &Gossip) -> Vec<String> {
    let mut warnings = Vec::new();
    let owned = |partition: &&PartitionId| view.current.owns(view.me, **partition);
    let forgotten = view.forgotten.iter().filter(owned).count();
    if forgotten > 0 {
        warnings.push(format!(
            "{forgotten} partitions are not refilled since this node was restored: it does not count in reads of them"
        ));
    }
    let (members, wanted) = (view.current.members().len(), view.current.replicas_wanted());
    if !view.has_member(view.me) {
        warnings.push("this node waits to be let in".to_owned());
    } else if members < wanted {
        warnings.push(format!(
            "{members} members cannot keep {wanted} copies of each key"
        ));
    }
    let down: BTreeSet<NodeId> = view
        .current
        .members()
        .iter()
        .map(|member| member.id)
        .filter(|id| !gossip.is_live(*id))
        .collect();
    for id in down {
        warnings.push(format!("{id} is down"));
    }
    warnings
}

pub(super) fn hint_warnings(held: &BTreeMap<NodeId, Held>) -> Vec<String> {
    let whole = held.iter().filter(|(_, held)| held.slices > 0);
    whole
        .map(|(target, held)| {
            format!(
                "more is held for {target} than `hints-max` objects: {} ranges are handed over as a whole",
                held.slices
            )
        })
        .collect()
}

pub(super) fn describe(state: &NodeState, gossip: &Gossip, view: &View) -> pb::Member {
    let status = gossip.status_of(state.id).unwrap_or(state.profile.status);
    pb::Member {
        node: state.id.to_string(),
        name: state.profile.name.clone(),
        address: state.profile.address.clone(),
        zone: state.profile.zone.as_str().to_owned(),
        weight: state.profile.weight.get(),
        status: pb::NodeStatus::from(status).into(),
        live: gossip.is_live(state.id),
        generation: state.generation,
        heartbeat: gossip.heartbeats(state.id).unwrap_or_default(),
        in_ring: view.current.contains(state.id),
        in_next_ring: view
            .next
            .as_ref()
            .is_some_and(|ring| ring.contains(state.id)),
        details: state
            .kv
            .iter()
            .map(|(key, entry)| (key.clone(), entry.value.clone()))
            .collect(),
    }
}

pub(super) fn shares(ring: &dyn Placement) -> Vec<pb::RingShare> {
    let mut held: BTreeMap<NodeId, (u32, u32)> = ring
        .members()
        .iter()
        .map(|member| (member.id, (0, 0)))
        .collect();
    for partition in ring.partition_ids() {
        for (place, owner) in ring.owners_of(partition).iter().enumerate() {
            let (partitions, first) = held.entry(*owner).or_default();
            *partitions += 1;
            *first += u32::from(place == 0);
        }
    }
    let copies: u32 = held.values().map(|(partitions, _)| partitions).sum();
    held.into_iter()
        .map(|(node, (partitions, first))| pb::RingShare {
            node: node.to_string(),
            partitions,
            first,
            share: f64::from(partitions) / f64::from(copies.max(1)),
        })
        .collect()
}

pub(super) fn locate(locator: pb::KeyLocator, view: &View) -> Result<pb::KeyLocation, AdminError> {
    let key = object_key(&locator.keyspace, locator.key)?;
    let token = key.token();
    let owners = view.current.owners(token);
    Ok(pb::KeyLocation {
        token: token.to_string(),
        partition: view.current.partition_of(token).0,
        owners: names(owners.iter().copied()),
        next_owners: names(
            view.next
                .iter()
                .flat_map(|next| next.owners(token).iter().copied()),
        ),
        fallbacks: names(view.fallbacks(token, &[owners])),
    })
}

pub(super) fn object_key(keyspace: &str, key: bytes::Bytes) -> Result<ObjectKey, AdminError> {
    let keyspace = if keyspace.is_empty() {
        DEFAULT_KEYSPACE
    } else {
        keyspace
    };
    ObjectKey::new(keyspace, key).map_err(|error| AdminError::InvalidArgument(error.to_string()))
}

/// The keyspace of requests that name none.
const DEFAULT_KEYSPACE: &str = "default";
