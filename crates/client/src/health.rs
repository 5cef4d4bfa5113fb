//! Which nodes did not answer of late.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dynamokv_ring::NodeId;

/// A node that could not be reached is avoided for a while, which doubles with each failure in a row. Avoided is not excluded: where
/// nobody else is left it is asked.
#[derive(Debug, Default)]
pub(crate) struct Health {
    troubles: BTreeMap<NodeId, Trouble>,
}

#[derive(Debug, Clone, Copy)]
struct Trouble {
    failures: u32,
    avoid_until: Instant,
}

impl Health {
    /// A request did not reach the node, or nothing came back. Those that were under way when it began to be avoided say nothing new.
    pub(crate) fn failed(&mut self, node: NodeId, now: Instant) {
        if self.is_avoided(node, now) {
            return;
        }
        let failures = self
            .troubles
            .get(&node)
            .map_or(0, |trouble| trouble.failures);
        let trouble = Trouble {
            failures: failures.saturating_add(1),
            avoid_until: now + pause(failures),
        };
        self.troubles.insert(node, trouble);
    }

    /// The node answered, whatever it said.
    pub(crate) fn answered(&mut self, node: NodeId) {
        // Almost always there is nothing to forget.
        if !self.troubles.is_empty() {
            self.troubles.remove(&node);
        }
    }

    pub(crate) fn is_avoided(&self, node: NodeId, now: Instant) -> bool {
        let trouble = self.troubles.get(&node);
        trouble.is_some_and(|trouble| now < trouble.avoid_until)
    }

    /// Forgets the nodes that are gone.
    pub(crate) fn keep(&mut self, is_there: impl Fn(NodeId) -> bool) {
        self.troubles.retain(|node, _| is_there(*node));
    }
}

fn pause(failures_before: u32) -> Duration {
    AVOIDED_MIN
        .saturating_mul(1 << failures_before.min(16))
        .min(AVOIDED_MAX)
}

const AVOIDED_MIN: Duration = Duration::from_millis(200);
const AVOIDED_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_avoided_for_longer_each_time_until_it_answers() {
        let (node, mut now) = (NodeId(1), Instant::now());
        let mut health = Health::default();
        assert!(!health.is_avoided(node, now));
        for millis in [200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            // Many requests at once are one failure.
            for _ in 0..10 {
                health.failed(node, now);
            }
            let end = now + Duration::from_millis(millis);
            let before = end - Duration::from_millis(1);
            assert!(health.is_avoided(node, before), "{millis}");
            assert!(!health.is_avoided(node, end), "{millis}");
            now = end;
        }
        health.failed(node, now);
        assert!(!health.is_avoided(NodeId(2), now));
        health.answered(node);
        assert!(!health.is_avoided(node, now));
    }
}
