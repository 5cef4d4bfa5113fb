//! Requests of another node over one stream, answered as they end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use dynamokv_coordinator::{ReplicaAnswer, ReplicaError, ReplicaRead, ReplicaWrite};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, Stream, StreamExt};
use prost::Message;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use super::gate::Gate;
use crate::convert::{Replicated, fence_from, replicated_from};
use crate::pb::replica_result::Outcome;
use crate::{PeerService, pb, status};

/// The answers to `requests`: each message brings what has ended by then. What arrived together is written together.
pub(super) struct Replication<S, I> {
    service: Arc<S>,
    /// `None` after its end.
    requests: Option<I>,
    gate: Gate,
    writes: FuturesUnordered<BoxFuture<'static, Vec<pb::ReplicaResult>>>,
    /// Each is made when its answer fits into the next message, so that large values do not pile up.
    reads: FuturesUnordered<BoxFuture<'static, pb::ReplicaResult>>,
    /// Answers of requests that were not begun.
    refused: Vec<pb::ReplicaResult>,
}

impl<S: PeerService, I> Replication<S, I> {
    pub(super) fn new(service: Arc<S>, requests: I, gate: Gate) -> Self {
        Self {
            service,
            requests: Some(requests),
            gate,
            writes: FuturesUnordered::new(),
            reads: FuturesUnordered::new(),
            refused: Vec::new(),
        }
    }

    fn begin(&mut self, message: pb::ReplicateRequest) -> crate::Result<()> {
        let fence = fence_from(message.fence)?;
        let place = match self.gate.enter(message.requests.len()) {
            Ok(place) => Arc::new(place),
            Err(words) => {
                let refused = message.requests.iter();
                let refused =
                    refused.map(|request| failure(request.id, ReplicaError::Failed(words.clone())));
                self.refused.extend(refused);
                return Ok(());
            }
        };
        let mut writes = Vec::new();
        for request in message.requests {
            let id = request.id;
            // A span costs as much as a small read, and here nothing else would be logged within it.
            if tracing::enabled!(tracing::Level::DEBUG) && !request.request_id.is_empty() {
                let span = tracing::debug_span!("request", id = %request.request_id);
                tracing::debug!(parent: &span, is_write = request.delta.is_some(), "taken");
            }
            match replicated_from(fence, request) {
                Ok(Replicated::Write(write)) => writes.push((id, write)),
                Ok(Replicated::Read(read)) => {
                    let answered = read_one(Arc::clone(&self.service), id, read);
                    self.reads.push(holding(Arc::clone(&place), answered));
                }
                Err(error) => {
                    let error = ReplicaError::Failed(error.to_string());
                    self.refused.push(failure(id, error));
                }
            }
        }
        if !writes.is_empty() {
            let written = write_all(Arc::clone(&self.service), writes);
            self.writes.push(holding(place, written));
        }
        Ok(())
    }

    /// What has ended, up to a message full.
    fn ended(&mut self, context: &mut Context<'_>) -> Vec<pb::ReplicaResult> {
        let mut results = std::mem::take(&mut self.refused);
        while let Poll::Ready(Some(written)) = self.writes.poll_next_unpin(context) {
            results.extend(written);
        }
        let mut bytes = 0;
        while bytes < MESSAGE_BYTES
            && let Poll::Ready(Some(read)) = self.reads.poll_next_unpin(context)
        {
            bytes += read.encoded_len();
            results.push(read);
        }
        results
    }
}

impl<S, I> Stream for Replication<S, I>
where
    S: PeerService,
    I: Stream<Item = Result<pb::ReplicateRequest, Status>> + Unpin,
{
    type Item = Result<pb::ReplicateResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // One message, then what has ended: answers do not wait until a busy sender pauses.
        if let Some(requests) = &mut self.requests {
            match requests.poll_next_unpin(context) {
                Poll::Ready(Some(message)) => {
                    self.begin(message?)
                        .map_err(|error| status::of_message(&error))?;
                    // There may be another one.
                    context.waker().wake_by_ref();
                }
                Poll::Ready(None) => self.requests = None,
                Poll::Pending => {}
            }
        }
        let results = self.ended(context);
        if !results.is_empty() {
            return Poll::Ready(Some(Ok(pb::ReplicateResponse { results })));
        }
        if self.requests.is_none() && self.writes.is_empty() && self.reads.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

impl<S, I> Unpin for Replication<S, I> {}

fn holding<R>(
    place: Arc<OwnedSemaphorePermit>,
    work: impl Future<Output = R> + Send + 'static,
) -> BoxFuture<'static, R> {
    Box::pin(work.inspect(move |_| drop(place)))
}

async fn read_one<S: PeerService>(
    service: Arc<S>,
    id: u64,
    read: ReplicaRead,
) -> pb::ReplicaResult {
    let outcome = match service.internal_get(read).await {
        Ok(ReplicaAnswer::Copy(copy)) => Outcome::State((&copy).into()),
        Ok(ReplicaAnswer::Same { marked }) => Outcome::SameAndMarked(marked),
        Err(error) => Outcome::Failure(error.into()),
    };
    pb::ReplicaResult {
        id,
        outcome: Some(outcome),
    }
}

async fn write_all<S: PeerService>(
    service: Arc<S>,
    writes: Vec<(u64, ReplicaWrite)>,
) -> Vec<pb::ReplicaResult> {
    let (ids, writes): (Vec<u64>, Vec<ReplicaWrite>) = writes.into_iter().unzip();
    let results = service.internal_put_all(writes).await;
    let result = |(id, result): (u64, Result<(), ReplicaError>)| match result {
        Ok(()) => pb::ReplicaResult { id, outcome: None },
        Err(error) => failure(id, error),
    };
    ids.into_iter().zip(results).map(result).collect()
}

fn failure(id: u64, error: ReplicaError) -> pb::ReplicaResult {
    let outcome = Some(Outcome::Failure(error.into()));
    pb::ReplicaResult { id, outcome }
}

/// About so many bytes of copies go into one message.
const MESSAGE_BYTES: usize = 64 << 10;
