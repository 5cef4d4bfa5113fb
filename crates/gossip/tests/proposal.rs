//! Who proposes what.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use dynamokv_gossip::{Candidate, Change, ClusterFacts, Pending, Status, Wait, Wish, Wishes};
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
        replaces: None,
    }
}

/// A live node that wants the place of `dead`.
fn heir(id: u64, dead: u64) -> Candidate {
    Candidate {
        replaces: Some(NodeId(dead)),
        ..candidate(id, Status::Replacing, true)
    }
}

fn propose(
    facts: &ClusterFacts,
    me: NodeId,
    candidates: &[Candidate],
    remove: &BTreeSet<NodeId>,
) -> Option<Change> {
    wishes(facts, candidates, remove).change(me)
}

fn wishes<'a>(
    facts: &'a ClusterFacts,
    candidates: &'a [Candidate],
    remove: &'a BTreeSet<NodeId>,
) -> Wishes<'a> {
    const NOBODY: &BTreeSet<NodeId> = &BTreeSet::new();
    Wishes {
        facts,
        candidates,
        remove,
        left: NOBODY,
    }
}

/// What waits, and for what.
fn waits(wishes: Wishes<'_>) -> Vec<(u64, Wish, Option<Wait>)> {
    let plain = |pending: Pending| (pending.node.0, pending.wish, pending.waits_for);
    wishes.pending().into_iter().map(plain).collect()
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
        // Those that nobody could take the data from stay.
        let target = if target.is_empty() {
            members.iter().copied().filter(|id| !remove.contains(&NodeId(*id))).collect()
        } else {
            target
        };
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
            opened.open(change.clone()).unwrap();
            prop_assert_eq!(propose(&opened, NodeId(*proposer), &candidates, &remove), None);

            // What the proposal grants waits for its proposer, and what it does not grant goes on waiting.
            let granted = Some(Wait::Proposal(NodeId(*proposer)));
            let left = waits(wishes(&opened, &candidates, &remove));
            for (node, wish, wait) in waits(wishes(&facts, &candidates, &remove)) {
                let still = left.iter().any(|(other, ..)| *other == node);
                prop_assert_eq!(wait == granted, !still, "{} wants to {}: {:?}", node, wish, wait);
            }
            opened.finish(change.id()).unwrap();
            prop_assert_eq!(propose(&opened, NodeId(*proposer), &candidates, &remove), None, "granted at once");
        } else {
            let granted = |(_, _, wait): (u64, Wish, Option<Wait>)| matches!(wait, Some(Wait::Proposal(_)));
            let due = waits(wishes(&facts, &candidates, &remove)).into_iter().any(granted);
            prop_assert!(!due || target.is_empty(), "nothing is granted without a proposal");
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

#[test]
fn a_node_takes_the_place_of_a_dead_one_in_one_change() {
    let facts = facts(&BTreeSet::from([1, 2, 3]));
    let mut candidates = vec![
        candidate(1, Status::Up, true),
        candidate(2, Status::Up, true),
        candidate(3, Status::Up, true),
        heir(9, 3),
    ];
    let wish = Wish::Replace(NodeId(3));
    let nobody = BTreeSet::new();
    let alive = wishes(&facts, &candidates, &nobody);
    assert_eq!(waits(alive), [(9, wish, Some(Wait::StillLive(NodeId(3))))]);
    assert_eq!(alive.change(NodeId(1)), None, "not a further node");
    assert_eq!(alive.replaced(NodeId(1)), []);

    candidates[2].live = false;
    let dead = wishes(&facts, &candidates, &nobody);
    assert_eq!(waits(dead), [(9, wish, Some(Wait::Removal(NodeId(3))))]);
    assert_eq!(dead.change(NodeId(1)), None, "not before the removal");
    assert_eq!(dead.replaced(NodeId(1)), [NodeId(3)]);
    assert_eq!(dead.replaced(NodeId(2)), [], "not its turn");

    let remove = BTreeSet::from([NodeId(3)]);
    let fenced = wishes(&facts, &candidates, &remove);
    assert_eq!(fenced.replaced(NodeId(1)), [], "asked for already");
    let change = fenced.change(NodeId(1)).unwrap();
    assert_eq!(ids(&change), [1, 2, 9]);
    assert_eq!(change.removing, [NodeId(3)]);
}

#[test]
fn a_place_that_nobody_has_is_not_given_away_and_one_that_became_free_is() {
    let facts = facts(&BTreeSet::from([1, 2]));
    let candidates = [
        candidate(1, Status::Up, true),
        candidate(2, Status::Up, true),
        heir(9, 7),
    ];
    let (nobody, left) = (BTreeSet::new(), BTreeSet::from([NodeId(7)]));
    let unknown = wishes(&facts, &candidates, &nobody);
    let wish = Wish::Replace(NodeId(7));
    assert_eq!(waits(unknown), [(9, wish, Some(Wait::Unknown(NodeId(7))))]);
    assert_eq!(unknown.change(NodeId(1)), None);

    let removed_before = Wishes {
        left: &left,
        ..unknown
    };
    let change = removed_before.change(NodeId(1)).unwrap();
    assert_eq!((ids(&change), change.removing), (vec![1, 2, 9], vec![]));
}

#[test]
fn joins_leaves_removals_replacements_and_weights_go_into_one_change_and_later_ones_wait_for_it() {
    let mut facts = facts(&BTreeSet::from([1, 2, 3, 4, 5]));
    let mut heavy = candidate(2, Status::Up, true);
    heavy.member.weight = NonZeroU32::new(300).unwrap();
    let mut candidates = vec![
        candidate(1, Status::Up, true),
        heavy.clone(),
        candidate(3, Status::Leaving, true),
        candidate(4, Status::Up, false),
        candidate(5, Status::Up, false),
        candidate(6, Status::Joining, true),
        candidate(7, Status::Joining, false),
        heir(8, 5),
    ];
    let remove = BTreeSet::from([NodeId(4), NodeId(5)]);
    let change = wishes(&facts, &candidates, &remove)
        .change(NodeId(1))
        .unwrap();
    assert_eq!(ids(&change), [1, 2, 6, 8]);
    assert_eq!(change.removing, [NodeId(4), NodeId(5)]);
    assert_eq!(change.target.member(NodeId(2)), Some(&heavy.member));

    let open = change.id();
    facts.open(change).unwrap();
    candidates[0].member.zone = "east".into();
    candidates[1].status = Status::Leaving;
    candidates.push(candidate(9, Status::Joining, true));
    let remove = BTreeSet::from([NodeId(4), NodeId(5), NodeId(6)]);
    let behind = Some(Wait::Change(open));
    let expected = [
        (1, Wish::Alter, behind),
        (2, Wish::Leave, behind),
        (6, Wish::Remove, behind),
        (7, Wish::Join, Some(Wait::Down)),
        (9, Wish::Join, behind),
    ];
    assert_eq!(waits(wishes(&facts, &candidates, &remove)), expected);
}

#[test]
fn the_last_member_stays() {
    let facts = facts(&BTreeSet::from([1]));
    let candidates = [candidate(1, Status::Leaving, true)];
    let nobody = BTreeSet::new();
    let last = wishes(&facts, &candidates, &nobody);
    assert_eq!(last.change(NodeId(1)), None);
    assert_eq!(waits(last), [(1, Wish::Leave, Some(Wait::Others))]);
}
