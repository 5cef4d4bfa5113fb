//! "What I asked for is done, not queued somewhere for ever."
//!
//! At the end no node holds markers of data for others or coordinates an operation, and the runtime
//! has no tasks beyond those that every node has.

use super::Violation;
use crate::end::End;
use crate::history::History;

pub(super) const NAME: &str = "nothing_is_left";

pub(super) fn check(_: &History, end: &End) -> Result<(), Violation> {
    let broken = |story| Err(Violation::of_cluster(NAME, story));
    for (node, kept) in &end.nodes {
        if kept.hints > 0 {
            return broken(format!("node {node} is left with {} hints", kept.hints));
        }
        if kept.operations > 0 {
            return broken(format!(
                "node {node} still coordinates {} operations",
                kept.operations
            ));
        }
    }
    if end.tasks_left > 0 {
        return broken(format!("{} tasks are left", end.tasks_left));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{STRANGER, Scene, story};
    use super::*;
    use crate::end::NodeEnd;

    #[test]
    fn an_idle_cluster_is_right() {
        let scene = Scene::new();
        assert_eq!(check(&scene.history, &scene.end), Ok(()));
    }

    #[test]
    fn hints_operations_and_tasks_that_are_left_are_wrong() {
        let left = |node: NodeEnd, tasks_left| {
            let mut scene = Scene::new();
            scene.end.nodes.insert(STRANGER, node);
            scene.end.tasks_left = tasks_left;
            story(check(&scene.history, &scene.end))
        };
        let hints = NodeEnd {
            hints: 3,
            ..NodeEnd::default()
        };
        assert_eq!(left(hints, 0), "node 0000000000000004 is left with 3 hints");
        let operations = NodeEnd {
            operations: 2,
            ..NodeEnd::default()
        };
        assert_eq!(
            left(operations, 0),
            "node 0000000000000004 still coordinates 2 operations"
        );
        assert_eq!(left(NodeEnd::default(), 5), "5 tasks are left");
    }
}
