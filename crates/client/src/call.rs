//! Carries one request through: runs its [`Operation`] against the transport and the clock.

use std::time::Duration;

use dynamokv_ring::{NodeId, Token};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::operation::{Attempt, Kind, Operation, Step};
use crate::prepare::Prepared;
use crate::shared::Shared;
use crate::transport::{Answered, Cause, Failed, Reply, Request, Transport};
use crate::{Options, Result, Topology, route};

/// An answer, and how often the request was sent.
pub(crate) struct Completed {
    pub(crate) reply: Reply,
    pub(crate) attempts: u32,
}

/// A request that has begun.
pub(crate) struct Begun {
    pub(crate) operation: Operation,
    /// Which of the replicas comes first.
    pub(crate) dice: u64,
    kind: Kind,
    start: Instant,
}

impl<T: Transport> Shared<T> {
    /// Asks a replica of the token, or whoever is left; again where that is safe.
    pub(crate) async fn call(&self, prepared: Prepared, options: &Options) -> Result<Completed> {
        let begun = self.begin(prepared.kind, options, Instant::now());
        self.run(begun, prepared).await
    }

    pub(crate) fn begin(&self, kind: Kind, options: &Options, now: Instant) -> Begun {
        let mut state = self.state.lock();
        state.retries.earn();
        let mut hedge_after = None;
        if kind == Kind::Read {
            state.hedges.earn();
            hedge_after = options.hedge.then(|| state.latency.get());
        }
        let timeout = options.timeout.unwrap_or(self.config.timeout);
        let (seed, dice) = (state.dice.u64(..), state.dice.u64(..));
        Begun {
            operation: Operation::new(kind, &self.config, now.into(), timeout, hedge_after, seed),
            dice,
            kind,
            start: now,
        }
    }

    /// Carries a request on until it is answered or has failed.
    pub(crate) async fn run(&self, mut begun: Begun, prepared: Prepared) -> Result<Completed> {
        let mut under_way = FuturesUnordered::new();
        loop {
            let now = Instant::now();
            let until = match self.step(&mut begun, now) {
                Step::GiveUp(error) => return Err(error),
                Step::Wait(until) => until.into(),
                Step::Send(attempt) => {
                    let topology = self.topology.load_full();
                    let chosen = self.choose(&topology, prepared.token, &begun, attempt, now);
                    let Some((node, address)) = chosen else {
                        begun.operation.nobody_left(now.into());
                        continue;
                    };
                    self.sent(&mut begun, node);
                    let (request, timeout) = (prepared.request.clone(), attempt.timeout);
                    under_way.push(async move {
                        (node, self.ask(node, &address, request, timeout).await)
                    });
                    continue;
                }
            };
            let Ok((node, result)) = tokio::time::timeout_at(until, next(&mut under_way)).await
            else {
                continue;
            };
            match result {
                Ok(answered) => {
                    self.answered(node, &begun);
                    return Ok(Completed {
                        reply: answered.reply,
                        attempts: begun.operation.attempts(),
                    });
                }
                Err(failed) => self.failed(&mut begun, node, failed),
            }
        }
    }

    pub(crate) fn step(&self, begun: &mut Begun, now: Instant) -> Step {
        let hedges = &mut self.state.lock().hedges;
        begun.operation.step(now.into(), hedges)
    }

    /// An attempt is under way to this node.
    pub(crate) fn sent(&self, begun: &mut Begun, node: NodeId) {
        self.attempts.count(begun.operation.sent(node));
    }

    /// Whom to send the attempt to.
    pub(crate) fn choose(
        &self,
        topology: &Topology,
        token: Token,
        begun: &Begun,
        attempt: Attempt,
        now: Instant,
    ) -> Option<(NodeId, String)> {
        let again = attempt.again_at.filter(|node| topology.is_reachable(*node));
        let node = again.or_else(|| {
            let health = &self.state.lock().health;
            let avoided = |node| health.is_avoided(node, now.into());
            route::next(
                topology,
                token,
                begun.operation.tried(),
                avoided,
                begun.dice,
            )
        })?;
        let address = topology.node(node)?.address.clone();
        Some((node, address))
    }

    /// Asks, and takes note of what the node tells of the cluster.
    pub(crate) async fn ask(
        &self,
        node: NodeId,
        address: &str,
        request: Request,
        timeout: Duration,
    ) -> Result<Answered, Failed> {
        let result = self.transport.ask(address, request, timeout).await;
        let topology = match &result {
            Ok(answered) => answered.topology,
            Err(failed) => failed.topology,
        };
        self.heard(node, topology);
        result
    }

    /// An attempt was answered.
    pub(crate) fn answered(&self, node: NodeId, begun: &Begun) {
        let mut state = self.state.lock();
        state.health.answered(node);
        if begun.kind == Kind::Read {
            state.latency.sample(begun.start.elapsed());
        }
    }

    /// An attempt has failed.
    pub(crate) fn failed(&self, begun: &mut Begun, node: NodeId, failed: Failed) {
        let now = Instant::now().into();
        match failed.cause {
            Cause::Said(_) => self.state.lock().health.answered(node),
            Cause::NotSent | Cause::Lost => self.missed(node, now),
        }
        let retries = &mut self.state.lock().retries;
        begun.operation.failed(node, failed, now, retries);
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
