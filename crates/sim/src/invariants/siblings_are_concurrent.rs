//! "I get several values only if their writers did not know of each other."
//!
//! No read shows a value beside another one whose writer had seen it, nor a value that was seen by
//! the client of an acknowledged write that the read's own context covers. At the end no owner keeps a
//! value, or a tombstone, that the client of an acknowledged write had seen. The other half, that
//! all concurrent values are there, is `no_acknowledged_write_lost`.
//!
//! Where no acknowledgement says which attempt stands under a dot (a retry has the body of its first
//! attempt), all of them must have seen the other value.

use super::view::{Attempt, View};
use super::{Violation, story};
use crate::end::End;
use crate::history::{History, Read, Shown};

pub(super) const NAME: &str = "siblings_are_concurrent";

pub(super) fn check(history: &History, end: &End) -> Result<(), Violation> {
    for (key, view) in View::of_each_key(history, end) {
        for read in &view.reads {
            shows_no_successor_beside(&view, read)
                .and_then(|()| shows_nothing_replaced(&view, read))
                .map_err(|why| {
                    Violation::of_key(NAME, key, format!("{}, but {why}", story::read(read)))
                })?;
        }
        keeps_nothing_replaced(&view).map_err(|story| Violation::of_key(NAME, key, story))?;
    }
    Ok(())
}

/// Of two values shown, neither writer had seen the other.
fn shows_no_successor_beside(view: &View<'_>, read: &Read) -> Result<(), String> {
    if read.shown.len() < 2 {
        return Ok(());
    }
    for later in &read.shown {
        let writers = writers(view, read, later);
        let Some(example) = writers.first() else {
            continue; // from nowhere: another invariant's
        };
        let seen_by_all = |dot| writers.iter().all(|one| one.write.context.covers(dot));
        let others = read.shown.iter().filter(|other| other.dot != later.dot);
        if let Some(earlier) = others.into_iter().find(|other| seen_by_all(&other.dot)) {
            return Err(format!(
                "the writer of {} had seen {}: {example}",
                later.dot, earlier.dot
            ));
        }
    }
    Ok(())
}

/// The attempts that may stand behind a value that was shown.
fn writers<'a>(view: &View<'a>, read: &Read, shown: &Shown) -> Vec<Attempt<'a>> {
    let mut writers = view.writers_of(&shown.body).to_vec();
    writers.retain(|attempt| attempt.write.invoked <= read.returned);
    writers
}

/// Whoever has seen a write has seen all that its client had seen.
fn shows_nothing_replaced(view: &View<'_>, read: &Read) -> Result<(), String> {
    for (attempt, dot) in view.acknowledged() {
        if !read.context.covers(&dot) {
            continue;
        }
        let context = &attempt.write.context;
        if let Some(replaced) = read.shown.iter().find(|shown| context.covers(&shown.dot)) {
            return Err(format!(
                "{} was replaced by {attempt}, which the read had seen",
                replaced.dot
            ));
        }
    }
    Ok(())
}

fn keeps_nothing_replaced(view: &View<'_>) -> Result<(), String> {
    for (owner, state) in view.owned() {
        let values = state.into_iter().flat_map(|state| state.values());
        for (dot, _) in values {
            let replaced = view
                .acknowledged()
                .find(|(attempt, _)| attempt.write.context.covers(dot));
            if let Some((attempt, _)) = replaced {
                return Err(format!(
                    "at the end {}, but {dot} was replaced by {attempt}",
                    story::copy(owner, state)
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{OWNERS, STRANGER, Scene, dot, story};
    use super::*;

    fn result(scene: &Scene) -> Result<(), Violation> {
        check(&scene.history, &scene.end)
    }

    #[test]
    fn concurrent_values_stand_side_by_side() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.put("milk", &[dot(1, 1)], dot(1, 2));
        scene.put("eggs", &[dot(1, 1)], dot(2, 1));
        let seen = [dot(1, 1), dot(1, 2), dot(2, 1)];
        scene.read(&[("milk", dot(1, 2)), ("eggs", dot(2, 1))], &seen);
        let kept = [(dot(1, 2), Some("milk")), (dot(2, 1), Some("eggs"))];
        scene.keep(&kept, &[dot(1, 1)]);
        assert_eq!(result(&scene), Ok(()));
    }

    #[test]
    fn a_read_shows_no_value_beside_its_successor() {
        for acknowledged in [true, false] {
            let mut scene = Scene::new();
            scene.put("tea", &[], dot(1, 1));
            if acknowledged {
                scene.put("milk", &[dot(1, 1)], dot(2, 1));
            } else {
                scene.unknown_put("milk", &[dot(1, 1)]);
            }
            let shown = [("tea", dot(1, 1)), ("milk", dot(2, 1))];
            scene.read(&shown, &[dot(1, 1), dot(2, 1)]);
            assert!(story(result(&scene)).contains(
                "the writer of 0000000000000002.1@1 had seen 0000000000000001.1@1: w1 (client 1 put \"milk\""
            ));
        }
    }

    #[test]
    fn of_several_attempts_one_that_had_not_seen_it_explains_a_sibling() {
        let shown = [("tea", dot(1, 1)), ("milk", dot(2, 1))];
        let scene = |first: &[_]| {
            let mut scene = Scene::new();
            scene.put("tea", &[], dot(1, 1));
            scene.unknown_put("milk", first);
            scene.unknown_put("milk", &[dot(1, 1)]);
            scene.read(&shown, &[dot(1, 1), dot(2, 1)]);
            scene
        };
        assert_eq!(result(&scene(&[])), Ok(()));
        assert!(result(&scene(&[dot(1, 1)])).is_err());
    }

    #[test]
    fn a_retry_does_not_explain_a_sibling_whose_attempt_is_known() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.put("milk", &[dot(1, 1)], dot(2, 1));
        scene.unknown_put("milk", &[]);
        let shown = [("tea", dot(1, 1)), ("milk", dot(2, 1))];
        scene.read(&shown, &[dot(1, 1), dot(2, 1)]);
        assert!(story(result(&scene)).contains("0000000000000001.1@1 was replaced by w1 "));
    }

    #[test]
    fn an_attempt_after_the_read_explains_nothing() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.unknown_put("milk", &[dot(1, 1)]);
        let shown = [("tea", dot(1, 1)), ("milk", dot(2, 1))];
        scene.read(&shown, &[dot(1, 1), dot(2, 1)]);
        scene.unknown_put("milk", &[]);
        assert!(result(&scene).is_err());
    }

    #[test]
    fn a_read_that_has_seen_a_write_shows_nothing_that_it_replaced() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.delete(&[dot(1, 1)], dot(2, 1));
        scene.read(&[("tea", dot(1, 1))], &[dot(1, 1)]); // stale, and says so
        assert_eq!(result(&scene), Ok(()));
        scene.read(&[("tea", dot(1, 1))], &[dot(1, 1), dot(2, 1)]);
        assert!(story(result(&scene)).contains("0000000000000001.1@1 was replaced by w1 "));
    }

    #[test]
    fn no_owner_keeps_what_an_acknowledged_write_replaced() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.unknown_put("milk", &[]); // kept under 2@1
        scene.delete(&[], dot(3, 1));
        scene.put("eggs", &[dot(1, 1), dot(2, 1), dot(3, 1)], dot(1, 2));
        let eggs = (dot(1, 2), Some("eggs"));
        scene.keep(&[eggs], &[dot(1, 1), dot(2, 1), dot(3, 1)]);
        assert_eq!(result(&scene), Ok(()));
        for (old, body) in [
            (dot(1, 1), Some("tea")),
            (dot(2, 1), Some("milk")),
            (dot(3, 1), None),
        ] {
            scene.keep_on(OWNERS[1], &[(old, body), eggs], &[]);
            let story = story(result(&scene));
            assert!(
                story.contains(&format!("but {old} was replaced by w3 ")),
                "{story}"
            );
        }
    }

    #[test]
    fn an_unanswered_write_need_not_have_replaced_anything() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.unknown_put("milk", &[dot(1, 1)]);
        scene.keep(&[(dot(1, 1), Some("tea"))], &[]);
        assert_eq!(result(&scene), Ok(()));
    }

    #[test]
    fn a_stranger_is_not_asked() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.put("milk", &[dot(1, 1)], dot(2, 1));
        scene.keep_on(STRANGER, &[(dot(1, 1), Some("tea"))], &[]);
        assert_eq!(result(&scene), Ok(()));
    }
}
