//! All that a node asks of other nodes.

use std::time::Duration;

use dynamokv_antientropy::{Answer, Question};
use dynamokv_coordinator::{Fence, ReplicaError, ReplicaTransport};
use dynamokv_gossip::GossipTransport;
use dynamokv_handoff::{CollectRequest, Entry, Page, RangeRequest};
use dynamokv_ring::NodeId;
use dynamokv_rpc::{KeyScan, KeyStates, Peers};

/// Handing over data that a node holds for somebody else.
pub trait HandoverTransport: Send + Sync + 'static {
    /// Hands entries to `to`, which answers for each whether it has it, synced.
    fn send_hints(
        &self,
        to: NodeId,
        fence: Fence,
        entries: &[Entry],
        timeout: Duration,
    ) -> impl Future<Output = Result<Vec<bool>, ReplicaError>> + Send;

    /// Asks `to`, an owner, about deleted objects, and answers for each whether it agreed.
    fn collect_tombstones(
        &self,
        to: NodeId,
        fence: Fence,
        request: &CollectRequest,
        timeout: Duration,
    ) -> impl Future<Output = Result<Vec<bool>, ReplicaError>> + Send;

    /// Asks `from` for a page of a partition.
    fn fetch_range(
        &self,
        from: NodeId,
        fence: Fence,
        request: &RangeRequest,
        timeout: Duration,
    ) -> impl Future<Output = Result<Page, ReplicaError>> + Send;
}

/// Comparing copies with another owner.
pub trait ExchangeTransport: Send + Sync + 'static {
    /// Asks `to` a question; the answer is of the same kind.
    fn exchange_trees(
        &self,
        to: NodeId,
        fence: Fence,
        question: &Question<Entry>,
        timeout: Duration,
    ) -> impl Future<Output = Result<Answer<Entry>, ReplicaError>> + Send;
}

/// Listing the keys of a partition.
pub trait ListingTransport: Send + Sync + 'static {
    /// Asks `to`, an owner, which keys it has.
    fn fetch_keys(
        &self,
        to: NodeId,
        fence: Fence,
        scan: &KeyScan,
        timeout: Duration,
    ) -> impl Future<Output = Result<KeyStates, ReplicaError>> + Send;
}

/// The whole way to other nodes; the simulator has another one than [`Peers`].
pub trait Transport:
    ReplicaTransport + GossipTransport + HandoverTransport + ExchangeTransport + ListingTransport
{
}

impl<T> Transport for T where
    T: ReplicaTransport
        + GossipTransport
        + HandoverTransport
        + ExchangeTransport
        + ListingTransport
{
}

impl ListingTransport for Peers {
    async fn fetch_keys(
        &self,
        to: NodeId,
        fence: Fence,
        scan: &KeyScan,
        timeout: Duration,
    ) -> Result<KeyStates, ReplicaError> {
        Self::fetch_keys(self, to, fence, scan, timeout).await
    }
}

impl ExchangeTransport for Peers {
    async fn exchange_trees(
        &self,
        to: NodeId,
        fence: Fence,
        question: &Question<Entry>,
        timeout: Duration,
    ) -> Result<Answer<Entry>, ReplicaError> {
        Self::exchange_trees(self, to, fence, question, timeout).await
    }
}

impl HandoverTransport for Peers {
    async fn send_hints(
        &self,
        to: NodeId,
        fence: Fence,
        entries: &[Entry],
        timeout: Duration,
    ) -> Result<Vec<bool>, ReplicaError> {
        Self::send_hints(self, to, fence, entries, timeout).await
    }

    async fn collect_tombstones(
        &self,
        to: NodeId,
        fence: Fence,
        request: &CollectRequest,
        timeout: Duration,
    ) -> Result<Vec<bool>, ReplicaError> {
        Self::collect_tombstones(self, to, fence, request, timeout).await
    }

    async fn fetch_range(
        &self,
        from: NodeId,
        fence: Fence,
        request: &RangeRequest,
        timeout: Duration,
    ) -> Result<Page, ReplicaError> {
        Self::fetch_range(self, from, fence, request, timeout).await
    }
}
