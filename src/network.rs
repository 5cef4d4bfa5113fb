//! The network that a node lives in.

use std::future::Future;
use std::io;

use dynamokv_rpc::{Connector, Listener};

/// How a node listens and how it reaches others: TCP, unless it is started over another network, as a simulator does.
pub trait Network: Connector {
    /// Where the connections of others arrive.
    type Listener: Listener;

    /// Listens at `address`, `host:port`.
    fn listen(&self, address: &str) -> impl Future<Output = io::Result<Self::Listener>> + Send;
}
