//! "With R + W > N I read what was acknowledged before I asked."
//!
//! Holds for strict reads and strict writes while membership is stable, from the beginning of the
//! write to the answer of the read. The context of such a read covers the write, and the read shows
//! nothing that the write's client had seen.

use super::view::View;
use super::{Violation, story};
use crate::end::End;
use crate::history::{History, Read, Write};

pub(super) const NAME: &str = "strict_reads_see_acknowledged_writes";

pub(super) fn check(history: &History, end: &End) -> Result<(), Violation> {
    for (key, view) in View::of_each_key(history, end) {
        for read in &view.reads {
            for (attempt, dot) in view.acknowledged() {
                let context = &attempt.write.context;
                let stale = read.shown.iter().find(|shown| context.covers(&shown.dot));
                let missed = !read.context.covers(&dot)
                    && !history.forgettable(attempt.write, read.returned);
                let wrong = missed || stale.is_some();
                if wrong && must_see(history, end, read, attempt.write) {
                    let what = match stale.filter(|_| !missed) {
                        Some(stale) => format!("showed {}, which was replaced by", stale.dot),
                        None => "had not seen".to_owned(),
                    };
                    let story = format!(
                        "{}; N={}; it {what} {attempt}, acknowledged before the read began",
                        story::read(read),
                        end.replicas
                    );
                    return Err(Violation::of_key(NAME, key, story));
                }
            }
        }
    }
    Ok(())
}

/// Whether quorums and times oblige `read` to know `write`, which is of the same key.
pub(super) fn must_see(history: &History, end: &End, read: &Read, write: &Write) -> bool {
    read.quorum.strict
        && write.quorum.strict
        && read.quorum.size + write.quorum.size > end.replicas
        && write.acknowledged_before(read.invoked)
        && history.stable(write.invoked, read.returned)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, dot, story};
    use super::*;
    use crate::history::Quorum;

    fn result(scene: &Scene) -> Result<(), Violation> {
        check(&scene.history, &scene.end)
    }

    /// Written and not seen by the read after it, with these quorums.
    fn unseen(write: Quorum, read: Quorum) -> Scene {
        let mut scene = Scene::new();
        scene.quorum = write;
        scene.put("tea", &[], dot(1, 1));
        scene.quorum = read;
        scene.read(&[], &[]);
        scene
    }

    fn strict(size: usize) -> Quorum {
        Quorum { size, strict: true }
    }

    fn sloppy(size: usize) -> Quorum {
        Quorum {
            size,
            strict: false,
        }
    }

    #[test]
    fn a_read_that_sees_the_last_write_is_right() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.read(&[("tea", dot(1, 1))], &[dot(1, 1)]);
        scene.put("milk", &[dot(1, 1)], dot(2, 1));
        scene.read(&[("milk", dot(2, 1))], &[dot(1, 1), dot(2, 1)]);
        assert_eq!(result(&scene), Ok(()));
    }

    #[test]
    fn overlapping_quorums_see_what_was_acknowledged() {
        for (w, r) in [(2, 2), (1, 3), (3, 1)] {
            let story = story(result(&unseen(strict(w), strict(r))));
            assert!(story.contains("it had not seen w0 "), "{story}");
        }
    }

    #[test]
    fn a_read_shows_nothing_that_the_write_replaced() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.put("milk", &[dot(1, 1)], dot(2, 1));
        let shown = [("tea", dot(1, 1)), ("milk", dot(2, 1))];
        scene.read(&shown, &[dot(1, 1), dot(2, 1)]);
        assert!(
            story(result(&scene))
                .contains("it showed 0000000000000001.1@1, which was replaced by w1 ")
        );
    }

    #[test]
    fn small_or_sloppy_quorums_promise_nothing() {
        for (write, read) in [
            (strict(1), strict(2)),
            (strict(2), strict(1)),
            (sloppy(2), strict(2)),
            (strict(2), sloppy(2)),
        ] {
            assert_eq!(result(&unseen(write, read)), Ok(()));
        }
    }

    #[test]
    fn a_write_that_was_not_acknowledged_before_the_read_began_may_be_missed() {
        let mut scene = Scene::new();
        let id = scene.unknown_put("tea", &[]);
        let began = scene.now();
        scene.read(&[], &[]);
        assert_eq!(result(&scene), Ok(()));
        let outcome = crate::history::WriteOutcome::Acknowledged(dot(1, 1));
        scene.history.end(id, began, outcome);
        assert_eq!(result(&scene), Ok(()));
    }

    #[test]
    fn a_change_of_membership_excuses_only_what_it_touches() {
        let mut scene = Scene::new();
        scene.unsettle();
        scene.put("tea", &[], dot(1, 1));
        scene.history.settle(scene.now());
        scene.read(&[], &[]);
        assert_eq!(result(&scene), Ok(()));

        let mut scene = Scene::new();
        scene.unsettle();
        scene.put("tea", &[], dot(1, 1));
        scene.history.settle(scene.now());
        scene.unknown_put("milk", &[]); // takes time
        scene.read(&[], &[]);
        assert_eq!(result(&scene), Ok(()));

        let mut scene = Scene::new();
        scene.unsettle();
        scene.put("tea", &[], dot(1, 1));
        scene.history.settle(scene.now());
        scene.read(&[("tea", dot(1, 1))], &[dot(1, 1)]);
        scene.put("milk", &[], dot(2, 1));
        scene.read(&[("tea", dot(1, 1))], &[dot(1, 1)]);
        scene.unsettle();
        assert!(story(result(&scene)).contains("it had not seen w1 "));
    }
}
