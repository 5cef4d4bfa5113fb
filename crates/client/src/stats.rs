//! What a client has done, and what it knows, for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use dynamokv_ring::Token;
use dynamokv_rpc::pb;

use crate::operation::{Kind, Sent};
use crate::prepare::Prepared;
use crate::shared::Shared;
use crate::transport::{Request, Transport};
use crate::{Client, Options, Result};

/// What a client has done since it connected, and what it knows now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests sent again.
    pub retries: u64,
    /// Reads sent to a further replica since the first was slow.
    pub hedges: u64,
    /// Nodes that it knows.
    pub nodes: usize,
    /// Those of them that did not answer of late: they are asked when nobody else is left.
    pub nodes_avoided: usize,
}

/// What is counted as attempts are made.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    retries: AtomicU64,
    hedges: AtomicU64,
}

impl Attempts {
    pub(crate) fn count(&self, sent: Sent) {
        let count = match sent {
            Sent::First => return,
            Sent::Again => &self.retries,
            Sent::Hedge => &self.hedges,
        };
        count.fetch_add(1, Relaxed);
    }
}

impl<T: Transport> Client<T> {
    /// What this client and its clones have done, and what they know. O(nodes).
    pub fn stats(&self) -> Stats {
        let Shared {
            attempts, state, ..
        } = &*self.shared;
        let (topology, now) = (self.topology(), Instant::now());
        let state = state.lock();
        let nodes = topology.nodes().iter();
        Stats {
            retries: attempts.retries.load(Relaxed),
            hedges: attempts.hedges.load(Relaxed),
            nodes: topology.nodes().len(),
            nodes_avoided: nodes
                .filter(|node| state.health.is_avoided(node.id, now))
                .count(),
        }
    }

    /// Asks whether some node answers: one after the other, as with a read.
    ///
    /// # Errors
    /// None does. See [`Error`](crate::Error).
    pub async fn ping(&self) -> Result<()> {
        let dice = self.shared.state.lock().dice.u64(..);
        let known = Some(self.topology().version());
        let prepared = Prepared {
            // Any node will do.
            token: Token(dice),
            kind: Kind::Read,
            request: Request::Topology(pb::TopologyRequest { known }),
        };
        let options = Options {
            hedge: false,
            ..self.options.clone()
        };
        self.shared.call(prepared, &options).await.map(drop)
    }
}
