//! A stage that is not the next one, or comes too early, is refused with the reason, and nothing changes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use dynamokv_gossip::{
    Change, ChangeId, ChangeProgress, ChangeView, ClusterFacts, Error, Illegal, Stage, StageMark,
    Target,
};
use dynamokv_ring::{Member, NodeId};

const ME: NodeId = NodeId(1);
/// Leaves by itself, and is waited for.
const LEAVING: NodeId = NodeId(2);
/// Is removed, and is not waited for.
const REMOVED: NodeId = NodeId(3);
const JOINING: NodeId = NodeId(4);
const STRANGER: NodeId = NodeId(5);

fn members(ids: &[NodeId]) -> Vec<Member> {
    ids.iter().copied().map(Member::new).collect()
}

fn facts() -> ClusterFacts {
    let mut facts = ClusterFacts::found(1, "test", 8, 3, Member::new(ME)).unwrap();
    facts.current.members = members(&[ME, LEAVING, REMOVED]);
    facts
        .open(Change {
            proposer: ME,
            target: Target {
                number: 1,
                replicas: 3,
                members: members(&[ME, JOINING]),
            },
            removing: vec![REMOVED],
        })
        .unwrap();
    facts
}

fn open() -> ChangeId {
    facts().open_id().unwrap()
}

fn mark(stage: Stage) -> StageMark {
    StageMark {
        change: open(),
        stage,
    }
}

/// The marks of some nodes, all at one stage.
fn all_at(nodes: &[NodeId], stage: Option<Stage>) -> ChangeView {
    ChangeView {
        marks: stage
            .into_iter()
            .flat_map(|stage| nodes.iter().map(move |id| (*id, mark(stage))))
            .collect(),
        excused: BTreeSet::new(),
    }
}

fn stages() -> impl Iterator<Item = Option<Stage>> {
    std::iter::once(None).chain(Stage::ALL.map(Some))
}

fn refusal(result: Result<(), Error>) -> Option<Illegal> {
    match result {
        Ok(()) => None,
        Err(Error::IllegalStage { why, .. }) => Some(why),
        Err(other) => panic!("{other}"),
    }
}

/// Both ways of asking, and that a refusal leaves everything as it was.
fn ask(at: Option<Stage>, to: Stage, node: NodeId, view: &ChangeView) -> Option<Illegal> {
    let mut progress = ChangeProgress::new(node, at.map(mark));
    let before = progress.clone();
    let refused = refusal(progress.admit(mark(to), &facts(), view));
    assert_eq!(refusal(progress.entered(mark(to), &facts(), view)), refused);
    if refused.is_some() {
        assert_eq!(progress, before);
    } else {
        assert_eq!(progress.stage(&facts()), Some(to));
    }
    refused
}

#[test]
fn of_all_pairs_of_stages_only_those_that_follow_each_other_are_admitted() {
    // Everybody has come as far as can be: nobody is to be waited for.
    let view = all_at(&[ME, LEAVING, JOINING], Some(Stage::Finished));
    for (at, to) in stages().flat_map(|at| Stage::ALL.map(move |to| (at, to))) {
        let refused = ask(at, to, ME, &view);
        let expected = (Stage::after(at) != Some(to)).then_some(Illegal::OutOfTurn { at });
        assert_eq!(refused, expected, "{at:?} to {to}");
    }
}

#[test]
fn a_stage_waits_for_each_node_that_has_a_part_and_says_for_whom() {
    for at in stages() {
        let Some(to) = Stage::after(at) else { continue };
        let behind = at.and_then(Stage::before);
        for late in [ME, LEAVING, REMOVED, JOINING] {
            let others = [ME, LEAVING, JOINING].into_iter().filter(|id| *id != late);
            let others: Vec<NodeId> = others.collect();
            let mut view = all_at(&others, at);
            view.marks.extend(all_at(&[late], behind).marks);
            let nodes = vec![late];
            // What is its own it knows; nobody is needed for the announcement of a member; the removed one has no say.
            let waits = at.is_some() && late != ME && late != REMOVED;
            let expected = waits.then_some(Illegal::Early { nodes });
            assert_eq!(
                ask(at, to, ME, &view),
                expected,
                "{at:?} to {to}, {late} is late"
            );
            view.excused.insert(late);
            assert_eq!(ask(at, to, ME, &view), None, "{late} is excused");
        }
    }
}

#[test]
fn a_newcomer_announces_after_the_members() {
    let early = all_at(&[ME], Some(Stage::Announced));
    let nodes = vec![LEAVING];
    let refused = ask(None, Stage::Announced, JOINING, &early);
    assert_eq!(refused, Some(Illegal::Early { nodes }));
    let settled = all_at(&[ME, LEAVING], Some(Stage::Announced));
    assert_eq!(ask(None, Stage::Announced, JOINING, &settled), None);
}

#[test]
fn who_has_no_part_enters_no_stage() {
    let view = all_at(&[ME, LEAVING, JOINING], Some(Stage::Finished));
    for (node, to) in [REMOVED, STRANGER]
        .into_iter()
        .flat_map(|node| Stage::ALL.map(|to| (node, to)))
    {
        assert_eq!(ask(to.before(), to, node, &view), Some(Illegal::Outsider));
    }
}

#[test]
fn a_change_that_is_not_open_is_not_entered() {
    let view = all_at(&[ME, LEAVING, JOINING], Some(Stage::Finished));
    for other in [
        ChangeId {
            proposer: LEAVING,
            ..open()
        },
        ChangeId {
            number: 2,
            ..open()
        },
    ] {
        let mut progress = ChangeProgress::new(ME, None);
        let step = StageMark {
            change: other,
            stage: Stage::Announced,
        };
        let refused = progress.entered(step, &facts(), &view);
        assert_eq!(refused, Err(Error::ChangeNotOpen { change: other }));
    }
}

#[test]
fn a_refusal_says_what_is_wrong() {
    let view = all_at(&[ME], Some(Stage::Announced));
    let error = |at: Option<Stage>, to: Stage| {
        let progress = ChangeProgress::new(ME, at.map(mark));
        let refused = progress.admit(mark(to), &facts(), &view);
        refused.unwrap_err().to_string()
    };
    let skipped = error(Some(Stage::Announced), Stage::ReadNew);
    assert!(
        skipped.contains("is at announced, after which comes double"),
        "{skipped}"
    );
    let early = error(Some(Stage::Announced), Stage::Double);
    let (leaving, joining) = (LEAVING.to_string(), JOINING.to_string());
    assert!(
        early.contains(&leaving) && early.contains(&joining),
        "{early}"
    );
}
