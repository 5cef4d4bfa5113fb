use std::collections::{BTreeMap, BTreeSet};

use dynamokv_ring::{Member, NodeId};

use crate::{Change, ClusterFacts, Status, Target};

/// A node as a proposer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id, and the weight and zone that it asks for.
    pub member: Member,
    /// Its status.
    pub status: Status,
    /// Whether it counts as live.
    pub live: bool,
}

/// The change that this node should propose now, if any.
///
/// When no change is open, the live member of the current ring with the lowest id proposes one that adds all live nodes
/// that want in, lets go all live ones that are leaving, removes those that an operator asked to `remove`, and takes over
/// new weights and zones of the rest. It never leads to an empty ring. Two nodes that disagree on who is live may both
/// propose; [`ClusterFacts`] settles that.
///
/// The proposer makes the change durable before it gossips it. O(candidates * log candidates).
pub fn propose(
    facts: &ClusterFacts,
    me: NodeId,
    candidates: &[Candidate],
    remove: &BTreeSet<NodeId>,
) -> Option<Change> {
    let current = &facts.current;
    if facts.open.is_some() || !current.contains(me) || remove.contains(&me) {
        return None;
    }
    let live = || candidates.iter().filter(|candidate| candidate.live);
    let lower = |candidate: &Candidate| {
        let id = candidate.member.id;
        id < me && current.contains(id) && !remove.contains(&id)
    };
    if live().any(lower) {
        return None;
    }

    let mut members: BTreeMap<NodeId, Member> = current
        .members
        .iter()
        .map(|member| (member.id, member.clone()))
        .collect();
    for candidate in live() {
        let id = candidate.member.id;
        if candidate.status == Status::Leaving {
            members.remove(&id);
        } else if current.contains(id) || candidate.status.wants_in() {
            members.insert(id, candidate.member.clone());
        }
    }
    members.retain(|id, _| !remove.contains(id));
    let members: Vec<Member> = members.into_values().collect();
    if members.is_empty() || members == current.members {
        return None;
    }
    Some(Change {
        proposer: me,
        target: Target {
            number: current.number.checked_add(1)?,
            replicas: current.replicas,
            members,
        },
        removing: remove
            .iter()
            .copied()
            .filter(|id| current.contains(*id))
            .collect(),
    })
}
