//! Whom to ask next.

use dynamokv_ring::{NodeId, Placement, Token};

use crate::Topology;

/// The node to send the next attempt to, of those that were not `tried`: a replica of the token as a rule, and one that is not
/// `avoided`. Beyond that come the other members in the order in which they stand in, then whoever is avoided. `dice` spreads the
/// requests over the replicas. `None` if all were tried, or nobody is known.
///
/// O(N) without allocation while a replica is left, O(members x log members) beyond.
pub(crate) fn next(
    topology: &Topology,
    token: Token,
    tried: &[NodeId],
    avoided: impl Fn(NodeId) -> bool,
    dice: u64,
) -> Option<NodeId> {
    let open = |node: &NodeId| !tried.contains(node) && topology.is_reachable(*node);
    let Some(ring) = topology.ring() else {
        let nodes: Vec<NodeId> = topology.nodes().iter().map(|node| node.id).collect();
        let mut rotated = rotated(&nodes, dice).filter(open);
        return rotated
            .clone()
            .find(|node| !avoided(*node))
            .or_else(|| rotated.next());
    };
    let owners = ring.owners(token);
    let good = rotated(owners, dice).find(|node| open(node) && !avoided(*node));
    good.or_else(|| {
        let others: Vec<NodeId> = ring.ranking(token).into_iter().filter(open).collect();
        let good = others.iter().copied().find(|node| !avoided(*node));
        good.or_else(|| others.first().copied())
    })
}

fn rotated(nodes: &[NodeId], dice: u64) -> impl Iterator<Item = NodeId> + Clone + '_ {
    let start = dice.checked_rem(nodes.len() as u64).unwrap_or(0) as usize;
    let (before, from) = nodes.split_at(start);
    from.iter().chain(before).copied()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::testing::topology;

    proptest! {
        /// Against a plain sort of all members by what they are to the key.
        #[test]
        fn the_best_class_of_nodes_that_is_left_is_asked(
            members in 1..12_u64,
            token in any::<u64>(),
            dice in any::<u64>(),
            tried in prop::collection::btree_set(1..14_u64, 0..8),
            avoided in prop::collection::btree_set(1..14_u64, 0..8),
            knows_the_ring in any::<bool>(),
        ) {
            let topology = topology(members, knows_the_ring);
            let token = Token(token);
            let tried: Vec<NodeId> = tried.into_iter().map(NodeId).collect();
            let avoided: BTreeSet<NodeId> = avoided.into_iter().map(NodeId).collect();
            let class = |node: &NodeId| {
                let owner = topology.ring().is_some_and(|ring| ring.owners(token).contains(node));
                match (owner, avoided.contains(node)) {
                    (true, false) => 0,
                    (false, false) => 1,
                    (_, true) => 2,
                }
            };
            let left: Vec<NodeId> = (1..=members).map(NodeId).filter(|node| !tried.contains(node)).collect();
            let next = next(&topology, token, &tried, |node| avoided.contains(&node), dice);
            prop_assert_eq!(next.is_some(), !left.is_empty());
            if let Some(node) = next {
                prop_assert!(left.contains(&node));
                prop_assert_eq!(class(&node), left.iter().map(class).min().unwrap());
            }
        }
    }

    #[test]
    fn requests_are_spread_over_the_replicas() {
        let topology = topology(5, true);
        let mut counts = BTreeMap::new();
        for dice in 0..300 {
            let node = next(&topology, Token(7), &[], |_| false, dice).unwrap();
            *counts.entry(node).or_insert(0) += 1;
        }
        assert_eq!(counts.into_values().collect::<Vec<u32>>(), [100, 100, 100]);
    }
}
