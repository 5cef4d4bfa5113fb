//! "Nobody goes ahead of the others through a membership change."
//!
//! At any time, whoever is at a stage of the open change, all needed nodes have come to the one before at least: only then does
//! everybody write to the ring that anybody reads from. Those that everybody has given up are not needed.

use std::collections::{BTreeMap, BTreeSet};

use dynamokv::gossip::{ClusterFacts, StageMark};
use dynamokv::ring::NodeId;

use super::Violation;

const NAME: &str = "stages_stay_in_step";

/// How far one node has come.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it takes for agreed.
    pub facts: ClusterFacts,
    /// What it has said.
    pub mark: Option<StageMark>,
    /// Whom it does not wait for.
    pub excused: BTreeSet<NodeId>,
}

/// Looks at all nodes that run, at one moment.
///
/// # Errors
/// One that is ahead.
pub fn check(steps: &BTreeMap<NodeId, Step>) -> Result<(), Violation> {
    for (node, step) in steps {
        let Some(change) = step.facts.open_id() else {
            continue;
        };
        let at = |mark: Option<StageMark>| mark.and_then(|mark| mark.stage_of(change));
        let Some(stage) = at(step.mark) else {
            continue;
        };
        for needed in step.facts.needed().difference(&step.excused) {
            let Some(other) = steps.get(needed) else {
                continue;
            };
            // Who has finished the change may be at a stage of the next one.
            let has_finished = other.facts.current.number >= change.number;
            if !has_finished && at(other.mark) < stage.before() {
                let behind = at(other.mark).map_or("none".to_owned(), |stage| stage.to_string());
                let story =
                    format!("{node} is at {stage} of change {change}, and {needed} at {behind}");
                return Err(Violation::of_cluster(NAME, story));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dynamokv::gossip::{Change, Stage, Target};
    use dynamokv::ring::Member;

    use super::super::testing::story;
    use super::*;

    /// Nodes 1 and 2, of which 1 is at the one stage and 2 at the other.
    fn steps(one: Stage, other: Option<Stage>) -> BTreeMap<NodeId, Step> {
        let members = [1, 2].map(|id| Member::new(NodeId(id)));
        let mut facts = ClusterFacts::found(1, "test", 8, 2, members[0].clone()).unwrap();
        facts.current.members = members.to_vec();
        let target = Target {
            number: 1,
            ..facts.current.clone()
        };
        facts
            .open(Change {
                proposer: NodeId(1),
                target,
                removing: vec![],
            })
            .unwrap();
        let change = facts.open_id().unwrap();
        let step = |stage: Option<Stage>| Step {
            facts: facts.clone(),
            mark: stage.map(|stage| StageMark { change, stage }),
            excused: BTreeSet::new(),
        };
        [(NodeId(1), step(Some(one))), (NodeId(2), step(other))].into()
    }

    #[test]
    fn who_is_at_the_next_change_has_finished_this_one() {
        let mut steps = steps(Stage::SingleNew, Some(Stage::Finished));
        let Some(ahead) = steps.get_mut(&NodeId(2)) else {
            unreachable!("two nodes");
        };
        let finished = ahead.facts.open_id().unwrap();
        ahead.facts.finish(finished).unwrap();
        ahead.mark = None;
        assert_eq!(check(&steps), Ok(()));
    }

    #[test]
    fn one_stage_apart_is_right_and_two_are_wrong() {
        for stage in Stage::ALL {
            let before = stage.before();
            assert_eq!(check(&steps(stage, Some(stage))), Ok(()));
            assert_eq!(check(&steps(stage, before)), Ok(()));
            let Some(before) = before else { continue };
            let mut ahead = steps(stage, before.before());
            assert!(story(check(&ahead)).contains("is at"), "{stage}");
            ahead.get_mut(&NodeId(1)).unwrap().excused.insert(NodeId(2));
            assert_eq!(check(&ahead), Ok(()), "{stage}");
        }
    }

    #[test]
    fn a_node_that_is_down_says_nothing() {
        let mut alone = steps(Stage::Finished, None);
        alone.remove(&NodeId(2));
        assert_eq!(check(&alone), Ok(()));
    }
}
