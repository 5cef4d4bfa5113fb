//! Two rival proposals, every interleaving of a small cluster: at most one of them gets past the announcement.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};

use dynamokv_gossip::{
    Change, ChangeId, ChangeProgress, ChangeView, ClusterFacts, Stage, StageMark, Target,
};
use dynamokv_ring::{Member, NodeId, Placement};
use proptest::prelude::*;

/// What one node knows. A node's marks are learned in the order in which they were made: the latest counts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    facts: ClusterFacts,
    progress: ChangeProgress,
    /// The greatest number of marks seen of each node, and the last of them.
    seen: BTreeMap<NodeId, (u32, Option<StageMark>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct World {
    nodes: BTreeMap<NodeId, Node>,
}

struct Scenario {
    founded: ClusterFacts,
    outsiders: Vec<u64>,
    rivals: Vec<Change>,
    fenced: BTreeSet<NodeId>,
    /// Nodes go no further than this, to bound the enumeration.
    last: Stage,
}

fn members(ids: &[u64]) -> Vec<Member> {
    ids.iter().map(|id| Member::new(NodeId(*id))).collect()
}

fn founded(ids: &[u64]) -> ClusterFacts {
    let mut facts = ClusterFacts::found(1, "test", 8, 3, Member::new(NodeId(1))).unwrap();
    facts.current.members = members(ids);
    facts
}

fn change(proposer: u64, ids: &[u64], removing: &[u64]) -> Change {
    Change {
        proposer: NodeId(proposer),
        target: Target {
            number: 1,
            replicas: 3,
            members: members(ids),
        },
        removing: removing.iter().map(|id| NodeId(*id)).collect(),
    }
}

impl Scenario {
    fn start(&self) -> World {
        let ids = self
            .founded
            .current
            .ids()
            .chain(self.outsiders.iter().map(|id| NodeId(*id)));
        let node = |id| Node {
            facts: self.founded.clone(),
            progress: ChangeProgress::new(id, None),
            seen: BTreeMap::new(),
        };
        World {
            nodes: ids.map(|id| (id, node(id))).collect(),
        }
    }

    /// All worlds one action away.
    fn next(&self, world: &World) -> Vec<World> {
        let mut next = Vec::new();
        for rival in &self.rivals {
            let mut changed = world.clone();
            let proposer = changed.nodes.get_mut(&rival.proposer).unwrap();
            if proposer.facts.current.number == 0 && proposer.facts.open(rival.clone()).is_ok() {
                next.push(changed);
            }
        }
        for id in world.nodes.keys() {
            next.extend(self.step(world, *id));
            for other in world.nodes.keys().filter(|other| *other != id) {
                let mut changed = world.clone();
                let from = world.nodes[other].clone();
                changed
                    .nodes
                    .get_mut(id)
                    .unwrap()
                    .hear(*id, *other, &from, &self.fenced);
                next.push(changed);
            }
        }
        next.retain(|changed| changed != world);
        next
    }

    fn step(&self, world: &World, id: NodeId) -> Option<World> {
        let node = &world.nodes[&id];
        let step = node.progress.next_step(&node.facts, &node.view())?;
        if step.stage > self.last {
            return None;
        }
        let mut changed = world.clone();
        changed.nodes.get_mut(&id).unwrap().enter(id, step);
        Some(changed)
    }

    /// Visits every world that can be reached; returns how many there are.
    fn explore(&self) -> usize {
        let mut open = vec![self.start()];
        let mut seen = BTreeSet::from([open[0].key()]);
        while let Some(world) = open.pop() {
            assert_safe(&world);
            let next = self.next(&world);
            if next.is_empty() {
                self.assert_done(&world);
            }
            open.extend(
                next.into_iter()
                    .filter(|changed| seen.insert(changed.key())),
            );
        }
        seen.len()
    }

    /// Where nothing can happen any more, one change has come as far as it may with everybody that it needs.
    fn assert_done(&self, world: &World) {
        let done = self.rivals.iter().any(|rival| {
            let mut facts = self.founded.clone();
            facts.open(rival.clone()).unwrap();
            let mark = StageMark {
                change: rival.id(),
                stage: self.last,
            };
            let at = |id: &NodeId| world.nodes[id].progress.mark() == Some(mark);
            facts.needed().iter().all(at)
        });
        assert!(done, "stuck: {world:#?}");
    }
}

impl World {
    /// What tells worlds of one scenario apart.
    fn key(&self) -> Vec<u8> {
        let small = |number: u64| u8::try_from(number).unwrap();
        let mark = |mark: Option<StageMark>| {
            mark.map_or([0, 0], |mark| {
                [small(mark.change.proposer.0), mark.stage as u8]
            })
        };
        let mut key = Vec::new();
        for node in self.nodes.values() {
            key.push(small(
                node.facts.open_id().map_or(0, |open| open.proposer.0),
            ));
            key.extend(mark(node.progress.mark()));
            for (id, (count, seen)) in &node.seen {
                key.extend([small(id.0), small(u64::from(*count))]);
                key.extend(mark(*seen));
            }
            key.push(u8::MAX);
        }
        key
    }
}

impl Node {
    fn view(&self) -> ChangeView {
        let marks = self
            .seen
            .iter()
            .filter_map(|(id, (_, mark))| Some((*id, (*mark)?)));
        ChangeView {
            marks: marks.collect(),
            excused: BTreeSet::new(),
        }
    }

    fn enter(&mut self, id: NodeId, step: StageMark) {
        let view = self.view();
        self.progress.entered(step, &self.facts, &view).unwrap();
        let own = self.seen.entry(id).or_default();
        *own = (own.0 + 1, Some(step));
    }

    fn hear(&mut self, me: NodeId, from: NodeId, other: &Node, fenced: &BTreeSet<NodeId>) {
        let mark = self.progress.mark();
        self.facts
            .adopt(me, &other.facts, from, fenced, mark)
            .unwrap();
        // An acknowledgement of the loser is taken back.
        if let (Some(open), Some((count, own))) = (self.facts.open_id(), self.seen.get_mut(&me))
            && own.is_some_and(|own| own.change != open)
        {
            *count += 1;
            *own = None;
        }
        for (id, theirs) in &other.seen {
            let own = self.seen.entry(*id).or_default();
            if theirs.0 > own.0 {
                *own = *theirs;
            }
        }
    }
}

fn assert_safe(world: &World) {
    let marks: Vec<StageMark> = world
        .nodes
        .values()
        .filter_map(|node| node.progress.mark())
        .collect();
    let past: BTreeSet<ChangeId> = marks
        .iter()
        .filter(|mark| mark.stage > Stage::Announced)
        .map(|mark| mark.change)
        .collect();
    assert!(past.len() <= 1, "two changes are under way: {world:#?}");
    for node in world.nodes.values() {
        let Some(mark) = node
            .progress
            .mark()
            .filter(|mark| node.facts.open_id() == Some(mark.change))
        else {
            continue;
        };
        for needed in node.facts.needed() {
            let theirs = world.nodes[&needed]
                .progress
                .mark()
                .and_then(|theirs| theirs.stage_of(mark.change));
            assert!(
                theirs >= mark.stage.before(),
                "{needed} is left behind: {world:#?}"
            );
        }
    }
}

#[test]
fn of_a_join_and_a_leave_the_lower_proposers_wins_in_every_interleaving() {
    let scenario = Scenario {
        founded: founded(&[1, 2]),
        outsiders: vec![3],
        rivals: vec![change(1, &[1, 2, 3], &[]), change(2, &[2], &[])],
        fenced: BTreeSet::new(),
        last: Stage::Double,
    };
    let worlds = scenario.explore();
    assert!(worlds > 500, "{worlds}");
}

#[test]
fn a_member_without_a_proposal_may_change_its_mind_only_at_the_announcement() {
    let scenario = Scenario {
        founded: founded(&[1, 2, 3]),
        outsiders: vec![],
        rivals: vec![change(1, &[1, 2], &[]), change(2, &[1, 3], &[])],
        fenced: BTreeSet::new(),
        last: Stage::Double,
    };
    let worlds = scenario.explore();
    assert!(worlds > 500, "{worlds}");
}

#[test]
fn a_lower_rival_of_a_member_that_is_removed_does_not_split_the_others() {
    // Node 1 is declared dead, but runs on with a proposal of its own; node 9 belongs to no ring and gossips too.
    let scenario = Scenario {
        founded: founded(&[1, 2, 3]),
        outsiders: vec![9],
        rivals: vec![change(1, &[1, 3], &[]), change(2, &[2, 3], &[1])],
        fenced: BTreeSet::new(),
        last: Stage::Double,
    };
    let worlds = scenario.explore();
    assert!(worlds > 500, "{worlds}");
}

#[test]
fn a_change_runs_through_all_stages_in_every_interleaving() {
    let scenario = Scenario {
        founded: founded(&[1]),
        outsiders: vec![2],
        rivals: vec![change(1, &[1, 2], &[])],
        fenced: BTreeSet::new(),
        last: Stage::Finished,
    };
    assert!(scenario.explore() > 50);
}

#[test]
fn stages_out_of_turn_and_superseded_changes_are_refused() {
    let mut facts = founded(&[1, 2]);
    let view = ChangeView::default();
    let mut progress = ChangeProgress::new(NodeId(1), None);
    let step = |proposer, stage| StageMark {
        change: ChangeId {
            number: 1,
            proposer: NodeId(proposer),
        },
        stage,
    };
    assert!(
        progress
            .entered(step(2, Stage::Announced), &facts, &view)
            .is_err(),
        "nothing is open"
    );
    facts.open(change(2, &[1], &[])).unwrap();
    assert!(
        progress
            .entered(step(2, Stage::Double), &facts, &view)
            .is_err(),
        "a stage is skipped"
    );
    assert!(
        progress
            .entered(step(1, Stage::Announced), &facts, &view)
            .is_err(),
        "another change"
    );
    progress
        .entered(step(2, Stage::Announced), &facts, &view)
        .unwrap();
    assert_eq!(progress.next_step(&facts, &view), None);
    assert_eq!(progress.blocked_by(&facts, &view), [NodeId(2)]);
    assert!(
        progress
            .entered(step(2, Stage::Double), &facts, &view)
            .is_err(),
        "node 2 is behind"
    );
    assert_eq!(progress.mark(), Some(step(2, Stage::Announced)));

    let rival = ClusterFacts {
        open: Some(change(1, &[1], &[])),
        ..founded(&[1, 2])
    };
    facts.merge(&rival).unwrap();
    assert_eq!(
        progress.next_step(&facts, &view),
        Some(step(1, Stage::Announced)),
        "begins anew"
    );
}

/// Facts as one history could make them: at each number, any of a few rivals, one of which wins.
fn facts() -> impl Strategy<Value = ClusterFacts> {
    (0u64..4, 0u64..4).prop_map(|(number, proposer)| {
        let mut facts = founded(&[1, 2, 3]);
        facts.current.number = number;
        facts.open = (proposer > 0).then(|| Change {
            target: Target {
                number: number + 1,
                replicas: 3,
                members: members(&[1, 2, 3, 3 + proposer]),
            },
            ..change(proposer, &[], &[])
        });
        facts
    })
}

fn merged(a: &ClusterFacts, b: &ClusterFacts) -> ClusterFacts {
    let mut merged = a.clone();
    let changed = merged.merge(b).unwrap();
    assert_eq!(changed, merged != *a);
    merged
}

proptest! {
    #[test]
    fn merging_facts_is_commutative_associative_and_idempotent(a in facts(), b in facts(), c in facts()) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &a), a.clone());
        // The digests show whenever there is something to learn.
        let news = a.digest().is_news_for(Some(b.digest()));
        prop_assert!(news || merged(&a, &b) == b);
    }
}

#[test]
fn facts_of_another_cluster_or_damaged_ones_change_nothing() {
    let ours = founded(&[1, 2]);
    let spoilers: [fn(&mut ClusterFacts); 9] = [
        |facts| facts.cluster_id = 2,
        |facts| facts.cluster_id = 0,
        |facts| facts.cluster_name = "other".to_owned(),
        |facts| facts.partitions = 16,
        |facts| facts.partitions = 7,
        |facts| facts.current.replicas = 0,
        |facts| facts.current.members.clear(),
        |facts| facts.current.members.reverse(),
        |facts| facts.open.as_mut().unwrap().target.number = 3,
    ];
    for (index, spoil) in spoilers.iter().enumerate() {
        let mut theirs = founded(&[1, 2]);
        theirs.open(change(1, &[1, 2, 3], &[])).unwrap();
        spoil(&mut theirs);
        let mut merged = ours.clone();
        assert!(merged.merge(&theirs).is_err(), "case {index}");
        assert_eq!(merged, ours);
    }
}

#[test]
fn a_change_opens_once_and_ends_as_itself() {
    let mut facts = founded(&[1, 2]);
    facts.open(change(1, &[1, 2, 3], &[])).unwrap();
    assert!(facts.open(change(2, &[1, 2], &[])).is_err());
    let other = change(2, &[1], &[]).id();
    assert!(facts.finish(other).is_err());
    assert_eq!(facts.next_ring().unwrap().map(|ring| ring.fingerprint()), {
        let next = founded(&[1, 2, 3]);
        Some(next.current_ring().unwrap().fingerprint())
    });
    facts.finish(change(1, &[], &[]).id()).unwrap();
    assert_eq!(facts.current.number, 1);
    assert!(facts.current.contains(NodeId(3)) && facts.open.is_none());
}

#[test]
fn a_newcomer_lets_go_the_change_of_a_dead_proposer_until_it_acknowledged_it() {
    // Node 1 showed its change to newcomer 4 only, and died; the members are about to remove it.
    let (newcomer, none) = (NodeId(4), BTreeSet::new());
    let with = |change: Change| {
        let mut facts = founded(&[1, 2, 3]);
        facts.open(change).unwrap();
        facts
    };
    let lost = with(change(1, &[1, 2, 3, 4], &[]));
    let wins = with(change(2, &[2, 3, 4], &[1]));
    let mut held = lost.clone();
    assert_eq!(
        held.adopt(newcomer, &wins, NodeId(2), &none, None),
        Ok(true)
    );
    assert_eq!(held, wins);

    let acknowledged = StageMark {
        change: lost.open_id().unwrap(),
        stage: Stage::Announced,
    };
    let mut held = lost.clone();
    assert_eq!(
        held.adopt(newcomer, &wins, NodeId(2), &none, Some(acknowledged)),
        Ok(false)
    );
    // A member keeps to the order.
    let mut held = lost.clone();
    assert_eq!(
        held.adopt(NodeId(3), &wins, NodeId(2), &none, None),
        Ok(false)
    );
    assert_eq!(held, lost);
}
