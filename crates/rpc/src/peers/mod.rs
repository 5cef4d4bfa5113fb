//! The way to other nodes.

mod failure;
mod links;
mod stream;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dynamokv_antientropy::{Answer, Question};
use dynamokv_coordinator::{
    Error as PutError, Fence, Forwarded, PutReply, ReplicaAnswer, ReplicaError, ReplicaRead,
    ReplicaTransport, ReplicaWrite,
};
use dynamokv_gossip::{GossipTransport, Message, Refusal, TransportError};
use dynamokv_handoff::{CollectRequest, Entry, HintRequest, Page, RangeRequest};
use dynamokv_ring::NodeId;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use self::failure::{lost, replica_error, unreachable};
use self::links::{Client, Links, Traffic};
use crate::connection::{Connector, channel_over};
use crate::convert::{copy_of, forwarded_verdict};
use crate::pb::{push_gossip_response, replica_result};
use crate::{Error, KeyScan, KeyStates, deadline, pb, trace};

/// Where nodes are reached; membership knows.
pub trait AddressBook: Send + Sync + 'static {
    /// The address of a node, `host:port`.
    fn address_of(&self, node: NodeId) -> Option<String>;
}

/// How other nodes are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeersConfig {
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// After this time without a word a connection is probed.
    pub keep_alive_interval: Duration,
    /// How long the answer to a probe may take before the connection counts as dead.
    pub keep_alive_timeout: Duration,
    /// How long an exchange of gossip may take.
    pub gossip_timeout: Duration,
    /// The greatest answer that is read, in bytes; as the peers' `peer_message_bytes_max`.
    pub message_bytes_max: usize,
    /// Addresses to which connections are kept; the one not used for longest goes first.
    pub addresses_max: usize,
}

impl Default for PeersConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_millis(500),
            keep_alive_interval: Duration::from_secs(2),
            keep_alive_timeout: Duration::from_secs(2),
            gossip_timeout: Duration::from_secs(5),
            message_bytes_max: 256 << 20,
            addresses_max: 1024,
        }
    }
}

/// Asks other nodes, over one connection each for requests and one for bulk transfers. Connections are made when
/// first used, and anew when they broke: the next request tries at once. Cheap to clone.
///
/// Copies and questions for copies travel over one stream a node: those that are ready at the same time share a message, and a
/// lone one leaves at once. What a slow node does not take in time waits in a bounded queue; beyond that it fails at once.
///
/// A timeout travels with each request and bounds the wait for its answer here as well.
#[derive(Clone)]
pub struct Peers {
    shared: Arc<Shared>,
}

struct Shared {
    book: Arc<dyn AddressBook>,
    links: Links,
    gossip_timeout: Duration,
}

impl Peers {
    /// Reaches nodes by TCP, where `book` says that they are.
    pub fn new(book: Arc<dyn AddressBook>, config: PeersConfig) -> Self {
        Self::linked(book, config, Endpoint::connect_lazy)
    }

    /// As [`new`](Self::new), but over connections that `connector` makes.
    pub fn over(
        book: Arc<dyn AddressBook>,
        config: PeersConfig,
        connector: impl Connector,
    ) -> Self {
        Self::linked(book, config, move |endpoint| {
            channel_over(endpoint, connector.clone())
        })
    }

    fn linked(
        book: Arc<dyn AddressBook>,
        config: PeersConfig,
        connect: impl Fn(&Endpoint) -> Channel + Send + Sync + 'static,
    ) -> Self {
        let gossip_timeout = config.gossip_timeout;
        Self {
            shared: Arc::new(Shared {
                book,
                links: Links::new(config, connect),
                gossip_timeout,
            }),
        }
    }

    /// Hands objects over to their owner. One flag an entry says whether it is synced there.
    ///
    /// # Errors
    /// As those of [`ReplicaTransport`].
    pub async fn send_hints(
        &self,
        to: NodeId,
        fence: Fence,
        entries: &[Entry],
        timeout: Duration,
    ) -> Result<Vec<bool>, ReplicaError> {
        let request = pb::SendHintsRequest::from((fence, entries));
        let call = |mut client: Client, request| async move { client.send_hints(request).await };
        let response = self.ask(to, Traffic::Bulk, request, timeout, call).await?;
        flags(
            response.failure,
            "accepted",
            response.accepted,
            entries.len(),
        )
    }

    /// Asks an owner about deleted objects; one flag an object says whether it has it too, or has let go of it.
    ///
    /// # Errors
    /// As those of [`ReplicaTransport`].
    pub async fn collect_tombstones(
        &self,
        to: NodeId,
        fence: Fence,
        request: &CollectRequest,
        timeout: Duration,
    ) -> Result<Vec<bool>, ReplicaError> {
        let message = pb::CollectTombstonesRequest::from((fence, request));
        let call =
            |mut client: Client, message| async move { client.collect_tombstones(message).await };
        let response = self.ask(to, Traffic::Bulk, message, timeout, call).await?;
        flags(
            response.failure,
            "agreed",
            response.agreed,
            request.tombstones.len(),
        )
    }

    /// Asks a node for a page of the hints that it holds.
    ///
    /// # Errors
    /// As those of [`ReplicaTransport`].
    pub async fn fetch_hints(
        &self,
        to: NodeId,
        fence: Fence,
        request: &HintRequest,
        timeout: Duration,
    ) -> Result<Page, ReplicaError> {
        let request = pb::FetchHintsRequest::from((fence, request));
        let call = |mut client: Client, request| async move { client.fetch_hints(request).await };
        self.ask(to, Traffic::Bulk, request, timeout, call)
            .await?
            .try_into()
    }

    /// Asks a node for a page of a partition.
    ///
    /// # Errors
    /// As those of [`ReplicaTransport`].
    pub async fn fetch_range(
        &self,
        to: NodeId,
        fence: Fence,
        request: &RangeRequest,
        timeout: Duration,
    ) -> Result<Page, ReplicaError> {
        let request = pb::FetchRangeRequest::from((fence, request));
        let call = |mut client: Client, request| async move { client.fetch_range(request).await };
        self.ask(to, Traffic::Bulk, request, timeout, call)
            .await?
            .try_into()
    }

    /// Asks an owner which keys it has of a partition.
    ///
    /// # Errors
    /// As those of [`ReplicaTransport`].
    pub async fn fetch_keys(
        &self,
        to: NodeId,
        fence: Fence,
        scan: &KeyScan,
        timeout: Duration,
    ) -> Result<KeyStates, ReplicaError> {
        let request = pb::FetchKeysRequest::from((fence, scan));
        let call = |mut client: Client, request| async move { client.fetch_keys(request).await };
        self.ask(to, Traffic::Bulk, request, timeout, call)
            .await?
            .try_into()
    }

    /// Asks an owner a question of an exchange.
    ///
    /// # Errors
    /// As those of [`ReplicaTransport`].
    pub async fn exchange_trees(
        &self,
        to: NodeId,
        fence: Fence,
        question: &Question<Entry>,
        timeout: Duration,
    ) -> Result<Answer<Entry>, ReplicaError> {
        let request = pb::ExchangeTreesRequest::from((fence, question));
        let call =
            |mut client: Client, request| async move { client.exchange_trees(request).await };
        self.ask(to, Traffic::Bulk, request, timeout, call)
            .await?
            .try_into()
    }

    async fn ask<M, T, F: Future<Output = Result<Response<T>, Status>>>(
        &self,
        to: NodeId,
        traffic: Traffic,
        message: M,
        timeout: Duration,
        call: impl FnOnce(Client, Request<M>) -> F,
    ) -> Result<T, ReplicaError> {
        let address = self.address_of(to)?;
        self.ask_at(&address, traffic, message, timeout, call).await
    }

    fn address_of(&self, node: NodeId) -> Result<String, ReplicaError> {
        let address = self.shared.book.address_of(node);
        address.ok_or_else(|| unreachable(format!("the address of {node} is not known")))
    }

    /// Sends a request over the stream to `to`, at once: what waits for the outcome is small.
    fn replicate(
        &self,
        to: NodeId,
        fence: Fence,
        request: pb::ReplicaRequest,
        timeout: Duration,
    ) -> impl Future<Output = Result<Option<replica_result::Outcome>, ReplicaError>> + Send + use<>
    {
        let sent = self.address_of(to).and_then(|address| {
            let stream = self.shared.links.stream(&address)?;
            stream.send(fence, request)
        });
        async move {
            let mut waiting = sent?;
            match tokio::time::timeout(timeout, waiting.outcome()).await {
                Ok(outcome) => outcome,
                Err(_) => Err(waiting.give_up(timeout)),
            }
        }
    }

    async fn ask_at<M, T, F: Future<Output = Result<Response<T>, Status>>>(
        &self,
        address: &str,
        traffic: Traffic,
        message: M,
        timeout: Duration,
        call: impl FnOnce(Client, Request<M>) -> F,
    ) -> Result<T, ReplicaError> {
        if timeout.is_zero() {
            return Err(unreachable("no time is left to ask".to_owned()));
        }
        let client = self.shared.links.client(address, traffic)?;
        let mut request = Request::new(message);
        request.set_timeout(timeout);
        trace::name_call(request.metadata_mut());
        match tokio::time::timeout(timeout, call(client, request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(replica_error(&status)),
            Err(_) => Err(lost(format!("nothing came within {timeout:?}"))),
        }
    }
}

impl ReplicaTransport for Peers {
    fn write(
        &self,
        to: NodeId,
        request: ReplicaWrite,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), ReplicaError>> + Send {
        let outcome = self.replicate(to, request.fence, (&request).into(), timeout);
        async move {
            match outcome.await? {
                None => Ok(()),
                Some(replica_result::Outcome::Failure(failure)) => Err(failure.into()),
                Some(_) => Err(unreadable(Error::field(
                    "outcome",
                    "a copy, but none was asked for",
                ))),
            }
        }
    }

    fn read(
        &self,
        to: NodeId,
        request: ReplicaRead,
        timeout: Duration,
    ) -> impl Future<Output = Result<ReplicaAnswer, ReplicaError>> + Send {
        let outcome = self.replicate(to, request.fence, (&request).into(), timeout);
        async move { copy_of(outcome.await?) }
    }

    async fn forward(
        &self,
        to: NodeId,
        mut request: Forwarded,
        timeout: Duration,
    ) -> Result<Result<PutReply, PutError>, ReplicaError> {
        // The other node's deadline is this one's, less the time that its verdict needs to arrive.
        request.put.options.timeout = Some(deadline::with_time_to_answer(timeout));
        let request = pb::ForwardPutRequest::from(request);
        let call = |mut client: Client, request| async move { client.forward_put(request).await };
        let response = self
            .ask(to, Traffic::Requests, request, timeout, call)
            .await?;
        // The write was carried out, or not: who cannot read the verdict does not know.
        forwarded_verdict(to, response.outcome).map_err(|error| lost(error.to_string()))
    }
}

impl GossipTransport for Peers {
    async fn exchange(
        &self,
        to_address: &str,
        message: Message,
    ) -> Result<Option<Message>, TransportError> {
        let request = pb::PushGossipRequest {
            message: Some(message.into()),
        };
        let call = |mut client: Client, request| async move { client.push_gossip(request).await };
        let response = self
            .ask_at(
                to_address,
                Traffic::Requests,
                request,
                self.shared.gossip_timeout,
                call,
            )
            .await
            .map_err(|error| TransportError::Unreachable {
                reason: error.to_string(),
            })?;
        match response.outcome {
            None => Ok(None),
            Some(push_gossip_response::Outcome::Reply(reply)) => match Message::try_from(reply) {
                Ok(reply) => Ok(Some(reply)),
                Err(error) => Err(TransportError::Unreachable {
                    reason: format!("unreadable answer: {error}"),
                }),
            },
            Some(push_gossip_response::Outcome::Refusal(name)) => Err(TransportError::Refused(
                Refusal::from_name(&name).unwrap_or(Refusal::BadMessage),
            )),
        }
    }
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").finish_non_exhaustive()
    }
}

/// One flag for each of so many things that were sent.
fn flags(
    failure: Option<pb::ReplicaFailure>,
    field: &'static str,
    flags: Vec<bool>,
    sent: usize,
) -> Result<Vec<bool>, ReplicaError> {
    match failure {
        Some(failure) => Err(failure.into()),
        None if flags.len() == sent => Ok(flags),
        None => Err(unreadable(Error::field(field, "not one flag an entry"))),
    }
}

fn unreadable(error: Error) -> ReplicaError {
    ReplicaError::Failed(format!("unreadable answer: {error}"))
}
