//! The tokio shell around the machine.

mod handle;
mod metrics;
mod rounds;
mod transport;

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::Gossip;

pub use handle::GossipHandle;
pub use metrics::Metrics;
pub use transport::{GossipTransport, TransportError};

/// Starts gossiping on the current tokio runtime. The task ends after [`GossipHandle::stop`].
///
/// Must be called within a runtime that has its timer enabled.
pub fn spawn<T: GossipTransport>(
    gossip: Gossip,
    transport: Arc<T>,
) -> (GossipHandle, JoinHandle<()>) {
    let handle = GossipHandle::new(gossip);
    let task = tokio::spawn(run(handle.clone(), transport));
    (handle, task)
}

/// The gossip loop of a handle, for those who spawn it themselves: once for each handle.
pub async fn run<T: GossipTransport>(handle: GossipHandle, transport: Arc<T>) {
    rounds::Rounds::new(handle, transport).run().await;
}
