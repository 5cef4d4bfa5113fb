//! "When all is quiet, it does not matter which replica I ask."
//!
//! At the end each key has as many owners as there should be, all of them members; their copies are
//! equal in values and context, and so are the canonical hashes; nobody else has a copy; and no
//! record is damaged.

use dynamokv::ring::NodeId;
use dynamokv::storage::{State, StateHash};

use super::view::View;
use super::{Violation, story};
use crate::end::End;
use crate::history::{History, Key};

pub(super) const NAME: &str = "replicas_converge";

pub(super) fn check(history: &History, end: &End) -> Result<(), Violation> {
    if let Some((node, kept)) = end.nodes.iter().find(|(_, kept)| kept.damaged > 0) {
        let story = format!(
            "node {node} has {} damaged records at the end",
            kept.damaged
        );
        return Err(Violation::of_cluster(NAME, story));
    }
    for (key, view) in View::of_each_key(history, end) {
        owners_are_right(&view, end)
            .and_then(|()| strangers_have_none(&view))
            .and_then(|()| copies_are_equal(key, &view))
            .map_err(|story| Violation::of_key(NAME, key, story))?;
    }
    Ok(())
}

fn owners_are_right(view: &View<'_>, end: &End) -> Result<(), String> {
    let Some(owners) = view.owners else {
        return if view.attempts.is_empty() && view.copies.is_empty() {
            Ok(())
        } else {
            Err("the ring names no owners of the key".to_owned())
        };
    };
    let expected = end.replicas.min(end.nodes.len());
    if owners.len() != expected {
        let named = story::list(owners.iter().map(ToString::to_string));
        return Err(format!(
            "{expected} owners are due, these are named: {named}"
        ));
    }
    match owners.iter().find(|owner| !end.nodes.contains_key(owner)) {
        Some(gone) => Err(format!("owner {gone} is no member")),
        None => Ok(()),
    }
}

fn strangers_have_none(view: &View<'_>) -> Result<(), String> {
    let owns = |node: &NodeId| view.owners.is_some_and(|owners| owners.contains(node));
    match view.copies.iter().find(|(node, _)| !owns(node)) {
        Some((node, state)) => Err(format!(
            "{}, and does not own the key",
            story::copy(*node, Some(state))
        )),
        None => Ok(()),
    }
}

fn copies_are_equal(key: Key, view: &View<'_>) -> Result<(), String> {
    let mut owned = view.owned();
    let Some((first, expected)) = owned.next() else {
        return Ok(());
    };
    match owned.find(|(_, state)| !equal(key, expected, *state)) {
        Some((other, state)) => Err(format!(
            "{}, but {}",
            story::copy(first, expected),
            story::copy(other, state)
        )),
        None => Ok(()),
    }
}

fn equal(key: Key, one: Option<&State>, other: Option<&State>) -> bool {
    one == other && one.map(|state| hash(key, state)) == other.map(|state| hash(key, state))
}

fn hash(key: Key, state: &State) -> Option<StateHash> {
    Some(StateHash::of(&key.object_key().ok()?, state))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::testing::{KEY, OWNERS, STRANGER, Scene, dot, story};
    use super::*;

    const TEA: (dynamokv::vclock::Dot, Option<&str>) = (dot(1, 1), Some("tea"));

    fn result(scene: &Scene) -> Result<(), Violation> {
        check(&scene.history, &scene.end)
    }

    fn converged() -> Scene {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.keep(&[TEA], &[dot(2, 1)]);
        scene
    }

    #[test]
    fn equal_copies_on_the_owners_alone_are_right_and_so_are_none() {
        assert_eq!(result(&converged()), Ok(()));
        assert_eq!(result(&Scene::new()), Ok(()));
    }

    #[test]
    fn copies_that_differ_in_value_context_or_presence_are_not() {
        let mut value = converged();
        value.keep_on(OWNERS[2], &[(dot(1, 1), Some("milk"))], &[dot(2, 1)]);
        assert!(story(result(&value)).contains("but node 0000000000000003 keeps \"milk\""));

        let mut context = converged();
        context.keep_on(OWNERS[1], &[TEA], &[dot(2, 1), dot(2, 2)]);
        assert!(story(result(&context)).contains("but node 0000000000000002 keeps \"tea\""));

        for missing in OWNERS {
            let mut presence = converged();
            presence.end.nodes.get_mut(&missing).unwrap().copies.clear();
            assert!(story(result(&presence)).contains(&format!("node {missing} has no copy")));
        }
    }

    #[test]
    fn a_stranger_with_a_copy_is_wrong() {
        let mut scene = converged();
        scene.keep_on(STRANGER, &[], &[]);
        assert_eq!(result(&scene), Ok(())); // knows of no write
        scene.keep_on(STRANGER, &[TEA], &[dot(2, 1)]);
        assert!(story(result(&scene)).contains("and does not own the key"));
    }

    #[test]
    fn owners_are_members_and_as_many_as_there_should_be() {
        let mut unnamed = converged();
        unnamed.end.owners.clear();
        assert!(story(result(&unnamed)).contains("no owners"));

        let mut few = converged();
        few.end
            .owners
            .insert(KEY, OWNERS[..2].iter().copied().collect());
        assert!(story(result(&few)).starts_with("3 owners are due"));

        let mut gone = converged();
        gone.end
            .owners
            .insert(KEY, [OWNERS[0], OWNERS[1], NodeId(9)].into());
        gone.end.nodes.get_mut(&OWNERS[2]).unwrap().copies.clear();
        assert_eq!(story(result(&gone)), "owner 0000000000000009 is no member");
    }

    #[test]
    fn fewer_nodes_than_replicas_are_all_owners() {
        let mut scene = converged();
        scene.end.replicas = 4;
        assert!(result(&scene).is_err());
        scene.end.nodes.remove(&STRANGER);
        assert_eq!(result(&scene), Ok(()));
    }

    #[test]
    fn damage_is_wrong() {
        let mut scene = converged();
        scene.end.nodes.get_mut(&STRANGER).unwrap().damaged = 2;
        assert_eq!(
            story(result(&scene)),
            "node 0000000000000004 has 2 damaged records at the end"
        );
    }
}
