//! Several operations at once: one message to each node that is asked.

use std::collections::BTreeMap;

use bytes::Bytes;
use dynamokv_ring::NodeId;
use dynamokv_rpc::pb;
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::call::Begun;
use crate::operation::Step;
use crate::prepare::{Prepared, versions, written};
use crate::transport::{Answered, Cause, Failed, Reply, Request};
use crate::{Client, Context, NewValue, Result, Transport, Versions, Written};

/// One operation of a batch or pipeline. Unlike [`Client::put`] none of them reads first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Reads a key.
    Get {
        /// The key.
        key: Bytes,
    },
    /// Writes a key.
    Put {
        /// The key.
        key: Bytes,
        /// The value.
        value: NewValue,
        /// What the writer has seen.
        context: Context,
    },
    /// Deletes a key.
    Delete {
        /// The key.
        key: Bytes,
        /// What is deleted; it must not be empty.
        context: Context,
    },
}

impl Operation {
    /// Reads a key.
    pub fn get(key: impl Into<Bytes>) -> Self {
        let key = key.into();
        Self::Get { key }
    }

    /// Writes a key, in place of what the context has seen.
    pub fn put(key: impl Into<Bytes>, value: impl Into<NewValue>, context: Context) -> Self {
        let (key, value) = (key.into(), value.into());
        Self::Put {
            key,
            value,
            context,
        }
    }

    /// Deletes what the context has seen of a key.
    pub fn delete(key: impl Into<Bytes>, context: Context) -> Self {
        let key = key.into();
        Self::Delete { key, context }
    }
}

/// What an operation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Done {
    /// What was read.
    Read(Versions),
    /// What was written or deleted.
    Written(Written),
}

/// An operation that is carried out.
pub(crate) struct Job {
    pub(crate) prepared: Prepared,
    pub(crate) begun: Begun,
}

impl<T: Transport> Client<T> {
    /// Carries operations out at the same time, in no order: those for one node go there in one message. Each stands for itself, and is
    /// repeated for itself where that is needed and safe. The results are in the order of the operations; reads are shown as the nodes have
    /// them, whatever the resolver.
    ///
    /// # Errors
    /// Each its own: see [`Error`](crate::Error).
    pub async fn batch(
        &self,
        operations: impl IntoIterator<Item = Operation>,
    ) -> Vec<Result<Done>> {
        let now = Instant::now();
        let mut jobs: Vec<Job> = operations
            .into_iter()
            .map(|operation| self.job(operation, now))
            .collect();
        // One roll for all, so that as few nodes as possible are asked.
        let dice = self.shared.state.lock().dice.u64(..);
        let messages = self.messages(&mut jobs, dice, now);
        let asked = messages.into_iter().map(|message| self.ask(message));
        let mut replies: BTreeMap<usize, Reply> = BTreeMap::new();
        for (node, results) in join_all(asked).await {
            for (place, result) in results {
                match (result, jobs.get_mut(place)) {
                    (Ok(reply), _) => {
                        replies.insert(place, reply);
                    }
                    (Err(failed), Some(job)) => self.shared.failed(&mut job.begun, node, failed),
                    (Err(_), None) => {}
                }
            }
        }
        let finish = jobs.into_iter().enumerate().map(|(place, job)| {
            let reply = replies.remove(&place);
            async move {
                match reply {
                    Some(reply) => done(reply, job.begun.operation.attempts()),
                    None => self.finish(job).await,
                }
            }
        });
        join_all(finish).await
    }

    pub(crate) fn job(&self, operation: Operation, now: Instant) -> Job {
        let prepared = match operation {
            Operation::Get { key } => self.prepare_get(key),
            Operation::Put {
                key,
                value,
                context,
            } => self.prepare_put(key, value, &context, false),
            Operation::Delete { key, context } => self.prepare_delete(key, &context),
        };
        let mut begun = self.shared.begin(prepared.kind, &self.options, now);
        // The first attempt is not alone in its message: a hedge of all of it would be too much.
        begun.operation.do_not_hedge();
        Job { prepared, begun }
    }

    /// Carries an operation on by itself.
    pub(crate) async fn finish(&self, job: Job) -> Result<Done> {
        let completed = self.shared.run(job.begun, job.prepared).await?;
        done(completed.reply, completed.attempts)
    }

    /// The first attempts, by the nodes that they go to.
    fn messages(&self, jobs: &mut [Job], dice: u64, now: Instant) -> Vec<Message> {
        let topology = self.topology();
        let mut open: BTreeMap<NodeId, Message> = BTreeMap::new();
        let mut full = Vec::new();
        for (place, job) in jobs.iter_mut().enumerate() {
            job.begun.dice = dice;
            let Step::Send(attempt) = self.shared.step(&mut job.begun, now) else {
                continue;
            };
            let token = job.prepared.token;
            let chosen = self
                .shared
                .choose(&topology, token, &job.begun, attempt, now);
            let Some((node, address)) = chosen else {
                continue;
            };
            self.shared.sent(&mut job.begun, node);
            let bytes = job.prepared.request.bytes();
            let message = open.entry(node).or_insert_with(|| Message {
                node,
                address,
                timeout: attempt.timeout,
                places: Vec::new(),
                operations: Vec::new(),
                bytes: 0,
            });
            message.places.push(place);
            message.operations.push(job.prepared.request.clone().into());
            message.bytes += bytes;
            if message.places.len() >= OPERATIONS_MAX || message.bytes >= MESSAGE_BYTES {
                full.extend(open.remove(&node));
            }
        }
        full.into_iter().chain(open.into_values()).collect()
    }

    async fn ask(&self, message: Message) -> (NodeId, Vec<(usize, Result<Reply, Failed>)>) {
        let Message {
            node,
            address,
            timeout,
            places,
            operations,
            ..
        } = message;
        let request = Request::Batch(pb::BatchRequest { operations });
        let answered = self.shared.ask(node, &address, request, timeout).await;
        let results = match answered {
            Ok(Answered {
                reply: Reply::Batch(batch),
                ..
            }) if batch.results.len() == places.len() => {
                let results = batch.results.into_iter().map(Reply::of);
                places.into_iter().zip(results).collect()
            }
            Ok(_) => all_failed(
                places,
                &Failed::new(Cause::Lost, "the answer is one to another question"),
            ),
            Err(failed) => all_failed(places, &failed),
        };
        (node, results)
    }
}

/// Operations for one node.
struct Message {
    node: NodeId,
    address: String,
    timeout: std::time::Duration,
    /// Their places in the batch.
    places: Vec<usize>,
    operations: Vec<pb::Operation>,
    bytes: usize,
}

fn all_failed(places: Vec<usize>, failed: &Failed) -> Vec<(usize, Result<Reply, Failed>)> {
    let places = places.into_iter();
    places.map(|place| (place, Err(failed.clone()))).collect()
}

pub(crate) fn done(reply: Reply, attempts: u32) -> Result<Done> {
    match reply {
        Reply::Get(_) => versions(reply, attempts).map(Done::Read),
        reply => written(reply, attempts).map(Done::Written),
    }
}

/// What nodes take in one message is more.
const OPERATIONS_MAX: usize = 256;
/// A message is sent when it has so much; nodes take 8 MiB, and one value is 4 MiB at most.
const MESSAGE_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests;
