//! Settings of a coordinator.

use std::num::NonZeroUsize;
use std::time::Duration;

/// Defaults for requests that say nothing, and the bounds of what may be under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// R: replicas that must answer a read.
    pub read_quorum: NonZeroUsize,
    /// W: replicas that must have a durable copy of a write.
    pub write_quorum: NonZeroUsize,
    /// How long a request may take when it does not say.
    pub timeout: Duration,
    /// The greatest timeout that a request may ask for.
    pub timeout_max: Duration,
    /// After this time without an answer a further node is asked: a hedge for reads, a hint for writes.
    /// Short enough that one stalled replica is hardly felt, long enough not to double the traffic of a
    /// busy cluster.
    pub slow_after: Duration,
    /// Requests under way at once; one more is refused as overloaded.
    pub in_flight_max: NonZeroUsize,
    /// Answered writes whose last replicas are still awaited. Beyond it the missing copies become markers at
    /// once, which is durable but costs a delivery.
    pub background_max: NonZeroUsize,
    /// For how long a write with an idempotency key is remembered by the node that coordinated it.
    pub idempotency_window: Duration,
    /// How many such writes are remembered; beyond it the oldest are forgotten before their time. About 200 bytes each.
    pub idempotency_records_max: NonZeroUsize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            read_quorum: NonZeroUsize::MIN.saturating_add(1),
            write_quorum: NonZeroUsize::MIN.saturating_add(1),
            timeout: Duration::from_secs(2),
            timeout_max: Duration::from_secs(60),
            slow_after: Duration::from_millis(200),
            in_flight_max: NonZeroUsize::MIN.saturating_add(4095),
            background_max: NonZeroUsize::MIN.saturating_add(4095),
            idempotency_window: Duration::from_secs(120),
            idempotency_records_max: NonZeroUsize::MIN.saturating_add(131_071),
        }
    }
}
