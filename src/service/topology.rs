//! Who keeps which keys, for clients.

use std::sync::Arc;

use dynamokv_coordinator::View;
use dynamokv_gossip::{Gossip, GossipHandle, Status};
use dynamokv_ring::Member;
use dynamokv_rpc::{Topology, pb};

use super::shown::count;

/// The topology of one view; `phase` tells which one.
#[derive(Default)]
pub(super) struct Made {
    pub(super) phase: u64,
    pub(super) topology: Option<Arc<Topology>>,
}

/// What clients are told of a view: the ring that is read, whose owners take writes in every stage of a change too.
pub(super) fn describe(view: &View, gossip: &GossipHandle) -> Made {
    let ring = view.read_ring();
    let topology = view.has_member(view.me).then(|| {
        let change = match &view.next {
            Some(next) if next.fingerprint() == ring.fingerprint() => view.fence.seen,
            _ => view.fence.number,
        };
        let nodes = gossip.with(|gossip| {
            let show = |member: &Member| node(member, gossip);
            ring.members().iter().map(show).collect()
        });
        Arc::new(Topology::new(pb::Topology {
            cluster_id: view.fence.cluster,
            change,
            partitions: ring.partitions(),
            replicas: count(ring.replicas_wanted()),
            fingerprint: ring.fingerprint(),
            nodes,
            front: false,
        }))
    });
    Made {
        phase: view.phase,
        topology,
    }
}

fn node(member: &Member, gossip: &Gossip) -> pb::TopologyNode {
    let known = gossip.member(member.id);
    // Who is in the ring and not known yet has been a member, and nothing else was heard.
    let status = gossip.status_of(member.id).unwrap_or(Status::Up);
    pb::TopologyNode {
        id: member.id.0,
        name: known.map_or_else(String::new, |state| state.profile.name.clone()),
        address: known.map_or_else(String::new, |state| state.profile.address.clone()),
        zone: member.zone.as_str().to_owned(),
        weight: member.weight.get(),
        status: pb::NodeStatus::from(status).into(),
    }
}
