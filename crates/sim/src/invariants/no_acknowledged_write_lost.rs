//! "You said that my write is safe: it is there until somebody replaces it."
//!
//! At the end every owner of the key holds each acknowledged write, unless a write that may have
//! been applied had seen it. On the way no answer claims to have seen what it does not show: the
//! context of a read covers everything that it shows, nothing that had not begun, and an
//! acknowledged write that it covers and does not show is a delete, is shown under another dot (of
//! equal values one is shown), or was seen by a write that began before the answer. A context that
//! claimed more would make the next write of its client remove a value that nobody has seen.

use bytes::Bytes;
use dynamokv::vclock::Dot;

use super::view::{Attempt, View};
use super::{Violation, story};
use crate::end::End;
use crate::history::{History, Moment, Read};

pub(super) const NAME: &str = "no_acknowledged_write_lost";

pub(super) fn check(history: &History, end: &End) -> Result<(), Violation> {
    for (key, view) in View::of_each_key(history, end) {
        let promises = promises(&view);
        for promise in &promises {
            is_kept(promise, &view, history)
                .map_err(|story| Violation::of_key(NAME, key, story))?;
        }
        for read in &view.reads {
            is_honest(read, &promises).map_err(|story| Violation::of_key(NAME, key, story))?;
        }
    }
    Ok(())
}

/// An acknowledged write.
struct Promise<'a> {
    attempt: Attempt<'a>,
    dot: Dot,
    /// When the first write began that may have replaced it.
    replaced: Option<Moment>,
}

fn promises<'a>(view: &View<'a>) -> Vec<Promise<'a>> {
    view.acknowledged()
        .map(|(attempt, dot)| Promise {
            attempt,
            dot,
            replaced: view.successors(dot).map(|next| next.write.invoked).min(),
        })
        .collect()
}

fn is_kept(promise: &Promise<'_>, view: &View<'_>, history: &History) -> Result<(), String> {
    let Promise { attempt, dot, .. } = promise;
    if promise.replaced.is_some() || history.forgettable(attempt.write, Moment::MAX) {
        return Ok(());
    }
    if view.owners.is_none_or(|owners| owners.is_empty()) {
        return Err(format!("{attempt} is lost: nobody owns the key at the end"));
    }
    for (owner, state) in view.owned() {
        let held = state.is_some_and(|state| state.values().any(|(held, _)| held == dot));
        if !held {
            return Err(format!(
                "{attempt} is lost, and no write had seen it: {}",
                story::copy(owner, state)
            ));
        }
    }
    Ok(())
}

fn is_honest(read: &Read, promises: &[Promise<'_>]) -> Result<(), String> {
    if let Some(beyond) = read.shown.iter().find(|s| !read.context.covers(&s.dot)) {
        return Err(format!(
            "{}, but its context does not cover {}",
            story::read(read),
            beyond.dot
        ));
    }
    for promise in promises {
        let Promise { attempt, dot, .. } = promise;
        if !read.context.covers(dot) {
            continue;
        }
        if attempt.write.invoked > read.returned {
            return Err(format!(
                "{}, and its context covers {attempt}, which had not begun",
                story::read(read)
            ));
        }
        let replaced = promise.replaced.is_some_and(|begun| begun <= read.returned);
        let shown = |body: &Bytes| read.shown.iter().any(|s| s.dot == *dot || s.body == *body);
        if !replaced && !attempt.write.body.as_ref().is_none_or(shown) {
            return Err(format!(
                "{}, and its context covers {attempt}, which it does not show and which no write had seen by then",
                story::read(read)
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{KEY, OWNERS, STRANGER, Scene, dot, story};
    use super::*;

    const A: u64 = 1;
    const B: u64 = 2;

    fn result(scene: &Scene) -> Result<(), Violation> {
        check(&scene.history, &scene.end)
    }

    #[test]
    fn writes_that_are_there_or_replaced_are_not_lost() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(A, 1));
        scene.read(&[("tea", dot(A, 1))], &[dot(A, 1)]);
        scene.put("milk", &[dot(A, 1)], dot(B, 1));
        scene.put("eggs", &[], dot(A, 2));
        let shown = [("milk", dot(B, 1)), ("eggs", dot(A, 2))];
        scene.read(&shown, &[dot(A, 1), dot(B, 1), dot(A, 2)]);
        scene.keep(
            &[(dot(B, 1), Some("milk")), (dot(A, 2), Some("eggs"))],
            &[dot(A, 1)],
        );
        assert_eq!(result(&scene), Ok(()));
    }

    #[test]
    fn an_owner_without_it_has_lost_it_but_a_stranger_has_not() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(A, 1));
        scene.keep(&[(dot(A, 1), Some("tea"))], &[]);
        scene.keep_on(STRANGER, &[(dot(B, 1), None)], &[]);
        assert_eq!(result(&scene), Ok(()));
        scene.keep_on(OWNERS[2], &[(dot(B, 1), None)], &[]);
        assert_eq!(
            story(result(&scene)),
            "w0 (client 1 put \"tea\" to key-7 at 0.000000s, having seen {}, strict W=2; acknowledged at \
             1.000000s as 0000000000000001.1@1) is lost, and no write had seen it: node 0000000000000003 \
             keeps a tombstone as 0000000000000002.1@1 with the context {0000000000000002.1@1}"
        );
        scene.end.nodes.insert(OWNERS[2], Default::default());
        assert!(story(result(&scene)).ends_with("has no copy"));
    }

    #[test]
    fn a_deletes_tombstone_is_not_lost_either() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(A, 1));
        scene.delete(&[dot(A, 1)], dot(B, 1));
        scene.keep(&[(dot(B, 1), None)], &[dot(A, 1)]);
        assert_eq!(result(&scene), Ok(()));
        scene.keep(&[], &[]);
        assert!(story(result(&scene)).starts_with("w1 (client 1 deleted key-7"));
    }

    #[test]
    fn a_key_without_owners_has_lost_its_writes() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(A, 1));
        scene.end.owners.remove(&KEY);
        assert!(story(result(&scene)).contains("nobody owns"));
    }

    #[test]
    fn only_a_write_that_may_have_happened_replaces_another() {
        let mut replaced = Scene::new();
        replaced.put("tea", &[], dot(A, 1));
        replaced.unknown_put("milk", &[dot(A, 1)]);
        assert_eq!(result(&replaced), Ok(()));

        let mut refused = Scene::new();
        refused.put("tea", &[], dot(A, 1));
        refused.refused_put("milk", &[dot(A, 1)]);
        assert!(story(result(&refused)).starts_with("w0 "));
    }

    #[test]
    fn a_write_without_an_answer_may_be_lost() {
        let mut scene = Scene::new();
        scene.unknown_put("tea", &[]);
        scene.keep(&[], &[]);
        assert_eq!(result(&scene), Ok(()));
    }

    #[test]
    fn a_read_claims_to_have_seen_all_that_it_shows() {
        let mut scene = Scene::new();
        scene.unknown_put("tea", &[]);
        scene.read(&[("tea", dot(A, 1))], &[]);
        assert!(story(result(&scene)).contains("its context does not cover 0000000000000001.1@1"));
    }

    #[test]
    fn a_read_does_not_claim_to_have_seen_what_it_hides() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(A, 1));
        scene.read(&[], &[dot(A, 1)]);
        scene.put("milk", &[dot(A, 1)], dot(B, 1)); // replaces it, but only after the read
        scene.keep(&[(dot(B, 1), Some("milk"))], &[dot(A, 1)]);
        assert!(story(result(&scene)).contains("which it does not show"));
    }

    #[test]
    fn a_read_may_hide_deletes_equal_values_and_what_was_being_replaced() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(A, 1));
        scene.put("tea", &[], dot(B, 1)); // a retry
        scene.read(&[("tea", dot(B, 1))], &[dot(A, 1), dot(B, 1)]);
        scene.delete(&[dot(A, 1)], dot(A, 2));
        let seen = [dot(A, 1), dot(B, 1), dot(A, 2)];
        scene.read(&[("tea", dot(B, 1))], &seen);
        scene.unknown_put("milk", &[dot(B, 1)]);
        scene.read(&[("milk", dot(B, 2))], &[dot(B, 1), dot(B, 2)]);
        let kept = [(dot(A, 2), None), (dot(B, 2), Some("milk"))];
        scene.keep(&kept, &seen[..2]);
        assert_eq!(result(&scene), Ok(()));
    }

    #[test]
    fn a_read_does_not_claim_to_have_seen_the_future() {
        let mut scene = Scene::new();
        scene.read(&[], &[dot(A, 1)]);
        scene.delete(&[], dot(A, 1));
        scene.keep(&[(dot(A, 1), None)], &[]);
        assert!(story(result(&scene)).contains("which had not begun"));
    }
}
