//! What all handles of a client share.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::{BufMut, Bytes, BytesMut};
use dynamokv_ring::NodeId;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::budget::Budget;
use crate::health::Health;
use crate::latency::Percentile;
use crate::stats::Attempts;
use crate::{ClientConfig, Topology, Transport};

pub(crate) struct Shared<T> {
    pub(crate) transport: T,
    pub(crate) config: ClientConfig,
    pub(crate) seeds: Vec<String>,
    pub(crate) topology: ArcSwap<Topology>,
    pub(crate) state: Mutex<State>,
    pub(crate) attempts: Attempts,
    /// Rings when the topology may have changed.
    pub(crate) stale: Arc<Notify>,
    follower: Mutex<Option<AbortHandle>>,
    writes: Writes,
}

/// What changes with every request.
pub(crate) struct State {
    pub(crate) health: Health,
    pub(crate) retries: Budget,
    pub(crate) hedges: Budget,
    pub(crate) latency: Percentile,
    pub(crate) dice: fastrand::Rng,
    /// Who said that the topology has changed.
    pub(crate) teller: Option<NodeId>,
}

impl<T: Transport> Shared<T> {
    pub(crate) fn new(
        transport: T,
        config: ClientConfig,
        seeds: Vec<String>,
        topology: Topology,
    ) -> Self {
        let state = State {
            health: Health::default(),
            retries: Budget::new(config.retry_ratio, config.retry_burst),
            hedges: Budget::new(config.hedge_ratio, config.hedge_burst),
            latency: Percentile::new(config.hedge_after_min, config.hedge_after_max),
            dice: fastrand::Rng::with_seed(random()),
            teller: None,
        };
        Self {
            transport,
            config,
            seeds,
            topology: ArcSwap::from_pointee(topology),
            state: Mutex::new(state),
            attempts: Attempts::default(),
            stale: Arc::default(),
            follower: Mutex::default(),
            writes: Writes::default(),
        }
    }

    pub(crate) fn followed_by(&self, follower: AbortHandle) {
        *self.follower.lock() = Some(follower);
    }

    /// A node told which topology it knows.
    pub(crate) fn heard(&self, node: NodeId, version: Option<u64>) {
        if version.is_some_and(|version| version != self.topology.load().version()) {
            self.state.lock().teller = Some(node);
            self.stale.notify_one();
        }
    }

    /// A request did not reach the node: perhaps it is elsewhere by now.
    pub(crate) fn missed(&self, node: NodeId, now: Instant) {
        self.state.lock().health.failed(node, now);
        self.stale.notify_one();
    }

    pub(crate) fn new_idempotency_key(&self) -> Bytes {
        self.writes.next()
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if let Some(follower) = self.follower.lock().take() {
            follower.abort();
        }
    }
}

/// Names for writes: random bits of this client and a number.
struct Writes {
    client: [u64; 2],
    count: AtomicU64,
}

impl Default for Writes {
    fn default() -> Self {
        Self {
            client: [random(), random()],
            count: AtomicU64::new(0),
        }
    }
}

impl Writes {
    fn next(&self) -> Bytes {
        let mut name = BytesMut::with_capacity(24);
        for part in self.client {
            name.put_u64(part);
        }
        name.put_u64(self.count.fetch_add(1, Ordering::Relaxed));
        name.freeze()
    }
}

/// Randomness of the operating system, through the seeds that the standard library draws for its maps.
fn random() -> u64 {
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_writes_have_one_name() {
        let clients = [Writes::default(), Writes::default()];
        let names: BTreeSet<Bytes> = (0..200).map(|n| clients[n % 2].next()).collect();
        assert_eq!(names.len(), 200);
    }
}
