//! Settings of single requests.

use std::time::Duration;

use bytes::Bytes;
use dynamokv_coordinator::QuorumMode;

/// Settings of the requests of one handle. The default leaves all to the client's and the nodes' configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// R: replicas that must answer a read, 1..=N.
    pub r: Option<u32>,
    /// W: replicas that must have a durable copy of a write, 1..=N.
    pub w: Option<u32>,
    /// Whose answers count.
    pub mode: QuorumMode,
    /// How long a call may take, all attempts together.
    pub timeout: Option<Duration>,
    /// What makes a write safe to send again.
    pub idempotency: Idempotency,
    /// Whether a slow read is sent to a second replica.
    pub hedge: bool,
}

/// What makes a write safe to send again when nobody knows whether it was applied.
///
/// The node that coordinated a write applies it once under its key, as long as it remembers it. Where that node cannot be
/// asked, the write goes to another one, and is concurrent with the first attempt then: both are of one value, and are shown as
/// one. If somebody has replaced the first attempt in the meantime, the second one shows up beside the replacement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Idempotency {
    /// A key is drawn for each write.
    #[default]
    Automatic,
    /// This key, of 1..=64 bytes, for a caller that may itself repeat the write. One write only: a key of two writes is refused.
    Key(Bytes),
    /// None: a write whose outcome is unknown is not sent again.
    Off,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            r: None,
            w: None,
            mode: QuorumMode::Sloppy,
            timeout: None,
            idempotency: Idempotency::Automatic,
            hedge: true,
        }
    }
}
