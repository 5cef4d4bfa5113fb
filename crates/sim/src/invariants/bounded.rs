//! "It does not grow until it falls over."
//!
//! Of nothing that was counted during the run was there ever more than its bound.

use super::Violation;
use crate::end::End;
use crate::history::History;

pub(super) const NAME: &str = "bounded";

pub(super) fn check(_: &History, end: &End) -> Result<(), Violation> {
    match end.high_water.iter().find(|mark| mark.seen > mark.bound) {
        Some(mark) => {
            let story = format!(
                "{}: up to {} were seen, {} are allowed",
                mark.what, mark.seen, mark.bound
            );
            Err(Violation::of_cluster(NAME, story))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, story};
    use super::*;
    use crate::end::HighWater;

    #[test]
    fn the_bound_may_be_reached_and_not_passed() {
        let mut scene = Scene::new();
        assert_eq!(check(&scene.history, &scene.end), Ok(()));
        let mut mark = HighWater {
            what: "hints of a node",
            seen: 8,
            bound: 8,
        };
        scene.end.high_water = vec![mark];
        assert_eq!(check(&scene.history, &scene.end), Ok(()));
        mark.seen = 9;
        scene.end.high_water.push(mark);
        assert_eq!(
            story(check(&scene.history, &scene.end)),
            "hints of a node: up to 9 were seen, 8 are allowed"
        );
    }
}
