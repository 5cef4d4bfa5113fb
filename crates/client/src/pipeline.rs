//! Operations over one stream to each node: many under way, answered as they end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dynamokv_ring::NodeId;
use dynamokv_rpc::pb;
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use crate::batch::{Done, Job, Operation, done};
use crate::operation::Step;
use crate::transport::{Cause, Failed, Reply, Transport};
use crate::{Client, Grpc, Result};

/// Sends operations one after the other without waiting for their results. Made by [`Client::pipeline`]; cheap to clone.
///
/// What waits to be sent to one node goes there in one message, and so do the answers: under load many operations cost as much
/// as one. Where a stream breaks, its operations are carried on by themselves, as far as that is safe.
pub struct Pipeline<T = Grpc> {
    client: Client<T>,
    permits: Arc<Semaphore>,
    lanes: Arc<Mutex<BTreeMap<NodeId, Lane>>>,
}

/// The stream to one node.
struct Lane {
    address: String,
    jobs: Sender<Sent>,
}

/// Where the answer to an operation goes, and where it comes out.
type Answering = oneshot::Sender<Result<Reply, Failed>>;
type Awaited = oneshot::Receiver<Result<Reply, Failed>>;

/// An operation on its way to a lane.
struct Sent {
    operation: pb::Operation,
    bytes: usize,
    answer: Answering,
}

impl<T: Transport> Client<T> {
    /// A pipeline of at most so many operations under way, 1 at least.
    pub fn pipeline(&self, under_way_max: usize) -> Pipeline<T> {
        let under_way_max = under_way_max.clamp(1, Semaphore::MAX_PERMITS);
        Pipeline {
            client: self.clone(),
            permits: Arc::new(Semaphore::new(under_way_max)),
            lanes: Arc::default(),
        }
    }
}

impl<T: Transport> Pipeline<T> {
    /// Sends an operation as soon as there is room for it, and gives its result to be awaited; whoever drops that does not know the
    /// outcome. Operations are carried out in no order: await the first where a second one must come after it.
    pub async fn submit(
        &self,
        operation: Operation,
    ) -> impl Future<Output = Result<Done>> + Send + 'static + use<T> {
        // Never closed.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let now = Instant::now();
        let mut job = self.client.job(operation, now);
        let sent = self.send(&mut job, now);
        let client = self.client.clone();
        async move {
            let _permit = permit;
            let Some((node, timeout, answer)) = sent else {
                return client.finish(job).await;
            };
            let failed = match tokio::time::timeout(timeout, answer).await {
                Ok(Ok(Ok(reply))) => {
                    client.shared.answered(node, &job.begun);
                    return done(reply, job.begun.operation.attempts());
                }
                Ok(Ok(Err(failed))) => failed,
                Ok(Err(_)) => Failed::new(Cause::Lost, "the stream broke"),
                Err(_) => Failed::new(Cause::Lost, format!("nothing came within {timeout:?}")),
            };
            client.shared.failed(&mut job.begun, node, failed);
            client.finish(job).await
        }
    }

    /// Puts the first attempt on a lane; `None` if there is none for it.
    fn send(&self, job: &mut Job, now: Instant) -> Option<(NodeId, Duration, Awaited)> {
        let shared = &self.client.shared;
        let Step::Send(attempt) = shared.step(&mut job.begun, now) else {
            return None;
        };
        let topology = self.client.topology();
        let token = job.prepared.token;
        let (node, address) = shared.choose(&topology, token, &job.begun, attempt, now)?;
        let (answer, receiver) = oneshot::channel();
        let request = job.prepared.request.clone();
        let sent = Sent {
            bytes: request.bytes(),
            operation: request.within(attempt.timeout).into(),
            answer,
        };
        self.lane(node, address).try_send(sent).ok()?;
        shared.sent(&mut job.begun, node);
        Some((node, attempt.timeout, receiver))
    }

    fn lane(&self, node: NodeId, address: String) -> Sender<Sent> {
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.get(&node)
            && lane.address == address
            && !lane.jobs.is_closed()
        {
            return lane.jobs.clone();
        }
        let (jobs, waiting) = mpsc::channel(LANE_MAX);
        tokio::spawn(drive(self.client.clone(), node, address.clone(), waiting));
        let lane = Lane {
            address,
            jobs: jobs.clone(),
        };
        lanes.insert(node, lane);
        jobs
    }
}

impl<T> Clone for Pipeline<T> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            permits: Arc::clone(&self.permits),
            lanes: Arc::clone(&self.lanes),
        }
    }
}

impl<T> std::fmt::Debug for Pipeline<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").finish_non_exhaustive()
    }
}

/// Carries the jobs of one lane over one stream, until there are no more, or until it breaks: what waits then has failed.
async fn drive<T: Transport>(
    client: Client<T>,
    node: NodeId,
    address: String,
    mut jobs: Receiver<Sent>,
) {
    let (messages, outgoing) = mpsc::channel(MESSAGES_MAX);
    let mut waiting = BTreeMap::new();
    let broke = {
        let transport = &client.shared.transport;
        let incoming = transport.pipeline(&address, outgoing);
        let mut incoming = std::pin::pin!(incoming);
        let mut next_id = 0;
        let mut messages = Some(messages);
        loop {
            tokio::select! {
                biased;
                response = incoming.next() => match response {
                    Some(Ok(response)) => {
                        client.shared.heard(node, Some(response.topology).filter(|version| *version != 0));
                        settle(&mut waiting, response);
                    }
                    Some(Err(failed)) => break failed,
                    None => break Failed::new(Cause::Lost, "the stream ended"),
                },
                message = collect(&mut jobs, messages.as_ref(), &mut waiting, &mut next_id),
                    if messages.is_some() =>
                {
                    // The node ends its side after the last answer.
                    if !message {
                        messages = None;
                    }
                }
            }
        }
    };
    jobs.close();
    while let Some(sent) = jobs.recv().await {
        let never = Failed::new(Cause::NotSent, broke.message.clone());
        let _ = sent.answer.send(Err(never));
    }
    for answer in waiting.into_values() {
        // Whoever is gone does not want to know.
        let _: Result<(), _> = oneshot::Sender::send(answer, Err(broke.clone()));
    }
}

/// Sends what waits in one message; whether more may come. It may be dropped and begun anew: nothing is taken before there
/// is room for it.
async fn collect(
    jobs: &mut Receiver<Sent>,
    messages: Option<&Sender<pb::PipelineRequest>>,
    waiting: &mut BTreeMap<u64, Answering>,
    next_id: &mut u64,
) -> bool {
    let Some(messages) = messages else {
        return false;
    };
    let Ok(room) = messages.reserve().await else {
        return false;
    };
    let Some(first) = jobs.recv().await else {
        return false;
    };
    let (mut operations, mut bytes) = (Vec::new(), 0);
    let mut job = Some(first);
    while let Some(sent) = job.take() {
        let id = *next_id;
        *next_id += 1;
        bytes += sent.bytes;
        waiting.insert(id, sent.answer);
        let operation = Some(sent.operation);
        operations.push(pb::NumberedOperation { id, operation });
        if operations.len() < OPERATIONS_MAX && bytes < MESSAGE_BYTES {
            job = jobs.try_recv().ok();
        }
    }
    room.send(pb::PipelineRequest { operations });
    true
}

fn settle(waiting: &mut BTreeMap<u64, Answering>, response: pb::PipelineResponse) {
    for pb::NumberedResult { id, result } in response.results {
        if let Some(answer) = waiting.remove(&id) {
            // Whoever is gone does not want to know.
            let _: Result<(), _> = answer.send(Reply::of(result.unwrap_or_default()));
        }
    }
}

/// Operations that wait for a lane; more are carried out by themselves.
const LANE_MAX: usize = 4_096;
const MESSAGES_MAX: usize = 4;
const OPERATIONS_MAX: usize = 128;
/// A message is sent when it has so much; nodes take 8 MiB, and one value is 4 MiB at most.
const MESSAGE_BYTES: usize = 256 << 10;
