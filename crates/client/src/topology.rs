//! The cluster as the client knows it.

use std::num::NonZeroU32;

use dynamokv_ring::{Member, NodeId, PartitionRing, Placement, Zone};
use dynamokv_rpc::pb;

/// The ring that is read, and where its members are. Immutable: a change makes a new one.
#[derive(Debug)]
pub struct Topology {
    version: u64,
    cluster_id: u64,
    change: u64,
    /// Ascending by id.
    nodes: Vec<Node>,
    ring: Option<PartitionRing>,
}

/// A member of the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its display name.
    pub name: String,
    /// Where it is reached, `host:port`; empty if the node that was asked did not know.
    pub address: String,
    /// Its failure domain.
    pub zone: Zone,
    /// What it can carry; 100 is one ordinary node.
    pub weight: NonZeroU32,
    /// What it is to the cluster.
    pub status: pb::NodeStatus,
}

impl Topology {
    /// What was told by one of `seeds`, or by a node that they led to. Where it is a front, the seeds are all that there is to ask.
    /// O(partitions x N x log N).
    pub(crate) fn told(version: u64, message: pb::Topology, seeds: &[String]) -> Self {
        if !message.front {
            return Self::new(version, message);
        }
        let front = |(id, seed): (u64, &String)| Node {
            id: NodeId(id),
            name: seed.clone(),
            address: seed.clone(),
            zone: Zone::default(),
            weight: NonZeroU32::MIN,
            status: pb::NodeStatus::Up,
        };
        Self {
            version,
            cluster_id: message.cluster_id,
            change: message.change,
            nodes: (1..).zip(seeds).map(front).collect(),
            ring: None,
        }
    }

    /// What a node told. A ring that cannot be computed, or is not the node's, is left out: then any node is asked, and it forwards.
    /// O(partitions x N x log N).
    pub(crate) fn new(version: u64, message: pb::Topology) -> Self {
        let mut nodes: Vec<Node> = message.nodes.into_iter().map(Node::from).collect();
        nodes.sort_unstable_by_key(|node| node.id);
        let members = nodes.iter().map(|node| {
            Member::new(node.id)
                .with_weight(node.weight)
                .with_zone(node.zone.as_str())
        });
        let ring = PartitionRing::new(message.partitions, message.replicas as usize, members)
            .ok()
            .filter(|ring| ring.fingerprint() == message.fingerprint);
        if ring.is_none() {
            tracing::warn!(
                change = message.change,
                "the ring cannot be computed: requests go to any node, which forwards them"
            );
        }
        Self {
            version,
            cluster_id: message.cluster_id,
            change: message.change,
            nodes,
            ring,
        }
    }

    /// Tells it from others; opaque.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The id of the cluster.
    pub fn cluster_id(&self) -> u64 {
        self.cluster_id
    }

    /// The number of the membership change that led to the ring: it never falls.
    pub fn change(&self) -> u64 {
        self.change
    }

    /// The members, ascending by id; behind a gateway the seeds, each as a node.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A member. O(log members).
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        let at = self.nodes.binary_search_by_key(&id, |node| node.id).ok()?;
        self.nodes.get(at)
    }

    /// Who keeps which keys; `None` behind a gateway, or if this release computes another ring than the cluster.
    pub fn ring(&self) -> Option<&PartitionRing> {
        self.ring.as_ref()
    }

    pub(crate) fn is_reachable(&self, id: NodeId) -> bool {
        self.node(id).is_some_and(|node| !node.address.is_empty())
    }

    /// Whether it is to be taken in place of `known`: of the same cluster, and not of an earlier change. Nodes that hear of a change
    /// one after the other tell different things for a moment.
    pub(crate) fn replaces(&self, known: &Self) -> bool {
        self.cluster_id == known.cluster_id
            && self.change >= known.change
            && self.version != known.version
    }
}

impl From<pb::TopologyNode> for Node {
    fn from(message: pb::TopologyNode) -> Self {
        Self {
            id: NodeId(message.id),
            status: message.status(),
            name: message.name,
            address: message.address,
            zone: Zone::from(message.zone),
            // No node weighs nothing; if one says so, the ring's fingerprint tells.
            weight: NonZeroU32::new(message.weight).unwrap_or(NonZeroU32::MIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{topology, topology_message};

    use super::*;

    #[test]
    fn a_ring_that_is_not_the_clusters_is_not_used() {
        assert!(topology(5, true).ring().is_some());
        let mut message = topology_message(5);
        message.fingerprint += 1;
        assert!(Topology::new(1, message).ring().is_none());
        let mut message = topology_message(5);
        message.partitions = 3;
        assert!(Topology::new(1, message).ring().is_none());
    }

    #[test]
    fn an_earlier_change_or_another_cluster_does_not_replace_what_is_known() {
        let told = |version, change, cluster_id| {
            let message = pb::Topology {
                change,
                cluster_id,
                ..topology_message(3)
            };
            Topology::new(version, message)
        };
        let known = told(1, 5, 9);
        assert!(told(2, 6, 9).replaces(&known));
        assert!(told(2, 5, 9).replaces(&known), "an address has changed");
        assert!(!told(1, 5, 9).replaces(&known));
        assert!(!told(2, 4, 9).replaces(&known));
        assert!(!told(2, 6, 8).replaces(&known));
    }
}
