use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dynamokv_ring::NodeId;

use crate::Event;

/// What a running [`Gossip`](crate::Gossip) has done since it began, and what it thinks now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Rounds begun.
    pub rounds: u64,
    /// Messages sent, answers included.
    pub messages_sent: u64,
    /// Their size, as encoded, in bytes.
    pub bytes_sent: u64,
    /// Messages received, answers included.
    pub messages_received: u64,
    /// Their size, as encoded, in bytes.
    pub bytes_received: u64,
    /// Exchanges that failed, ran out of time or met a refusal.
    pub exchanges_failed: u64,
    /// Panics of the transport.
    pub panics: u64,
    /// Times that a node came to count as live.
    pub ups: u64,
    /// Times that others were asked about a silent node.
    pub suspicions: u64,
    /// Times that a node came to count as down.
    pub downs: u64,
    /// Changes of nodes' states, restarts and leaves.
    pub state_changes: u64,
    /// The suspicion against each node now: see [`Config::phi_threshold`](crate::Config::phi_threshold).
    pub phi: BTreeMap<NodeId, f64>,
    /// How much this node mistrusts itself: see [`Gossip::sickness`](crate::Gossip::sickness).
    pub sickness: u32,
}

/// The counts among the [`Metrics`], as they are kept.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) rounds: AtomicU64,
    pub(super) messages_sent: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
    pub(super) messages_received: AtomicU64,
    pub(super) bytes_received: AtomicU64,
    pub(super) exchanges_failed: AtomicU64,
    pub(super) panics: AtomicU64,
    ups: AtomicU64,
    suspicions: AtomicU64,
    downs: AtomicU64,
    state_changes: AtomicU64,
}

impl Counters {
    pub(super) fn count(&self, event: &Event) {
        let counter = match event {
            Event::Up(_) => &self.ups,
            Event::Suspected(_) => &self.suspicions,
            Event::Down(_) => &self.downs,
            Event::Joined(_)
            | Event::Restarted { .. }
            | Event::StateChanged(_)
            | Event::Left(_) => &self.state_changes,
            _ => return,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self, phi: BTreeMap<NodeId, f64>, sickness: u32) -> Metrics {
        Metrics {
            rounds: self.rounds.load(Relaxed),
            messages_sent: self.messages_sent.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
            messages_received: self.messages_received.load(Relaxed),
            bytes_received: self.bytes_received.load(Relaxed),
            exchanges_failed: self.exchanges_failed.load(Relaxed),
            panics: self.panics.load(Relaxed),
            ups: self.ups.load(Relaxed),
            suspicions: self.suspicions.load(Relaxed),
            downs: self.downs.load(Relaxed),
            state_changes: self.state_changes.load(Relaxed),
            phi,
            sickness,
        }
    }
}

/// One more, and so many bytes more.
pub(super) fn count_message(messages: &AtomicU64, bytes: &AtomicU64, size: usize) {
    messages.fetch_add(1, Relaxed);
    bytes.fetch_add(size as u64, Relaxed);
}
