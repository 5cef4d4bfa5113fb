//! What the harness asks of a membership protocol, so that different ones run through the same scenarios.

use std::time::{Duration, Instant};

/// A node as its cluster sees it: its place in the simulation.
pub type Place = usize;

/// What a node starts with.
pub struct Start {
    pub place: Place,
    /// How many times this place was started before, and one.
    pub generation: u64,
    /// Where to find the others.
    pub seeds: Vec<Place>,
    /// About how many there will be, for protocols that want to know.
    pub cluster_size: usize,
    pub random_seed: u64,
    pub interval: Duration,
    pub now: Instant,
}

/// A message and the place that it goes to.
pub struct Sent<M> {
    pub to: Place,
    pub message: M,
}

/// A node's changed opinion of another one.
pub struct Verdict {
    pub about: Place,
    pub down: bool,
}

/// One node of a protocol, without I/O and without a clock.
pub trait Protocol: Sized {
    type Message;
    /// How the report names it.
    const NAME: &'static str;

    fn start(start: Start) -> Self;
    /// When the node wants to be woken next.
    fn wakes_at(&self) -> Instant;
    fn wake(&mut self, now: Instant, out: &mut Vec<Sent<Self::Message>>);
    fn receive(
        &mut self,
        now: Instant,
        from: Place,
        message: Self::Message,
        out: &mut Vec<Sent<Self::Message>>,
    );
    /// The size of the message as it is sent.
    fn bytes(message: &Self::Message) -> usize;

    /// Says a new fact of this node, at once.
    fn write(&mut self, value: u64, now: Instant, out: &mut Vec<Sent<Self::Message>>);
    /// The latest fact that it knows of a node.
    fn reads(&self, of: Place) -> Option<u64>;
    /// Leaves for good.
    fn leave(&mut self, now: Instant, out: &mut Vec<Sent<Self::Message>>);
    /// Whether the node is known and has not left.
    fn knows(&self, of: Place) -> bool;
    /// Whether the node is known and counts as live.
    fn takes_for_live(&self, of: Place) -> bool;
    /// Verdicts since the last call.
    fn verdicts(&mut self) -> Vec<Verdict>;
}
