//! "I only ever see what somebody wrote to this key, and nothing that I was told was refused."
//!
//! Each value that a read shows has the body of a write to that key that began before the answer
//! and was not refused; each value that any node keeps at the end has the body of such a write, and
//! each tombstone stands for such a delete. Under the dot of an acknowledged write stands exactly
//! what that write wrote.

use bytes::Bytes;
use dynamokv::vclock::Dot;

use super::view::View;
use super::{Violation, story};
use crate::end::End;
use crate::history::{History, Moment};

pub(super) const NAME: &str = "no_value_from_nowhere";

pub(super) fn check(history: &History, end: &End) -> Result<(), Violation> {
    for (key, view) in View::of_each_key(history, end) {
        for read in &view.reads {
            for shown in &read.shown {
                has_origin(&view, shown.dot, Some(&shown.body), read.returned).map_err(|why| {
                    Violation::of_key(NAME, key, format!("{}: {why}", story::read(read)))
                })?;
            }
        }
        for (node, state) in &view.copies {
            for (dot, value) in state.values() {
                has_origin(&view, *dot, value.body.as_ref(), Moment::MAX).map_err(|why| {
                    let copy = story::copy(*node, Some(state));
                    Violation::of_key(NAME, key, format!("at the end {copy}: {why}"))
                })?;
            }
        }
    }
    Ok(())
}

/// Whether `body` can stand under `dot` at `moment`; `None` is a tombstone.
fn has_origin(
    view: &View<'_>,
    dot: Dot,
    body: Option<&Bytes>,
    moment: Moment,
) -> Result<(), String> {
    if let Some(owner) = view.acknowledged_as(&dot)
        && owner.write.body.as_ref() != body
    {
        return Err(format!("{dot} stands for {owner}"));
    }
    let begun = |invoked: Moment| invoked <= moment;
    let written = match body {
        Some(body) => view
            .writers_of(body)
            .iter()
            .any(|attempt| begun(attempt.write.invoked)),
        None => view.attempts.iter().any(|attempt| {
            attempt.write.body.is_none() && attempt.write.possible() && begun(attempt.write.invoked)
        }),
    };
    if written {
        return Ok(());
    }
    let Some(body) = body else {
        return Err(format!("nobody deleted the key, but {dot} is a tombstone"));
    };
    let also = view
        .attempts
        .iter()
        .filter(|attempt| attempt.write.body.as_ref() == Some(body))
        .map(ToString::to_string);
    Err(format!(
        "nobody had written {} that stands under {dot}; attempts at any time, refused ones too: {}",
        story::bytes(body),
        story::list(also)
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{STRANGER, Scene, dot, story};
    use super::*;

    fn result(scene: &Scene) -> Result<(), Violation> {
        check(&scene.history, &scene.end)
    }

    #[test]
    fn what_was_written_may_be_seen_and_kept() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.unknown_put("milk", &[]);
        scene.unknown_delete(&[]);
        let shown = [("tea", dot(1, 1)), ("milk", dot(2, 1))];
        scene.read(&shown, &[dot(1, 1), dot(2, 1)]);
        let kept = [
            (dot(1, 1), Some("tea")),
            (dot(2, 1), Some("milk")),
            (dot(3, 1), None),
        ];
        scene.keep(&kept, &[]);
        assert_eq!(result(&scene), Ok(()));
    }

    #[test]
    fn a_read_shows_nothing_that_nobody_wrote() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.read(&[("gin", dot(1, 2))], &[]);
        assert!(story(result(&scene)).contains(
            "nobody had written \"gin\" that stands under 0000000000000001.1@2; attempts at any time, \
             refused ones too: nothing"
        ));
    }

    #[test]
    fn a_read_shows_nothing_from_the_future() {
        let mut scene = Scene::new();
        scene.read(&[("tea", dot(1, 1))], &[]);
        scene.unknown_put("tea", &[]);
        assert!(story(result(&scene)).contains("refused ones too: w0 (client 1 put \"tea\""));
    }

    #[test]
    fn a_write_may_be_seen_before_it_is_answered() {
        let mut scene = Scene::new();
        let id = scene.unknown_put("tea", &[]);
        scene.read(&[("tea", dot(1, 1))], &[]);
        let outcome = crate::history::WriteOutcome::Acknowledged(dot(1, 1));
        scene.history.end(id, scene.now(), outcome);
        assert_eq!(result(&scene), Ok(()));
    }

    #[test]
    fn what_was_refused_is_never_seen_or_kept_unless_a_retry_was_not() {
        let mut seen = Scene::new();
        seen.refused_put("tea", &[]);
        seen.read(&[("tea", dot(1, 1))], &[]);
        assert!(story(result(&seen)).contains("refused (busy)"));

        let mut kept = Scene::new();
        kept.refused_put("tea", &[]);
        kept.keep_on(STRANGER, &[(dot(1, 1), Some("tea"))], &[]);
        assert!(story(result(&kept)).contains("node 0000000000000004 keeps \"tea\""));

        kept.unknown_put("tea", &[]);
        assert_eq!(result(&kept), Ok(()));
    }

    #[test]
    fn an_acknowledged_dot_stands_for_what_was_acknowledged() {
        let mut seen = Scene::new();
        seen.put("tea", &[], dot(1, 1));
        seen.unknown_put("milk", &[]);
        seen.read(&[("milk", dot(1, 1))], &[]);
        assert!(story(result(&seen)).contains("0000000000000001.1@1 stands for w0 "));

        let mut kept = Scene::new();
        kept.put("tea", &[], dot(1, 1));
        kept.unknown_delete(&[]);
        kept.keep(&[(dot(1, 1), None)], &[]);
        assert!(story(result(&kept)).contains("0000000000000001.1@1 stands for w0 "));
    }

    #[test]
    fn a_tombstone_needs_a_delete_that_was_not_refused() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        let refused = crate::history::WriteOutcome::Refused("busy".to_owned());
        scene.write(None, &[], refused);
        scene.keep(&[(dot(2, 1), None)], &[]);
        assert!(story(result(&scene)).contains("0000000000000002.1@1 is a tombstone"));
    }

    #[test]
    fn a_key_that_was_never_written_has_nothing() {
        let mut scene = Scene::new();
        scene.keep_on(STRANGER, &[(dot(2, 1), Some("tea"))], &[]);
        assert!(result(&scene).is_err());
    }
}
