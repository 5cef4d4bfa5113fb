use std::time::Duration;

use dynamokv_ring::NodeId;

use crate::Refusal;

/// Something that happened to the view of the cluster, drained by [`Gossip::poll_event`](crate::Gossip::poll_event).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A node became known.
    Joined(NodeId),
    /// A node counts as live from now on.
    Up(NodeId),
    /// A node was not heard of for too long; others are asked about it before it counts as down.
    Suspected(NodeId),
    /// A node counts as down from now on: a local, temporary opinion that moves no data.
    Down(NodeId),
    /// A node started anew: what it kept in memory is gone.
    Restarted {
        /// The node.
        id: NodeId,
        /// Its generation now.
        generation: u64,
    },
    /// A node's profile or key-values changed.
    StateChanged(NodeId),
    /// The cluster facts changed through gossip.
    FactsChanged,
    /// A node is gone for good. Of the own id: the others removed this node.
    Left(NodeId),
    /// Two nodes claim one id. Reported once for each pair.
    IdConflict {
        /// The id.
        id: NodeId,
        /// The address that is known to hold it.
        known: String,
        /// The other address.
        other: String,
    },
    /// The cluster remembers a greater generation of this node than it has, or a life of the same one: its disk was restored from an
    /// older copy.
    /// Raise the generation with [`Gossip::raise_generation`](crate::Gossip::raise_generation), or nobody listens.
    GenerationAhead {
        /// The generation that was seen.
        seen: u64,
    },
    /// This process was paused, or its clock jumped: nobody is accused for the gap.
    ClockJumped {
        /// The time between two rounds.
        gap: Duration,
    },
    /// A peer would not talk to this node.
    Refused {
        /// The peer's address.
        address: String,
        /// Why.
        refusal: Refusal,
    },
}
