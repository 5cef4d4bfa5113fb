//! Who proposes what.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use dynamokv_gossip::{Candidate, Change, ClusterFacts, Status, propose};
use dynamokv_ring::{Member, NodeId};
use proptest::prelude::*;

fn facts(members: &BTreeSet<u64>) -> ClusterFacts {
    let mut facts = ClusterFacts::found(1, "test", 8, 3, Member::new(NodeId(0))).unwrap();
    facts.current.members = members.iter().map(|id| Member::new(NodeId(*id))).collect();
    facts
}

fn candidate(id: u64, status: Status, live: bool) -> Candidate {
    Candidate {
        member: Member::new(NodeId(id)),
        status,
        live,
    }
}

fn ids(change: &Change) -> Vec<u64> {
    change.target.ids().map(|id| id.0).collect()
}

fn status() -> impl Strategy<Value = Status> {
    proptest::sample::select(&Status::ALL[..5])
}

proptest! {
    #[test]
    fn one_node_proposes_the_rule_and_the_result_opens(
        members in proptest::collection::btree_set(0u64..8, 1..6),
        nodes in proptest::collection::vec((status(), any::<bool>()), 8),
        remove in proptest::collection::btree_set(0u64..8, 0..3),
    ) {
        let facts = facts(&members);
        let remove: BTreeSet<NodeId> = remove.into_iter().map(NodeId).collect();
        let candidates: Vec<Candidate> = nodes
            .iter()
            .enumerate()
            .map(|(id, (status, live))| candidate(id as u64, *status, *live))
            .collect();
        let is_live = |id: u64| nodes[id as usize].1;
        let proposers: Vec<u64> = (0..8)
            .filter(|id| is_live(*id))
            .filter(|id| propose(&facts, NodeId(*id), &candidates, &remove).is_some())
            .collect();
        prop_assert!(proposers.len() <= 1, "{proposers:?}");

        // The rule, told node by node.
        let target: Vec<u64> = (0..8)
            .filter(|id| {
                let (status, live) = nodes[*id as usize];
                let stays = members.contains(id) && !(status == Status::Leaving && live);
                let enters = live && matches!(status, Status::Joining | Status::Replacing);
                (stays || enters) && !remove.contains(&NodeId(*id))
            })
            .collect();
        let able = members.iter().find(|id| is_live(**id) && !remove.contains(&NodeId(**id)));
        let due = !target.is_empty() && !target.iter().eq(members.iter());
        prop_assert_eq!(proposers.first(), able.filter(|_| due));

        if let Some(proposer) = proposers.first() {
            let change = propose(&facts, NodeId(*proposer), &candidates, &remove).unwrap();
            prop_assert_eq!(ids(&change), target);
            let removing: Vec<u64> = change.removing.iter().map(|id| id.0).collect();
            let expected: Vec<u64> =
                members.iter().copied().filter(|id| remove.contains(&NodeId(*id))).collect();
            prop_assert_eq!(removing, expected);
            let mut opened = facts.clone();
            opened.open(change).unwrap();
            prop_assert_eq!(propose(&opened, NodeId(*proposer), &candidates, &remove), None);
        }
    }
}

#[test]
fn a_new_weight_of_a_live_member_is_a_change() {
    let facts = facts(&BTreeSet::from([1, 2]));
    let mut heavy = candidate(2, Status::Up, true);
    heavy.member.weight = NonZeroU32::new(300).unwrap();
    let candidates = [candidate(1, Status::Up, true), heavy.clone()];
    let change = propose(&facts, NodeId(1), &candidates, &BTreeSet::new()).unwrap();
    assert_eq!(change.target.member(NodeId(2)), Some(&heavy.member));

    heavy.live = false;
    let candidates = [candidate(1, Status::Up, true), heavy];
    assert_eq!(
        propose(&facts, NodeId(1), &candidates, &BTreeSet::new()),
        None
    );
}
