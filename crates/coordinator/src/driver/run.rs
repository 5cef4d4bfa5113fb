//! One operation's loop: actions out to the transport, replies and timers back into the machine.

use std::sync::Arc;

use dynamokv_ring::NodeId;
#[cfg(feature = "planted-bugs")]
use dynamokv_storage::planted::{self, Bug};
use dynamokv_storage::{ObjectKey, State, StateHash, WriteSeq};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::{Begun, Shared};
use crate::{
    Fence, GetAction, GetOp, GetVerdict, HintSink, Membership, PutAction, PutOp, PutVerdict,
    ReadPlan, ReplicaAnswer, ReplicaError, ReplicaRead, ReplicaState, ReplicaTransport,
    ReplicaWrite, WritePlan,
};

/// The write that a [`PutOp`] spreads.
pub(super) struct PutRun {
    pub(super) key: ObjectKey,
    pub(super) delta: Arc<State>,
    pub(super) seq: WriteSeq,
    /// Held until the client is answered.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// The read that a [`GetOp`] makes.
pub(super) struct GetRun {
    pub(super) key: ObjectKey,
    /// Held until the client is answered.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

type Calls<R> = FuturesUnordered<BoxFuture<'static, (NodeId, Result<R, ReplicaError>)>>;

/// Runs a write to its end; `respond` gets the verdict, and a peer that refused because our view is stale.
pub(super) async fn run_put<M: Membership, T: ReplicaTransport, H: HintSink>(
    shared: Arc<Shared<M, T, H>>,
    mut run: PutRun,
    plan: WritePlan,
    begun: Begun,
    deadline: Instant,
    respond: oneshot::Sender<(PutVerdict, Option<NodeId>)>,
) {
    let me = plan.me;
    let hinted = matches!(plan.local, crate::LocalRole::HoldsFor(_));
    let mut op = PutOp::new(plan);
    let mut calls: Calls<()> = FuturesUnordered::new();
    let mut markers: Calls<()> = FuturesUnordered::new();
    let replica = Arc::clone(&shared.replica);
    calls.push(Box::pin(async move {
        #[cfg(feature = "planted-bugs")]
        if planted::is(Bug::FallbackNotDurable) && hinted {
            return (me, Ok(()));
        }
        let durable = if hinted {
            let synced = replica.store().synced(run.seq).await;
            synced.map_err(|error| ReplicaError::Failed(error.to_string()))
        } else {
            replica.settled(run.seq).await
        };
        (me, durable)
    }));
    let mut respond = Some(respond);
    let mut background = None;
    let mut refused_by = None;
    let mut slow = Some(Instant::now() + shared.config.slow_after);
    op.start();
    loop {
        while let Some(action) = op.poll_action() {
            match action {
                PutAction::Send { to, hint_for } => {
                    let request = ReplicaWrite {
                        fence: begun.view.fence,
                        key: run.key.clone(),
                        delta: Arc::clone(&run.delta),
                        hint_for,
                    };
                    calls.push(write_call(Arc::clone(&shared), to, request, deadline));
                }
                PutAction::KeepMarker { target } => {
                    markers.push(marker_call(Arc::clone(&shared), &run, target));
                }
                PutAction::Respond(verdict) => {
                    if let Some(respond) = respond.take() {
                        // A caller that went away needs no answer; the write goes on.
                        let _ = respond.send((verdict, refused_by));
                    }
                    drop(run.permit.take());
                    background = Arc::clone(&shared.background).try_acquire_owned().ok();
                    if background.is_none() {
                        op.on_deadline();
                    }
                }
            }
        }
        let now = Instant::now();
        if op.is_finished() && (markers.is_empty() || now >= deadline) {
            break;
        }
        let timer = slow.unwrap_or(deadline).min(deadline);
        tokio::select! {
            biased;
            Some((target, kept)) = markers.next() => {
                if let Err(error) = kept {
                    tracing::error!(%target, %error, "a marker could not be kept");
                }
            }
            Some((node, result)) = calls.next() => {
                note(&shared, me, node, &result, &mut refused_by);
                op.on_reply(node, result.map_err(|error| error.to_string()));
            }
            () = tokio::time::sleep_until(timer) => {
                if slow.take().is_some() && timer < deadline {
                    op.on_slow();
                } else {
                    op.on_deadline();
                }
            }
        }
    }
    drop((background, begun.guard));
}

/// Runs a read to its end, repairs included.
pub(super) async fn run_get<M: Membership, T: ReplicaTransport, H: HintSink>(
    shared: Arc<Shared<M, T, H>>,
    mut run: GetRun,
    plan: ReadPlan,
    begun: Begun,
    deadline: Instant,
    respond: oneshot::Sender<(GetVerdict, Option<NodeId>)>,
) {
    let me = plan.me;
    let fence = begun.view.fence;
    let mut op = GetOp::new(plan);
    let mut calls: Calls<ReplicaAnswer> = FuturesUnordered::new();
    let mut own: Option<(ReplicaState, Option<StateHash>)> = None;
    let mut respond = Some(respond);
    let mut refused_by = None;
    let mut slow = Instant::now() + shared.config.slow_after;
    let mut repairs = Vec::new();
    let mut background = None;
    op.start();
    loop {
        while let Some(action) = op.poll_action() {
            match action {
                GetAction::Ask { node, as_fallback } => {
                    let request = ReplicaRead {
                        fence,
                        key: run.key.clone(),
                        as_fallback,
                        known: own.as_ref().and_then(|(_, hash)| *hash),
                    };
                    if node != me {
                        calls.push(read_call(Arc::clone(&shared), node, request, deadline));
                        continue;
                    }
                    // Asked first where it is asked at all: the others are told what it has.
                    let copy = shared.replica.read_own(&request);
                    note(&shared, me, node, &copy, &mut refused_by);
                    let reply = copy.map(|copy| own.insert(copy).0.clone());
                    op.on_reply(me, reply.map_err(|error| error.to_string()));
                }
                GetAction::Respond(verdict) => {
                    if let Some(respond) = respond.take() {
                        // A caller that went away needs no answer.
                        let _ = respond.send((verdict, refused_by));
                    }
                    drop(run.permit.take());
                    background = Arc::clone(&shared.background).try_acquire_owned().ok();
                    if background.is_none() {
                        op.on_deadline();
                    }
                }
                GetAction::Repair { to, delta } => repairs.push((to, delta)),
            }
        }
        if op.is_finished() {
            break;
        }
        tokio::select! {
            biased;
            Some((node, result)) = calls.next() => {
                note(&shared, me, node, &result, &mut refused_by);
                let copy = result.and_then(|answer| whole(answer, own.as_ref()));
                op.on_reply(node, copy.map_err(|error| error.to_string()));
            }
            () = tokio::time::sleep_until(slow.min(deadline)) => {
                if slow < deadline {
                    op.on_slow();
                    slow += shared.config.slow_after;
                } else {
                    op.on_deadline();
                }
            }
        }
    }
    repair(&shared, fence, &run.key, repairs).await;
    drop((background, begun.guard));
}

/// The copy that an answer stands for.
fn whole(
    answer: ReplicaAnswer,
    own: Option<&(ReplicaState, Option<StateHash>)>,
) -> Result<ReplicaState, ReplicaError> {
    match (answer, own) {
        (ReplicaAnswer::Copy(copy), _) => Ok(copy),
        (ReplicaAnswer::Same { marked }, Some((own, Some(_)))) => {
            let state = own.state.clone();
            Ok(ReplicaState { state, marked })
        }
        (ReplicaAnswer::Same { .. }, _) => Err(ReplicaError::Failed(
            "the answer refers to a copy that was not sent".to_owned(),
        )),
    }
}

/// Remembers who refused because our view is stale, and tells the failure detector who answered.
fn note<M: Membership, T: ReplicaTransport, H: HintSink, R>(
    shared: &Shared<M, T, H>,
    me: NodeId,
    node: NodeId,
    result: &Result<R, ReplicaError>,
    refused_by: &mut Option<NodeId>,
) {
    if let Err(ReplicaError::Refused(_)) = result {
        *refused_by = Some(node);
    }
    if node != me {
        shared.report(node, result);
    }
}

/// Best effort and bounded: what is not repaired now is found again by the next read. Many readers of one key find the same
/// difference, and one of them repairs it.
async fn repair<M: Membership, T: ReplicaTransport, H: HintSink>(
    shared: &Arc<Shared<M, T, H>>,
    fence: Fence,
    key: &ObjectKey,
    repairs: Vec<(NodeId, Arc<State>)>,
) {
    for (to, delta) in repairs {
        let Ok(_permit) = shared.background.try_acquire() else {
            return;
        };
        let Some(_turn) = shared.repairs.begin(to, key) else {
            continue;
        };
        let request = ReplicaWrite {
            fence,
            key: key.clone(),
            delta,
            hint_for: None,
        };
        // The mark by which the replica knows a repair.
        #[cfg(feature = "planted-bugs")]
        let request = ReplicaWrite {
            hint_for: planted::is(Bug::RepairOverwrites).then_some(to),
            ..request
        };
        let result = if to == shared.membership.view().me {
            shared.replica.write(request).await
        } else {
            shared
                .transport
                .write(to, request, shared.config.timeout)
                .await
        };
        tracing::debug!(%to, ok = result.is_ok(), "read repair");
    }
}

/// Writes the marker at once; completes when it is synced. Nobody waits for it: it counts for nothing.
fn marker_call<M: Membership, T: ReplicaTransport, H: HintSink>(
    shared: Arc<Shared<M, T, H>>,
    run: &PutRun,
    target: NodeId,
) -> BoxFuture<'static, (NodeId, Result<(), ReplicaError>)> {
    let (key, delta) = (run.key.clone(), Arc::clone(&run.delta));
    Box::pin(async move {
        let kept = shared.replica.keep_marker(&key, &delta, target).await;
        (target, kept)
    })
}

fn write_call<M: Membership, T: ReplicaTransport, H: HintSink>(
    shared: Arc<Shared<M, T, H>>,
    to: NodeId,
    request: ReplicaWrite,
    deadline: Instant,
) -> BoxFuture<'static, (NodeId, Result<(), ReplicaError>)> {
    Box::pin(async move {
        let timeout = deadline.saturating_duration_since(Instant::now());
        let answer = shared.transport.write(to, request, timeout);
        (to, answer.await)
    })
}

fn read_call<M: Membership, T: ReplicaTransport, H: HintSink>(
    shared: Arc<Shared<M, T, H>>,
    to: NodeId,
    request: ReplicaRead,
    deadline: Instant,
) -> BoxFuture<'static, (NodeId, Result<ReplicaAnswer, ReplicaError>)> {
    Box::pin(async move {
        let timeout = deadline.saturating_duration_since(Instant::now());
        let answer = shared.transport.read(to, request, timeout);
        (to, answer.await)
    })
}
