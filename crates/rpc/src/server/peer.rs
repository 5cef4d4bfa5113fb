//! `DynamoRPC` over a [`PeerService`].

use std::sync::Arc;

use dynamokv_gossip::{Error as GossipError, Message};
use futures_util::stream::{BoxStream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::Stopping;
use super::gate::Gate;
use super::replication::Replication;
use crate::convert::forwarded_outcome;
use crate::error::required;
use crate::pb::push_gossip_response;
use crate::{Error, PeerService, pb, status};

pub(super) struct Handler<S> {
    service: Arc<S>,
    /// Counts the requests within streams.
    gate: Gate,
    stopping: Stopping,
}

impl<S> Handler<S> {
    pub(super) fn new(service: Arc<S>, gate: Gate, stopping: Stopping) -> Self {
        Self {
            service,
            gate,
            stopping,
        }
    }
}

#[tonic::async_trait]
impl<S: PeerService> pb::dynamo_rpc_server::DynamoRpc for Handler<S> {
    async fn internal_put(
        &self,
        request: Request<pb::InternalPutRequest>,
    ) -> Result<Response<pb::InternalPutResponse>, Status> {
        let write = read(request)?;
        let failure = self.service.internal_put(write).await.err().map(Into::into);
        Ok(Response::new(pb::InternalPutResponse { failure }))
    }

    async fn internal_get(
        &self,
        request: Request<pb::InternalGetRequest>,
    ) -> Result<Response<pb::InternalGetResponse>, Status> {
        let question = read(request)?;
        Ok(Response::new(
            self.service.internal_get(question).await.into(),
        ))
    }

    type ReplicateStream = BoxStream<'static, Result<pb::ReplicateResponse, Status>>;

    async fn replicate(
        &self,
        request: Request<Streaming<pb::ReplicateRequest>>,
    ) -> Result<Response<Self::ReplicateStream>, Status> {
        let requests = request.into_inner().take_until(self.stopping.clone());
        let service = Arc::clone(&self.service);
        let replication = Replication::new(service, requests, self.gate.clone());
        Ok(Response::new(replication.boxed()))
    }

    async fn forward_put(
        &self,
        request: Request<pb::ForwardPutRequest>,
    ) -> Result<Response<pb::ForwardPutResponse>, Status> {
        let forwarded = read(request)?;
        let outcome = forwarded_outcome(self.service.forward_put(forwarded).await);
        Ok(Response::new(pb::ForwardPutResponse {
            outcome: Some(outcome),
        }))
    }

    async fn send_hints(
        &self,
        request: Request<pb::SendHintsRequest>,
    ) -> Result<Response<pb::SendHintsResponse>, Status> {
        let (fence, entries) = read(request)?;
        let (accepted, failure) = match self.service.send_hints(fence, entries).await {
            Ok(accepted) => (accepted, None),
            Err(error) => (Vec::new(), Some(error.into())),
        };
        Ok(Response::new(pb::SendHintsResponse { accepted, failure }))
    }

    async fn collect_tombstones(
        &self,
        request: Request<pb::CollectTombstonesRequest>,
    ) -> Result<Response<pb::CollectTombstonesResponse>, Status> {
        let (fence, question) = read(request)?;
        let (agreed, failure) = match self.service.collect_tombstones(fence, question).await {
            Ok(agreed) => (agreed, None),
            Err(error) => (Vec::new(), Some(error.into())),
        };
        Ok(Response::new(pb::CollectTombstonesResponse {
            agreed,
            failure,
        }))
    }

    async fn fetch_hints(
        &self,
        request: Request<pb::FetchHintsRequest>,
    ) -> Result<Response<pb::ObjectPageResponse>, Status> {
        let (fence, question) = read(request)?;
        Ok(Response::new(
            self.service.fetch_hints(fence, question).await.into(),
        ))
    }

    async fn fetch_range(
        &self,
        request: Request<pb::FetchRangeRequest>,
    ) -> Result<Response<pb::ObjectPageResponse>, Status> {
        let (fence, question) = read(request)?;
        Ok(Response::new(
            self.service.fetch_range(fence, question).await.into(),
        ))
    }

    async fn fetch_keys(
        &self,
        request: Request<pb::FetchKeysRequest>,
    ) -> Result<Response<pb::FetchKeysResponse>, Status> {
        let (fence, scan) = read(request)?;
        Ok(Response::new(
            self.service.fetch_keys(fence, scan).await.into(),
        ))
    }

    async fn exchange_trees(
        &self,
        request: Request<pb::ExchangeTreesRequest>,
    ) -> Result<Response<pb::ExchangeTreesResponse>, Status> {
        let (fence, question) = read(request)?;
        Ok(Response::new(
            self.service.exchange_trees(fence, question).await.into(),
        ))
    }

    async fn push_gossip(
        &self,
        request: Request<pb::PushGossipRequest>,
    ) -> Result<Response<pb::PushGossipResponse>, Status> {
        let message = required("message", request.into_inner().message)
            .map_err(|error| status::of_message(&error))?;
        let answer = match Message::decode(&message.message) {
            Ok(message) => self.service.push_gossip(message).await,
            // The peer is told in the protocol's own terms.
            Err(error @ (GossipError::NewerFormat { .. } | GossipError::OlderFormat { .. })) => {
                Err(error)
            }
            Err(error) => {
                let malformed = Error::Malformed {
                    message: "GossipMessage",
                    reason: error.to_string(),
                };
                return Err(status::of_message(&malformed));
            }
        };
        let outcome = match answer {
            Ok(reply) => reply.map(|reply| push_gossip_response::Outcome::Reply(reply.into())),
            Err(error) => Some(push_gossip_response::Outcome::Refusal(
                error.refusal().as_str().to_owned(),
            )),
        };
        Ok(Response::new(pb::PushGossipResponse { outcome }))
    }
}

fn read<M, T: TryFrom<M, Error = Error>>(request: Request<M>) -> Result<T, Status> {
    request
        .into_inner()
        .try_into()
        .map_err(|error| status::of_message(&error))
}
