use std::future::Future;

use crate::{Message, Refusal};

/// How messages reach other nodes.
pub trait GossipTransport: Send + Sync + 'static {
    /// Delivers a message and returns what the peer's [`handle`](crate::Gossip::handle) answered.
    ///
    /// A transport of datagrams sends the message and returns nothing at once; what arrives goes to
    /// [`receive`](crate::GossipHandle::receive), and its answer back to where it came from. It need not bound its time: the
    /// driver does. It may lose, double or reorder messages.
    fn exchange(
        &self,
        to_address: &str,
        message: Message,
    ) -> impl Future<Output = Result<Option<Message>, TransportError>> + Send;
}

/// Why an exchange came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The peer could not be reached, or did not answer.
    #[error("unreachable: {reason}")]
    Unreachable {
        /// What the network said.
        reason: String,
    },
    /// The peer lives, but would not take the message.
    #[error("refused: {0}")]
    Refused(Refusal),
}
