//! Requests to one node over a long-lived stream: what is ready at the same time shares a message.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dynamokv_coordinator::{Fence, ReplicaError, RequestId};
use futures_util::stream;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::failure::{lost, replica_error, unreachable};
use super::links::Client;
use crate::pb;
use crate::pb::replica_result;

type Outcome = Result<Option<replica_result::Outcome>, ReplicaError>;

/// One stream, from the first request to its end. Dropping it cuts it off.
pub(super) struct Stream {
    outbox: Outbox,
    task: AbortHandle,
}

impl Stream {
    pub(super) fn open(client: Client) -> Self {
        let outbox = Outbox::default();
        let task = tokio::spawn(carry(client, outbox.clone())).abort_handle();
        Self { outbox, task }
    }

    pub(super) fn is_open(&self) -> bool {
        self.outbox.shared.requests.lock().is_open
    }

    pub(super) fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
        self.outbox
            .end(&lost("the connection was given up".to_owned()));
    }
}

async fn carry(mut client: Client, outbox: Outbox) {
    let messages = stream::unfold(outbox.clone(), |outbox| async move {
        Some((outbox.message().await, outbox))
    });
    let end = match client.replicate(messages).await {
        Ok(response) => {
            let mut answers = response.into_inner();
            loop {
                match answers.message().await {
                    Ok(Some(message)) => outbox.deliver(message.results),
                    Ok(None) => break lost("the other side has ended the stream".to_owned()),
                    // Some of what was sent may have been carried out, whatever the reason.
                    Err(status) => break lost(replica_error(&status).to_string()),
                }
            }
        }
        Err(status) => replica_error(&status),
    };
    outbox.end(&end);
}

/// What waits to be sent, and what was sent and waits for its answer. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Outbox {
    shared: Arc<Shared>,
}

struct Shared {
    requests: Mutex<Requests>,
    /// Of the stream's sending half.
    sender: AtomicWaker,
}

impl Default for Shared {
    fn default() -> Self {
        let requests = Requests {
            is_open: true,
            next_id: 0,
            sent_below: 0,
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            waiting: BTreeMap::new(),
        };
        Self {
            requests: Mutex::new(requests),
            sender: AtomicWaker::new(),
        }
    }
}

struct Requests {
    is_open: bool,
    next_id: u64,
    /// Requests with lower numbers were put into messages.
    sent_below: u64,
    /// In the order of their numbers. Those that nobody waits for any more are not sent.
    unsent: VecDeque<Unsent>,
    unsent_bytes: usize,
    waiting: BTreeMap<u64, oneshot::Sender<Outcome>>,
}

struct Unsent {
    fence: Fence,
    request: pb::ReplicaRequest,
    bytes: usize,
}

impl Outbox {
    /// Hands a request over to be sent. Fails at once where too much waits already.
    pub(super) fn send(
        &self,
        fence: Fence,
        mut request: pb::ReplicaRequest,
    ) -> Result<Waiting, ReplicaError> {
        if let Some(id) = RequestId::current() {
            request.request_id = id.as_str().to_owned();
        }
        let delta = request.delta.as_ref().map_or(0, bytes::Bytes::len);
        let bytes = request.key.len() + delta + REQUEST_BYTES;
        let (sender, outcome) = oneshot::channel();
        let mut requests = self.shared.requests.lock();
        if requests.unsent_bytes + bytes > UNSENT_BYTES_MAX && requests.unsent_bytes > 0 {
            return Err(ReplicaError::Failed(format!(
                "not sent: {} bytes wait for the node already",
                requests.unsent_bytes
            )));
        }
        if !requests.is_open {
            return Err(unreachable("the connection has just ended".to_owned()));
        }
        let id = requests.next_id;
        requests.next_id += 1;
        request.id = id;
        requests.waiting.insert(id, sender);
        requests.unsent_bytes += bytes;
        requests.unsent.push_back(Unsent {
            fence,
            request,
            bytes,
        });
        drop(requests);
        self.shared.sender.wake();
        Ok(Waiting {
            outbox: self.clone(),
            id,
            outcome,
            is_over: false,
        })
    }

    /// All that can leave in one message: requests under the same fence.
    async fn message(&self) -> pb::ReplicateRequest {
        loop {
            poll_fn(|context| self.poll_unsent(context)).await;
            // No time passes, but whoever is ready now adds to the message.
            tokio::task::yield_now().await;
            if let Some(message) = self.shared.requests.lock().take_message() {
                return message;
            }
        }
    }

    /// Ready when something waits to be sent.
    fn poll_unsent(&self, context: &mut Context<'_>) -> Poll<()> {
        let is_empty = || self.shared.requests.lock().unsent.is_empty();
        if is_empty() {
            self.shared.sender.register(context.waker());
            // Again: what was handed over in between woke nobody.
            if is_empty() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    fn deliver(&self, results: Vec<pb::ReplicaResult>) {
        let mut requests = self.shared.requests.lock();
        for pb::ReplicaResult { id, outcome } in results {
            if let Some(waiting) = requests.waiting.remove(&id) {
                // Whoever gave up needs no answer.
                let _ = waiting.send(Ok(outcome));
            }
        }
    }

    /// Nothing more is sent or answered. What was never sent has not happened.
    fn end(&self, reason: &ReplicaError) {
        let (waiting, sent_below) = {
            let mut requests = self.shared.requests.lock();
            requests.is_open = false;
            requests.unsent.clear();
            requests.unsent_bytes = 0;
            (std::mem::take(&mut requests.waiting), requests.sent_below)
        };
        for (id, waiting) in waiting {
            let outcome = if id < sent_below {
                reason.clone()
            } else {
                unreachable(reason.to_string())
            };
            let _ = waiting.send(Err(outcome));
        }
    }
}

impl Requests {
    fn take_message(&mut self) -> Option<pb::ReplicateRequest> {
        let mut message: Option<pb::ReplicateRequest> = None;
        let mut of = None;
        let mut bytes = 0;
        while bytes < MESSAGE_BYTES
            && let Some(next) = self.unsent.pop_front()
        {
            let is_waited_for = self.waiting.contains_key(&next.request.id);
            if is_waited_for && of.is_some_and(|fence| fence != next.fence) {
                self.unsent.push_front(next);
                break;
            }
            self.unsent_bytes -= next.bytes;
            if !is_waited_for {
                continue;
            }
            self.sent_below = next.request.id + 1;
            bytes += next.bytes;
            of = Some(next.fence);
            message
                .get_or_insert_with(|| pb::ReplicateRequest {
                    fence: Some(next.fence.into()),
                    requests: Vec::new(),
                })
                .requests
                .push(next.request);
        }
        message
    }
}

/// A request under way. Dropping it abandons the request, which is not sent then if it was not yet.
pub(super) struct Waiting {
    outbox: Outbox,
    id: u64,
    outcome: oneshot::Receiver<Outcome>,
    is_over: bool,
}

impl Waiting {
    pub(super) async fn outcome(&mut self) -> Outcome {
        let outcome = (&mut self.outcome).await;
        self.is_over = true;
        match outcome {
            Ok(outcome) => outcome,
            Err(_) => Err(lost("the connection was given up".to_owned())),
        }
    }

    /// What is known of a request that had no answer in time.
    pub(super) fn give_up(self, waited: Duration) -> ReplicaError {
        if self.id < self.outbox.shared.requests.lock().sent_below {
            lost(format!("nothing came within {waited:?}"))
        } else {
            unreachable(format!("not sent within {waited:?}"))
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_over {
            self.outbox.shared.requests.lock().waiting.remove(&self.id);
        }
    }
}

/// About so much goes into one message.
const MESSAGE_BYTES: usize = 64 << 10;
/// So much may wait for a node that takes no more.
const UNSENT_BYTES_MAX: usize = 16 << 20;
/// What a request counts beside its key and its delta.
const REQUEST_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Send { number: u64, bytes: usize },
        TakeMessage,
        GiveUp(prop::sample::Index),
        Answer(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..3_u64, 0..40_000_usize).prop_map(|(number, bytes)| Step::Send { number, bytes }),
            2 => Just(Step::TakeMessage),
            1 => any::<prop::sample::Index>().prop_map(Step::GiveUp),
            1 => any::<prop::sample::Index>().prop_map(Step::Answer),
        ]
    }

    fn fence(number: u64) -> Fence {
        Fence {
            cluster: 1,
            number,
            fingerprint: 1,
            seen: number,
        }
    }

    proptest! {
        /// Against a plain list of what was handed over.
        #[test]
        fn each_request_is_sent_once_in_order_or_not_at_all(steps in prop::collection::vec(step(), 1..60)) {
            let outbox = Outbox::default();
            let mut under_way: Vec<Waiting> = Vec::new();
            let mut given_up = BTreeSet::new();
            let mut expected = VecDeque::new();
            let mut sent = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Send { number, bytes } => {
                        let delta = Some(vec![0; bytes].into());
                        let request = pb::ReplicaRequest { delta, ..Default::default() };
                        let waiting = outbox.send(fence(number), request).unwrap();
                        expected.push_back((waiting.id, number, bytes));
                        under_way.push(waiting);
                    }
                    Step::TakeMessage => {
                        expected.retain(|(id, ..)| !given_up.contains(id));
                        let message = outbox.shared.requests.lock().take_message();
                        prop_assert_eq!(message.is_some(), !expected.is_empty());
                        let Some(message) = message else { continue };
                        let of = message.fence.unwrap().number;
                        let mut bytes = 0;
                        for request in &message.requests {
                            prop_assert!(bytes < MESSAGE_BYTES);
                            let (id, number, delta) = expected.pop_front().unwrap();
                            prop_assert_eq!((request.id, of), (id, number));
                            sent.insert(id);
                            bytes += delta + REQUEST_BYTES;
                        }
                        // Nothing that fits is left for the next one.
                        let fits = expected.front().is_some_and(|(_, number, _)| *number == of);
                        prop_assert!(bytes >= MESSAGE_BYTES || !fits);
                    }
                    Step::GiveUp(which) if !under_way.is_empty() => {
                        let waiting = under_way.swap_remove(which.index(under_way.len()));
                        let id = waiting.id;
                        let lost = matches!(waiting.give_up(Duration::ZERO), ReplicaError::Lost(_));
                        prop_assert_eq!(lost, sent.contains(&id));
                        given_up.insert(id);
                    }
                    Step::Answer(which) if !sent.is_empty() => {
                        let id = *which.get(&Vec::from_iter(sent.iter().copied()));
                        outbox.deliver(vec![pb::ReplicaResult { id, outcome: None }]);
                        if let Some(at) = under_way.iter().position(|waiting| waiting.id == id) {
                            let mut answered = under_way.swap_remove(at);
                            prop_assert_eq!(answered.outcome().now_or_never(), Some(Ok(None)));
                        }
                    }
                    Step::GiveUp(_) | Step::Answer(_) => {}
                }
            }
            outbox.end(&lost("over".to_owned()));
            for mut waiting in under_way {
                let outcome = waiting.outcome().now_or_never().unwrap().unwrap_err();
                prop_assert_eq!(matches!(outcome, ReplicaError::Lost(_)), sent.contains(&waiting.id));
                prop_assert!(matches!(outcome, ReplicaError::Lost(_) | ReplicaError::Unreachable(_)));
            }
            prop_assert!(outbox.send(fence(0), pb::ReplicaRequest::default()).is_err());
            prop_assert_eq!(outbox.shared.requests.lock().waiting.len(), 0);
        }
    }
}
