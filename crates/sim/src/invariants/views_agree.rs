//! "Everybody knows who is there, and who left stays away."
//!
//! At the end all nodes know the same lives of the same members (`settles_in_time` waits for their latest words) and remember the same ones as left, none of
//! whom is still there (no false removal). At any time: whom a node remembers as left, it does not take for a
//! member again (no resurrection; the memory of the left outlasts every run).

use std::collections::{BTreeMap, BTreeSet};

use dynamokv::gossip::Snapshot;
use dynamokv::ring::NodeId;

use super::Violation;
use crate::end::End;
use crate::history::History;

pub(super) const NAME: &str = "views_agree";

pub(super) fn check(_: &History, end: &End) -> Result<(), Violation> {
    let broken = |story| Err(Violation::of_cluster(NAME, story));
    let Some((first, agreed)) = end.nodes.iter().next() else {
        return Ok(());
    };
    for (node, kept) in &end.nodes {
        if let Some(id) = kept.seen.left.iter().find(|id| end.nodes.contains_key(id)) {
            return broken(format!("node {node} says that {id} left, but it is there"));
        }
        if known(&kept.seen) != known(&agreed.seen) {
            return broken(format!(
                "node {node} knows {:?}, node {first} {:?}",
                known(&kept.seen),
                known(&agreed.seen)
            ));
        }
    }
    Ok(())
}

/// The members with their generations, and who left.
fn known(seen: &Snapshot) -> (BTreeMap<NodeId, u64>, &[NodeId]) {
    let members = seen.members.iter();
    let lives = members.map(|(id, seen)| (*id, seen.state.generation));
    (lives.collect(), &seen.left)
}

/// Whom each life of a node knows to have left.
#[derive(Debug, Default)]
pub struct Farewells {
    gone: BTreeMap<(NodeId, u64), BTreeSet<NodeId>>,
}

impl Farewells {
    /// Takes the view that a node has now.
    ///
    /// # Errors
    /// If it takes somebody for a member whom it remembered as left.
    pub fn see(&mut self, observer: NodeId, seen: &Snapshot) -> Result<(), Violation> {
        let Some(own) = seen.members.get(&observer) else {
            return Ok(());
        };
        let life = (observer, own.state.generation);
        let gone = self.gone.entry(life).or_default();
        let risen = seen.members.keys().find(|id| gone.contains(id));
        if let Some(risen) = risen {
            let story = format!("node {observer} takes {risen}, who left, for a member again");
            return Err(Violation::of_cluster(NAME, story));
        }
        gone.extend(&seen.left);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use dynamokv::gossip::{Gossip, LocalNode, Seen};

    use super::super::testing::{Scene, story};
    use super::*;

    /// A view of the given members, all of that generation, and of who left.
    fn view(members: &[NodeId], generation: u64, left: &[NodeId]) -> Snapshot {
        let seen = |id: &NodeId| {
            let local = LocalNode::new(*id, generation, "a:1");
            let config = dynamokv::gossip::Config::new("test");
            let node = Gossip::new(config, local, vec![], 1, std::time::Instant::now());
            let state = node.unwrap().local().clone();
            let status = state.profile.status;
            let state = Arc::new(state);
            (
                *id,
                Seen {
                    live: true,
                    status,
                    state,
                },
            )
        };
        Snapshot {
            members: members.iter().map(seen).collect(),
            left: left.to_vec(),
            facts: None,
        }
    }

    fn ended(views: impl Fn(usize, &[NodeId]) -> Snapshot) -> Scene {
        let mut scene = Scene::new();
        let ids: Vec<NodeId> = scene.end.nodes.keys().copied().collect();
        for (nth, node) in scene.end.nodes.values_mut().enumerate() {
            node.seen = views(nth, &ids);
        }
        scene
    }

    #[test]
    fn equal_views_are_right() {
        let who_left = NodeId(99);
        let scene = ended(|_, ids| view(ids, 3, &[who_left]));
        assert_eq!(check(&scene.history, &scene.end), Ok(()));
    }

    #[test]
    fn a_view_that_is_behind_is_wrong() {
        let scene = ended(|nth, ids| view(ids, if nth == 1 { 2 } else { 3 }, &[]));
        assert!(story(check(&scene.history, &scene.end)).contains("knows"));
    }

    #[test]
    fn who_is_there_did_not_leave() {
        let scene = ended(|_, ids| view(ids, 3, &ids[..1]));
        assert!(story(check(&scene.history, &scene.end)).contains("but it is there"));
    }

    #[test]
    fn who_left_does_not_rise_again_in_one_life() {
        let (me, other) = (NodeId(1), NodeId(2));
        let mut farewells = Farewells::default();
        assert_eq!(farewells.see(me, &view(&[me, other], 1, &[])), Ok(()));
        assert_eq!(farewells.see(me, &view(&[me], 1, &[other])), Ok(()));
        assert!(farewells.see(me, &view(&[me, other], 1, &[])).is_err());
    }
}
