//! "When the trouble is over, the cluster recovers by itself, soon."
//!
//! After the last fault everything comes to rest within the patience of the run, and each request of
//! that phase is answered well.

use super::{Violation, story};
use crate::end::End;
use crate::history::History;

pub(super) const NAME: &str = "settles_in_time";

pub(super) fn check(_: &History, end: &End) -> Result<(), Violation> {
    if end.settled_after.is_none() {
        let story = format!(
            "not at rest when the patience ended: {}",
            story::list(end.unsettled.iter().cloned())
        );
        return Err(Violation::of_cluster(NAME, story));
    }
    if !end.failed_probes.is_empty() {
        let story = format!(
            "without faults these requests failed: {}",
            story::list(end.failed_probes.iter().cloned())
        );
        return Err(Violation::of_cluster(NAME, story));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, story as told};
    use super::*;

    #[test]
    fn a_cluster_that_came_to_rest_and_answered_is_right() {
        let scene = Scene::new();
        assert_eq!(check(&scene.history, &scene.end), Ok(()));
    }

    #[test]
    fn one_that_never_rests_is_wrong_and_the_story_says_why() {
        let mut scene = Scene::new();
        scene.end.settled_after = None;
        scene.end.unsettled = vec!["2 hints on n1".to_owned(), "key-7 differs".to_owned()];
        assert_eq!(
            told(check(&scene.history, &scene.end)),
            "not at rest when the patience ended: 2 hints on n1, key-7 differs"
        );
    }

    #[test]
    fn a_failed_request_after_the_faults_is_wrong() {
        let mut scene = Scene::new();
        scene.end.failed_probes = vec!["get key-7 on n2: too few replicas".to_owned()];
        assert_eq!(
            told(check(&scene.history, &scene.end)),
            "without faults these requests failed: get key-7 on n2: too few replicas"
        );
    }
}
