//! "What I deleted does not come back, whoever was away meanwhile."
//!
//! At the end no node at all, owner or not, keeps a value that the client of an acknowledged delete
//! had seen; and no strict read that must see the delete shows one.

use super::strict_reads_see_acknowledged_writes::must_see;
use super::view::{Attempt, View};
use super::{Violation, story};
use crate::end::End;
use crate::history::History;

pub(super) const NAME: &str = "deleted_stays_deleted";

pub(super) fn check(history: &History, end: &End) -> Result<(), Violation> {
    for (key, view) in View::of_each_key(history, end) {
        let deletes = view.acknowledged().map(|(attempt, _)| attempt);
        for delete in deletes.filter(|attempt| attempt.write.body.is_none()) {
            is_kept_nowhere(&view, delete)
                .and_then(|()| is_not_shown(history, end, &view, delete))
                .map_err(|story| Violation::of_key(NAME, key, story))?;
        }
    }
    Ok(())
}

fn is_kept_nowhere(view: &View<'_>, delete: Attempt<'_>) -> Result<(), String> {
    for (node, state) in &view.copies {
        let back = state
            .values()
            .find(|(dot, value)| !value.is_tombstone() && delete.write.context.covers(dot));
        if let Some((dot, _)) = back {
            return Err(format!(
                "{dot} is back after {delete}: at the end {}",
                story::copy(*node, Some(state))
            ));
        }
    }
    Ok(())
}

fn is_not_shown(
    history: &History,
    end: &End,
    view: &View<'_>,
    delete: Attempt<'_>,
) -> Result<(), String> {
    for read in &view.reads {
        let covers = |dot| delete.write.context.covers(dot);
        let back = read.shown.iter().find(|shown| covers(&shown.dot));
        if let Some(back) = back.filter(|_| must_see(history, end, read, delete.write)) {
            return Err(format!(
                "{} is back after {delete}: {}",
                back.dot,
                story::read(read)
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{OWNERS, STRANGER, Scene, dot, story};
    use super::*;
    use crate::history::Quorum;

    fn result(scene: &Scene) -> Result<(), Violation> {
        check(&scene.history, &scene.end)
    }

    fn deleted() -> Scene {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.delete(&[dot(1, 1)], dot(2, 1));
        scene
    }

    #[test]
    fn a_key_that_is_gone_or_written_anew_is_right() {
        let mut scene = deleted();
        scene.read(&[], &[dot(1, 1), dot(2, 1)]);
        scene.keep(&[(dot(2, 1), None)], &[dot(1, 1)]);
        assert_eq!(result(&scene), Ok(()));
        scene.put("tea again", &[dot(1, 1), dot(2, 1)], dot(1, 2));
        let seen = [dot(1, 1), dot(2, 1), dot(1, 2)];
        scene.read(&[("tea again", dot(1, 2))], &seen);
        scene.keep(&[(dot(1, 2), Some("tea again"))], &seen[..2]);
        assert_eq!(result(&scene), Ok(()));
    }

    #[test]
    fn no_node_keeps_what_was_deleted_not_even_a_stranger() {
        for node in [OWNERS[1], STRANGER] {
            let mut scene = deleted();
            scene.keep_on(node, &[(dot(1, 1), Some("tea"))], &[]);
            let story = story(result(&scene));
            assert!(
                story.starts_with("0000000000000001.1@1 is back after w1 (client 1 deleted key-7"),
                "{story}"
            );
            assert!(
                story.contains(&format!("node {node} keeps \"tea\"")),
                "{story}"
            );
        }
    }

    #[test]
    fn a_strict_read_after_it_does_not_show_it() {
        let mut scene = deleted();
        scene.read(&[("tea", dot(1, 1))], &[dot(1, 1)]);
        assert!(story(result(&scene)).contains("read of key-7"));
    }

    #[test]
    fn a_read_that_need_not_know_the_delete_may_show_it() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.read(&[("tea", dot(1, 1))], &[dot(1, 1)]);
        scene.delete(&[dot(1, 1)], dot(2, 1));
        scene.quorum = Quorum {
            size: 1,
            strict: true,
        };
        scene.read(&[("tea", dot(1, 1))], &[dot(1, 1)]);
        assert_eq!(result(&scene), Ok(()));
    }

    #[test]
    fn a_concurrent_value_outlives_the_delete_and_so_does_one_that_a_put_replaced() {
        let mut scene = deleted();
        scene.put("milk", &[], dot(3, 1));
        scene.put("eggs", &[dot(3, 1)], dot(3, 2)); // no delete: another invariant's
        scene.keep(&[(dot(3, 1), Some("milk"))], &[]);
        assert_eq!(result(&scene), Ok(()));
    }

    #[test]
    fn a_delete_without_an_answer_may_not_have_happened() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.unknown_delete(&[dot(1, 1)]);
        scene.read(&[("tea", dot(1, 1))], &[dot(1, 1)]);
        scene.keep(&[(dot(1, 1), Some("tea"))], &[]);
        assert_eq!(result(&scene), Ok(()));
    }

    #[test]
    fn a_tombstone_that_a_later_delete_had_seen_brings_nothing_back() {
        let mut scene = deleted();
        scene.delete(&[dot(2, 1)], dot(2, 2));
        scene.keep_on(OWNERS[0], &[(dot(2, 1), None)], &[]);
        assert_eq!(result(&scene), Ok(()));
    }
}
