use std::time::Duration;

use crate::node::{TEXT_BYTES_MAX, VALUE_BYTES_MAX};
use crate::{Error, Result};

/// The settings of one gossip machine. [`Config::new`] gives the defaults; [`Gossip::new`](crate::Gossip::new)
/// refuses an unusable value, naming the field and the limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Nodes of another name are refused. 1..=256 bytes.
    pub cluster_name: String,
    /// The time from one round to the next (1 s). Shorter finds news and crashes sooner and costs traffic in
    /// proportion. 10 ms..=1 h.
    pub interval: Duration,
    /// The suspicion at which a node counts as down (8.0, as in Cassandra: about 18 missed heartbeats). A node that is
    /// alive is accused with a probability of about 10^-phi a heartbeat, if arrivals are exponential; each step of 1
    /// adds 2.3 mean intervals to the detection of a crash. 1.0..=100.0.
    pub phi_threshold: f64,
    /// Consecutive failed contacts after which a node counts as down without waiting for phi (3). 1..=1000.
    pub failures_to_suspect: u32,
    /// How long a silent node may be reached by others before it counts as down (half an interval, so that the verdict
    /// falls in the next round); longer while this node mistrusts itself. Longer spares a slow node and delays every
    /// verdict. 0..=1 h.
    pub probe_timeout: Duration,
    /// How many others are asked to reach a silent node (3). More spare a node behind a bad link and cost messages
    /// in proportion. 0..=64.
    pub probe_helpers: usize,
    /// How long a node that was learned of, but never heard from, is given the benefit of the doubt (10 s).
    /// At least one interval.
    pub grace: Duration,
    /// The bound on digests and deltas in one message, by a careful estimate (64 KiB). What does not fit follows in
    /// the next rounds, the furthest behind first. Cluster facts come on top; they travel only when they change.
    /// 32 KiB..=16 MiB.
    pub max_message_bytes: usize,
    /// Live peers contacted in a round (3). 1..=64.
    pub fanout: usize,
    /// Live peers contacted at once when something changed here (8). 1..=64.
    pub kick_fanout: usize,
    /// How long the id of a member that left is remembered, so that it cannot rise again (3 days). Should exceed the
    /// longest time that a node may be cut off. At least 10 intervals.
    pub left_lifetime: Duration,
    /// A gap between two rounds beyond this means that this process was paused or its clock jumped (5 s): its own
    /// lateness is not held against the others. At least two intervals.
    pub pause_tolerance: Duration,
    /// Nodes remembered at most, left ones included (16384); beyond that, unknown ones are ignored. 1..=1,000,000.
    pub max_nodes: usize,
}

impl Config {
    /// The defaults, for a cluster of that name.
    pub fn new(cluster_name: impl Into<String>) -> Self {
        Config {
            cluster_name: cluster_name.into(),
            interval: Duration::from_secs(1),
            phi_threshold: 8.0,
            failures_to_suspect: 3,
            probe_timeout: Duration::from_millis(500),
            probe_helpers: 3,
            grace: Duration::from_secs(10),
            max_message_bytes: 64 * 1024,
            fanout: 3,
            kick_fanout: 8,
            left_lifetime: Duration::from_secs(3 * 24 * 3600),
            pause_tolerance: Duration::from_secs(5),
            max_nodes: 16_384,
        }
    }

    /// The defaults with every duration that follows the rounds scaled to another interval; for tests and for networks
    /// that are much faster or slower.
    #[must_use]
    pub fn with_interval(self, interval: Duration) -> Self {
        Config {
            interval,
            probe_timeout: interval / 2,
            grace: interval.saturating_mul(10),
            pause_tolerance: interval.saturating_mul(5),
            ..self
        }
    }

    /// Whether every field is within its limits.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field that is not, and its limit.
    pub fn validate(&self) -> Result<()> {
        let within = |fits: bool, field: &'static str, limit: &'static str| {
            if fits {
                Ok(())
            } else {
                Err(Error::Config { field, limit })
            }
        };
        let name = self.cluster_name.len();
        within(
            (1..=TEXT_BYTES_MAX).contains(&name),
            "cluster_name",
            "1..=256 bytes",
        )?;
        let interval = self.interval;
        let sane = (Duration::from_millis(10)..=Duration::from_secs(3600)).contains(&interval);
        within(sane, "interval", "10 ms..=1 h")?;
        within(
            (1.0..=100.0).contains(&self.phi_threshold),
            "phi_threshold",
            "1.0..=100.0",
        )?;
        within(
            (1..=1000).contains(&self.failures_to_suspect),
            "failures_to_suspect",
            "1..=1000",
        )?;
        within(
            self.probe_timeout <= Duration::from_secs(3600),
            "probe_timeout",
            "0..=1 h",
        )?;
        within(self.probe_helpers <= 64, "probe_helpers", "0..=64")?;
        within(self.grace >= interval, "grace", ">= interval")?;
        within(
            (MESSAGE_BYTES_MIN..=16 << 20).contains(&self.max_message_bytes),
            "max_message_bytes",
            "32 KiB..=16 MiB",
        )?;
        within((1..=64).contains(&self.fanout), "fanout", "1..=64")?;
        within(
            (1..=64).contains(&self.kick_fanout),
            "kick_fanout",
            "1..=64",
        )?;
        within(
            self.left_lifetime >= interval * 10,
            "left_lifetime",
            ">= 10 intervals",
        )?;
        within(
            self.pause_tolerance >= interval * 2,
            "pause_tolerance",
            ">= 2 intervals",
        )?;
        within(
            (1..=1_000_000).contains(&self.max_nodes),
            "max_nodes",
            "1..=1000000",
        )
    }
}

/// Room for the greatest single item beside a full half of digests.
const MESSAGE_BYTES_MIN: usize = 32 * 1024;
const _: () = assert!(MESSAGE_BYTES_MIN / 2 > VALUE_BYTES_MAX + 8 * TEXT_BYTES_MAX);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_defaults_are_valid_at_any_interval() {
        Config::new("c").validate().unwrap();
        for millis in [10, 100, 60_000] {
            let config = Config::new("c").with_interval(Duration::from_millis(millis));
            config.validate().unwrap();
        }
    }

    #[test]
    fn each_unusable_field_is_named() {
        type Spoil = fn(&mut Config);
        let cases: [(&str, Spoil); 13] = [
            ("cluster_name", |c| c.cluster_name.clear()),
            ("interval", |c| c.interval = Duration::ZERO),
            ("phi_threshold", |c| c.phi_threshold = f64::NAN),
            ("failures_to_suspect", |c| c.failures_to_suspect = 0),
            ("probe_timeout", |c| c.probe_timeout = Duration::MAX),
            ("probe_helpers", |c| c.probe_helpers = 65),
            ("grace", |c| c.grace = Duration::ZERO),
            ("max_message_bytes", |c| c.max_message_bytes = 1024),
            ("fanout", |c| c.fanout = 0),
            ("kick_fanout", |c| c.kick_fanout = 65),
            ("left_lifetime", |c| c.left_lifetime = Duration::ZERO),
            ("pause_tolerance", |c| c.pause_tolerance = Duration::ZERO),
            ("max_nodes", |c| c.max_nodes = 0),
        ];
        for (name, spoil) in cases {
            let mut config = Config::new("c");
            spoil(&mut config);
            match config.validate() {
                Err(Error::Config { field, .. }) => assert_eq!(field, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
