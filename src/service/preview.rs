//! What a membership change would do, before it does it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use dynamokv_coordinator::Membership;
use dynamokv_gossip::{ClusterFacts, Target};
use dynamokv_ring::{Forecast, Member, NodeId, PartitionRing, Placement, Token, TokenRange, Zone};
use dynamokv_rpc::{AdminError, pb};
use dynamokv_storage::ObjectStore;

use super::admin::{node_id, weight, zone};
use super::shown::{count, names};
use crate::core::Core;
use crate::transport::Transport;

/// The change of the request, or what would come next, on top of the open one.
pub(super) fn preview<T: Transport>(
    core: &Core<T>,
    request: &pb::PreviewChangeRequest,
) -> Result<pb::PreviewChangeResponse, AdminError> {
    let wait = || AdminError::Precondition("this node waits to be let in".to_owned());
    let (facts, live) = core
        .cluster
        .gossip()
        .with(|gossip| {
            let facts = gossip.facts().cloned()?;
            let live = facts.current.ids().filter(|id| gossip.is_live(*id));
            Some((facts.clone(), live.collect::<BTreeSet<NodeId>>()))
        })
        .ok_or_else(wait)?;
    let (base, target) = if *request == pb::PreviewChangeRequest::default() {
        let coming = core.cluster.gossip().with(|gossip| gossip.coming());
        match (coming, &facts.open) {
            (Some(target), Some(open)) => (open.target.clone(), target),
            (Some(target), None) => (facts.current.clone(), target),
            (None, Some(open)) => (facts.current.clone(), open.target.clone()),
            (None, None) => (facts.current.clone(), facts.current.clone()),
        }
    } else {
        let base = goal(&facts);
        (base.clone(), planned(base, request)?)
    };
    let failed = |error: dynamokv_gossip::Error| AdminError::Failed(error.to_string());
    let current = facts.ring_of(&base).map_err(failed)?;
    let next = facts.ring_of(&target).map_err(failed)?;
    let forecast =
        Forecast::of(&current, &next).map_err(|error| AdminError::Failed(error.to_string()))?;
    let view = core.cluster.view();
    let density = Density::sample(&core.store, view.current.as_ref(), core.me)
        .map_err(|error| AdminError::Failed(error.to_string()))?;
    let warnings = warnings(&base, &target, &forecast, core.write_quorum.get(), &live);
    Ok(answer(&current, &next, &forecast, &density, warnings))
}

/// Where the cluster is heading.
fn goal(facts: &ClusterFacts) -> &Target {
    let open = facts.open.as_ref();
    open.map_or(&facts.current, |open| &open.target)
}

/// The target that the request describes.
fn planned(base: &Target, request: &pb::PreviewChangeRequest) -> Result<Target, AdminError> {
    let mut members: BTreeMap<NodeId, Member> = base
        .members
        .iter()
        .map(|member| (member.id, member.clone()))
        .collect();
    let wrong = |reason: String| Err(AdminError::InvalidArgument(reason));
    let replaced = request.joining.iter().map(|node| &node.replaces);
    let replaced = replaced.filter(|id| !id.is_empty());
    let going = [
        ("leaving", request.leaving.iter().collect::<Vec<_>>()),
        ("removing", request.removing.iter().collect()),
        ("joining.replaces", replaced.collect()),
    ];
    for (field, ids) in going {
        for text in ids {
            if members.remove(&node_id(field, text)?).is_none() {
                return wrong(format!("{field}: {text} is no member, or is named twice"));
            }
        }
    }
    for node in &request.altered {
        let id = node_id("altered.node", &node.node)?;
        match members.get_mut(&id) {
            Some(member) => *member = placed(member.clone(), node)?,
            None => return wrong(format!("altered.node: {id} is no member that stays")),
        }
    }
    for (unused, node) in (UNUSED_ID..).zip(&request.joining) {
        let id = match node.node.as_str() {
            "" => NodeId(unused),
            text => node_id("joining.node", text)?,
        };
        let fresh = Member::new(id).with_zone("default");
        if members.insert(id, placed(fresh, node)?).is_some() || base.contains(id) {
            return wrong(format!("joining.node: {id} is there already"));
        }
    }
    if members.is_empty() {
        return wrong("leaving: nobody would be left".to_owned());
    }
    Ok(Target {
        number: base.number.saturating_add(1),
        replicas: base.replicas,
        members: members.into_values().collect(),
    })
}

fn placed(member: Member, node: &pb::PlannedNode) -> Result<Member, AdminError> {
    let asked: NonZeroU32 = node.weight.map_or(Ok(member.weight), weight)?;
    let stands: Zone = node
        .zone
        .clone()
        .map_or_else(|| Ok(member.zone.clone()), zone)?;
    Ok(member.with_weight(asked).with_zone(stands))
}

fn warnings(
    base: &Target,
    target: &Target,
    forecast: &Forecast,
    write_quorum: usize,
    live: &BTreeSet<NodeId>,
) -> Vec<String> {
    let (members, wanted) = (target.members.len(), target.replicas);
    let mut warnings = Vec::new();
    if members < write_quorum {
        warnings.push(format!(
            "{members} members cannot take a write: W is {write_quorum}"
        ));
    } else if members < wanted {
        warnings.push(format!(
            "{members} members cannot keep {wanted} copies of each key"
        ));
    }
    for (zone, partitions) in &forecast.crowded {
        let crowded = partitions.len();
        warnings.push(format!(
            "zone {zone:?} would have several copies of {crowded} partitions",
            zone = zone.as_str()
        ));
    }
    let awaited = |id: &NodeId| target.contains(*id) && !live.contains(id);
    for id in base.ids().filter(awaited) {
        warnings.push(format!("{id} is down and would block the change"));
    }
    warnings
}

fn answer(
    current: &PartitionRing,
    next: &PartitionRing,
    forecast: &Forecast,
    density: &Density,
    warnings: Vec<String>,
) -> pb::PreviewChangeResponse {
    let partitions = current.partitions();
    let (gained, lost) = (forecast.gained(), forecast.lost());
    let concerned: BTreeSet<NodeId> = gained.keys().chain(lost.keys()).copied().collect();
    let of = |counts: &BTreeMap<NodeId, usize>, id| counts.get(&id).copied().unwrap_or_default();
    let node = |id: NodeId| {
        let owned = current.partition_ids().filter(|at| current.owns(id, *at));
        pb::PlannedShare {
            node: names([id]).pop().unwrap_or_default(),
            partitions: count(owned.count()),
            gains: count(of(&gained, id)),
            losses: count(of(&lost, id)),
            bytes_in: density.bytes(of(&gained, id), partitions),
        }
    };
    let zone = |(zone, partitions): (&Zone, &BTreeSet<_>)| pb::CrowdedZone {
        zone: zone.as_str().to_owned(),
        partitions: count(partitions.len()),
    };
    pb::PreviewChangeResponse {
        fingerprint: format!("{:016x}", next.fingerprint()),
        moves: count(forecast.moves.len()),
        moves_least: count(forecast.least),
        bytes: density.bytes(forecast.moves.len(), partitions),
        keys: density.keys(forecast.moves.len(), partitions),
        nodes: concerned.into_iter().map(node).collect(),
        excess: forecast.excess,
        partitions_short: count(forecast.short),
        crowded: forecast.crowded.iter().map(zone).collect(),
        warnings,
    }
}

/// How much lies on a token on the average. Keys are spread evenly over the tokens, so samples tell.
#[derive(Debug, Default)]
struct Density {
    keys: u64,
    bytes: u64,
    /// The part of all tokens that was looked at.
    tokens: f64,
}

impl Density {
    /// Looks at the beginnings of some partitions of `me`. Reads so many records and bytes at most.
    fn sample(
        store: &ObjectStore,
        ring: &dyn Placement,
        me: NodeId,
    ) -> Result<Self, dynamokv_storage::Error> {
        let owned: Vec<_> = ring
            .partition_ids()
            .filter(|at| ring.owns(me, *at))
            .collect();
        let mut density = Self::default();
        for partition in owned
            .iter()
            .step_by(owned.len().div_ceil(SAMPLES_MAX).max(1))
        {
            let range = ring.range_of(*partition);
            let page = store.scan(range, None, SAMPLE_ITEMS, SAMPLE_BYTES)?;
            // Up to the last key of a page, which may be one of many in its partition.
            let last = page.next.map_or(range.last, |next| next.token());
            let looked = TokenRange {
                first: range.first,
                last: Token(last.0.min(range.last.0)),
            };
            let found = store.range_statistics(looked)?;
            density.keys += found.keys;
            density.bytes += found.bytes;
            density.tokens += (looked.last.0 - looked.first.0) as f64 / u64::MAX as f64;
        }
        Ok(density)
    }

    fn bytes(&self, copies: usize, partitions: u32) -> u64 {
        self.scaled(self.bytes, copies, partitions)
    }

    fn keys(&self, copies: usize, partitions: u32) -> u64 {
        self.scaled(self.keys, copies, partitions)
    }

    fn scaled(&self, found: u64, copies: usize, partitions: u32) -> u64 {
        if self.tokens == 0.0 {
            return 0;
        }
        (found as f64 / self.tokens * copies as f64 / f64::from(partitions)).round() as u64
    }
}

const SAMPLES_MAX: usize = 16;
const SAMPLE_ITEMS: usize = 256;
const SAMPLE_BYTES: usize = 1 << 20;
/// Ids of nodes that have none yet begin here; drawn ids are random, so that none of them is met.
const UNUSED_ID: u64 = u64::MAX - (1 << 20);
