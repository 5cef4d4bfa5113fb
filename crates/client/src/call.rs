//! Carries one request through: runs its [`Operation`] against the transport and the clock.

use std::sync::Arc;
use std::time::Duration;

use dynamokv_ring::{NodeId, Token};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::operation::{Attempt, Kind, Operation, Step};
use crate::shared::Shared;
use crate::transport::{Cause, Reply, Request, Transport};
use crate::{Options, Result, Topology, route};

/// An answer, and how often the request was sent.
pub(crate) struct Completed {
    pub(crate) reply: Reply,
    pub(crate) attempts: u32,
}

impl<T: Transport> Shared<T> {
    /// Asks a replica of the token, or whoever is left; again where that is safe.
    pub(crate) async fn call(
        &self,
        token: Token,
        kind: Kind,
        options: &Options,
        request: Request,
    ) -> Result<Completed> {
        let start = Instant::now();
        let (mut operation, dice) = self.begin(kind, options, start);
        let mut under_way = FuturesUnordered::new();
        loop {
            let now = Instant::now();
            let step = operation.step(now.into(), &mut self.state.lock().hedges);
            let until = match step {
                Step::GiveUp(error) => return Err(error),
                Step::Wait(until) => until.into(),
                Step::Send(attempt) => {
                    let topology = self.topology.load_full();
                    let chosen = self.choose(&topology, token, &operation, attempt, dice, now);
                    let Some((node, address)) = chosen else {
                        operation.nobody_left(now.into());
                        continue;
                    };
                    operation.sent(node);
                    let (request, timeout) = (request.clone(), attempt.timeout);
                    under_way.push(async move {
                        (node, self.transport.ask(&address, request, timeout).await)
                    });
                    continue;
                }
            };
            let Ok(ended) = tokio::time::timeout_at(until, next(&mut under_way)).await else {
                continue;
            };
            let (node, result) = ended;
            match result {
                Ok(answered) => {
                    self.answered(node, kind, start.elapsed());
                    self.heard(node, answered.topology);
                    return Ok(Completed {
                        reply: answered.reply,
                        attempts: operation.attempts(),
                    });
                }
                Err(failed) => {
                    let now = Instant::now().into();
                    match failed.cause {
                        Cause::Said(_) => self.state.lock().health.answered(node),
                        Cause::NotSent | Cause::Lost => self.missed(node, now),
                    }
                    self.heard(node, failed.topology);
                    operation.failed(node, failed, now, &mut self.state.lock().retries);
                }
            }
        }
    }

    fn begin(&self, kind: Kind, options: &Options, now: Instant) -> (Operation, u64) {
        let mut state = self.state.lock();
        state.retries.earn();
        let mut hedge_after = None;
        if kind == Kind::Read {
            state.hedges.earn();
            hedge_after = options.hedge.then(|| state.latency.get());
        }
        let timeout = options.timeout.unwrap_or(self.config.timeout);
        let (seed, dice) = (state.dice.u64(..), state.dice.u64(..));
        let operation = Operation::new(kind, &self.config, now.into(), timeout, hedge_after, seed);
        (operation, dice)
    }

    fn choose(
        &self,
        topology: &Arc<Topology>,
        token: Token,
        operation: &Operation,
        attempt: Attempt,
        dice: u64,
        now: Instant,
    ) -> Option<(NodeId, String)> {
        let again = attempt.again_at.filter(|node| topology.is_reachable(*node));
        let node = again.or_else(|| {
            let health = &self.state.lock().health;
            let avoided = |node| health.is_avoided(node, now.into());
            route::next(topology, token, operation.tried(), avoided, dice)
        })?;
        let address = topology.node(node)?.address.clone();
        Some((node, address))
    }

    fn answered(&self, node: NodeId, kind: Kind, latency: Duration) {
        let mut state = self.state.lock();
        state.health.answered(node);
        if kind == Kind::Read {
            state.latency.sample(latency);
        }
    }
}

/// The next attempt that ends; never while there is none.
async fn next<F: Future>(under_way: &mut FuturesUnordered<F>) -> F::Output {
    match under_way.next().await {
        Some(ended) => ended,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
