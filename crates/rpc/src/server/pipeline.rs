//! Operations over one stream, answered as they end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, Stream, StreamExt};
use prost::Message;
use tonic::Status;

use super::batch::{check_count, each};
use super::gate::Permit;
use crate::{KeyValue, pb, status};

/// The answers to the operations of `input`: each message brings what has ended by then. While so many as are allowed are
/// under way no more is read, so that a client that is too fast waits.
pub(super) struct Pipeline<K, I> {
    store: Arc<K>,
    /// The version of the topology.
    topology: Box<dyn Fn() -> u64 + Send>,
    /// `None` after its end.
    input: Option<I>,
    /// Read and not begun: what is left of one message.
    waiting: VecDeque<pb::NumberedOperation>,
    under_way: FuturesUnordered<BoxFuture<'static, pb::NumberedResult>>,
    _permit: Option<Permit>,
}

impl<K: KeyValue, I> Pipeline<K, I> {
    pub(super) fn new(
        store: Arc<K>,
        topology: impl Fn() -> u64 + Send + 'static,
        input: I,
        permit: Option<Permit>,
    ) -> Self {
        Self {
            store,
            topology: Box::new(topology),
            input: Some(input),
            waiting: VecDeque::new(),
            under_way: FuturesUnordered::new(),
            _permit: permit,
        }
    }

    fn begin(&mut self, numbered: pb::NumberedOperation) {
        let store = Arc::clone(&self.store);
        let pb::NumberedOperation { id, operation } = numbered;
        self.under_way.push(Box::pin(async move {
            let operation = operation.unwrap_or_default();
            let result = Some(each(store.as_ref(), operation, None).await);
            pb::NumberedResult { id, result }
        }));
    }

    /// Begins what may begin; reads on where all that was read has begun.
    fn fill(&mut self, context: &mut Context<'_>) -> Result<(), Status>
    where
        I: Stream<Item = Result<pb::PipelineRequest, Status>> + Unpin,
    {
        while self.under_way.len() < UNDER_WAY_MAX {
            if let Some(numbered) = self.waiting.pop_front() {
                self.begin(numbered);
                continue;
            }
            let Some(input) = &mut self.input else {
                break;
            };
            match input.poll_next_unpin(context) {
                Poll::Ready(Some(message)) => {
                    let operations = message?.operations;
                    check_count(operations.len()).map_err(status::of_failure)?;
                    self.waiting = operations.into();
                }
                Poll::Ready(None) => self.input = None,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// What has ended, up to a message full.
    fn ended(&mut self, context: &mut Context<'_>) -> Vec<pb::NumberedResult> {
        let (mut results, mut bytes) = (Vec::new(), 0);
        while bytes < MESSAGE_BYTES
            && let Poll::Ready(Some(result)) = self.under_way.poll_next_unpin(context)
        {
            bytes += result.encoded_len();
            results.push(result);
        }
        results
    }
}

impl<K, I> Stream for Pipeline<K, I>
where
    K: KeyValue,
    I: Stream<Item = Result<pb::PipelineRequest, Status>> + Unpin,
{
    type Item = Result<pb::PipelineResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            self.fill(context)?;
            let results = self.ended(context);
            if !results.is_empty() {
                let topology = (self.topology)();
                return Poll::Ready(Some(Ok(pb::PipelineResponse { results, topology })));
            }
            if self.input.is_none() && self.waiting.is_empty() && self.under_way.is_empty() {
                return Poll::Ready(None);
            }
            if self.waiting.is_empty() || self.under_way.len() >= UNDER_WAY_MAX {
                return Poll::Pending;
            }
        }
    }
}

impl<K, I> Unpin for Pipeline<K, I> {}

const UNDER_WAY_MAX: usize = 256;
/// About so much goes into one message.
const MESSAGE_BYTES: usize = 64 << 10;
