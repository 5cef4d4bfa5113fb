//! The tokio shell: runs the state machines against a transport, a store and the clock.

mod outlive;
mod repairs;
mod run;

use std::sync::Arc;
use std::time::Duration;

use dynamokv_ring::{NodeId, Token};
use dynamokv_storage::{Applied, State, Value, WriteSeq};
use dynamokv_vclock::HybridClock;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use self::outlive::until_answered;
use self::repairs::Repairs;
use self::run::{GetRun, PutRun, run_get, run_put};
use crate::config::Config;
use crate::recent::{self, Done, Recent};
use crate::{
    Drain, DrainGuard, Error, Fence, Forwarded, GetReply, GetRequest, HintSink, LocalRole,
    Membership, PutReply, PutRequest, ReadPlan, Refusal, Replica, ReplicaError, ReplicaTransport,
    View, WritePlan,
};

/// Milliseconds since the Unix epoch, from wherever the caller takes its time.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Coordinates reads and writes for clients: any node takes any request.
///
/// Cheap to clone.
pub struct Coordinator<M, T, H> {
    pub(crate) shared: Arc<Shared<M, T, H>>,
}

pub(crate) struct Shared<M, T, H> {
    pub(crate) config: Config,
    pub(crate) membership: Arc<M>,
    pub(crate) transport: Arc<T>,
    pub(crate) replica: Arc<Replica<M, H>>,
    pub(crate) drain: Arc<Drain>,
    pub(crate) repairs: Repairs,
    pub(crate) background: Arc<Semaphore>,
    foreground: Arc<Semaphore>,
    clock: Mutex<HybridClock>,
    recent: Mutex<Recent>,
    wall_clock: WallClock,
}

impl<M, T, H> Clone for Coordinator<M, T, H> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

/// One operation's view, held for as long as the operation acts on it.
pub(crate) struct Begun {
    pub(crate) view: Arc<View>,
    pub(crate) guard: DrainGuard,
}

impl<M: Membership, T: ReplicaTransport, H: HintSink> Shared<M, T, H> {
    pub(crate) fn begin(&self) -> Begun {
        let (guard, view) = self.drain.enter(|| {
            let view = self.membership.view();
            (view.phase, view)
        });
        Begun { view, guard }
    }

    /// Feeds the failure detector; a refusal is an answer too.
    pub(crate) fn report<R>(&self, node: NodeId, result: &Result<R, ReplicaError>) {
        let missed = matches!(
            result,
            Err(ReplicaError::Unreachable(_) | ReplicaError::Lost(_))
        );
        self.membership.report(node, !missed);
    }
}

impl<M: Membership, T: ReplicaTransport, H: HintSink> Coordinator<M, T, H> {
    /// A coordinator on the node whose replica is `replica`.
    pub fn new(
        config: Config,
        membership: Arc<M>,
        transport: Arc<T>,
        replica: Arc<Replica<M, H>>,
        wall_clock: WallClock,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                background: Arc::new(Semaphore::new(config.background_max.get())),
                foreground: Arc::new(Semaphore::new(config.in_flight_max.get())),
                recent: Mutex::new(Recent::new(
                    config.idempotency_window,
                    config.idempotency_records_max.get(),
                )),
                config,
                membership,
                transport,
                replica,
                drain: Arc::default(),
                repairs: Repairs::default(),
                clock: Mutex::default(),
                wall_clock,
            }),
        }
    }

    /// What is under way here, for stage changes to wait on.
    pub fn drain(&self) -> Arc<Drain> {
        Arc::clone(&self.shared.drain)
    }

    /// Writes or deletes; answers when W replicas have a durable copy, and goes on with the rest in the
    /// background.
    ///
    /// # Errors
    /// Each [`Error`] says whether the write was applied, was not, or may have been.
    pub async fn put(&self, request: PutRequest) -> Result<PutReply, Error> {
        let view = self.member_view()?;
        self.check_put(&request)?;
        let permit = self.admit()?;
        let deadline = self.deadline(request.options.timeout);
        let token = request.key.token();
        let sets = view.write_sets(token);
        let is_replica = sets.iter().any(|set| set.contains(&view.me));
        let mut owners = sets.concat();
        owners.retain(|owner| !is_replica && view.live.contains(owner));
        for owner in owners {
            // Boxed, as all that is rare here: an operation that needs none of it stays small.
            let verdict = Box::pin(self.forward(owner, view.fence, &request, deadline)).await;
            if let Some(verdict) = verdict {
                return verdict;
            }
        }
        self.coordinate(request, permit, deadline).await
    }

    /// Has `owner` coordinate the write; `None` where it did nothing and another one may be asked.
    async fn forward(
        &self,
        owner: NodeId,
        fence: Fence,
        request: &PutRequest,
        deadline: Instant,
    ) -> Option<Result<PutReply, Error>> {
        let forwarded = Forwarded {
            fence,
            put: request.clone(),
        };
        let timeout = deadline.saturating_duration_since(Instant::now());
        let result = self
            .shared
            .transport
            .forward(owner, forwarded, timeout)
            .await;
        self.shared.report(owner, &result);
        match result {
            Ok(Err(Error::Refused(_)))
            | Err(
                ReplicaError::Refused(_) | ReplicaError::Unreachable(_) | ReplicaError::Failed(_),
            ) => None,
            Ok(verdict) => Some(verdict),
            Err(error) => {
                let kind = crate::AnswerKind::Failed(error.to_string());
                let answers = vec![crate::Answer { node: owner, kind }];
                Some(Err(Error::Unknown {
                    needed: self.write_quorum(request),
                    answers,
                }))
            }
        }
    }

    /// Coordinates a write that another node sent here because this node is a replica of the key.
    ///
    /// # Errors
    /// As [`put`](Self::put); [`Error::Refused`] where this node is no replica, with nothing done.
    pub async fn put_forwarded(&self, request: Forwarded) -> Result<PutReply, Error> {
        self.check_put(&request.put)?;
        let view = self.shared.membership.view();
        view.fence.admit(&request.fence, view.required)?;
        let token = request.put.key.token();
        if !view
            .write_sets(token)
            .iter()
            .any(|set| set.contains(&view.me))
        {
            return Err(Refusal::NotOwner.into());
        }
        let permit = self.admit()?;
        let deadline = self.deadline(request.put.options.timeout);
        self.coordinate(request.put, permit, deadline).await
    }

    /// Reads; answers with the join of R replicas, and repairs those that lack something in the background.
    ///
    /// # Errors
    /// [`Error::Unreadable`] names who answered what.
    pub async fn get(&self, request: GetRequest) -> Result<GetReply, Error> {
        let view = self.member_view()?;
        let quorum = request
            .options
            .quorum
            .unwrap_or(self.shared.config.read_quorum.get());
        check_quorum("r", quorum, view.read_ring().replicas_wanted())?;
        self.check_timeout(request.options.timeout)?;
        let mut permit = Some(self.admit()?);
        let deadline = self.deadline(request.options.timeout);
        loop {
            let begun = self.shared.begin();
            let fence = begun.view.fence;
            let plan = ReadPlan::new(
                &begun.view,
                request.key.token(),
                quorum,
                request.options.mode,
            );
            let (respond, response) = oneshot::channel();
            let shared = Arc::clone(&self.shared);
            let run = GetRun {
                key: request.key.clone(),
                permit: permit.take(),
            };
            let running = Box::pin(run_get(shared, run, plan, begun, deadline, respond));
            let answered = until_answered(running, response).await;
            let (verdict, refused_by) = answered.map_err(|_| Error::Unreadable {
                needed: quorum,
                answers: Vec::new(),
            })?;
            match (verdict.state, refused_by) {
                (Some(state), _) => {
                    let (answers, coordinator) = (verdict.answers, view.me);
                    return Ok(GetReply {
                        state,
                        answers,
                        coordinator,
                    });
                }
                (None, Some(peer)) if Box::pin(self.caught_up(peer, fence, deadline)).await => {}
                (None, _) => {
                    return Err(Error::Unreadable {
                        needed: quorum,
                        answers: verdict.answers,
                    });
                }
            }
        }
    }

    async fn coordinate(
        &self,
        request: PutRequest,
        permit: OwnedSemaphorePermit,
        deadline: Instant,
    ) -> Result<PutReply, Error> {
        let quorum = self.write_quorum(&request);
        let (key, token) = (&request.key, request.key.token());
        let mut begun = self.shared.begin();
        let me = begun.view.me;
        // Only members are waited for when a change goes on; this one may have left since it took the request.
        if !begun.view.has_member(me) {
            return Err(Error::NotMember);
        }
        let mut plan = WritePlan::new(&begun.view, token, quorum, request.options.mode)?;
        let mut role = plan.local;
        let (delta, mut seq) = self.apply_once(&request, role)?;
        let context = delta.context().clone();
        #[cfg(feature = "planted-bugs")]
        let delta = dynamokv_storage::planted::sent(delta);
        let delta = Arc::new(delta);
        let mut permit = Some(permit);
        loop {
            let fence = begun.view.fence;
            let (respond, response) = oneshot::channel();
            let run = PutRun {
                key: key.clone(),
                delta: Arc::clone(&delta),
                seq,
                permit: permit.take(),
            };
            let shared = Arc::clone(&self.shared);
            let running = Box::pin(run_put(shared, run, plan, begun, deadline, respond));
            let unknown = |answers| Error::Unknown {
                needed: quorum,
                answers,
            };
            let answered = until_answered(running, response).await;
            let (verdict, refused_by) = answered.map_err(|_| unknown(Vec::new()))?;
            if verdict.applied {
                // The write stands, whatever a look at all values says.
                let state = if request.return_values && self.may_show(token) {
                    self.shared.replica.store().get(key).ok().flatten()
                } else {
                    None
                };
                let context = state
                    .as_ref()
                    .map_or(context, |state| state.context().clone());
                return Ok(PutReply {
                    context,
                    state,
                    answers: verdict.answers,
                    coordinator: me,
                });
            }
            // The delta is idempotent: under a newer view the same write simply goes on.
            match refused_by {
                Some(peer) if Box::pin(self.caught_up(peer, fence, deadline)).await => {}
                _ => return Err(unknown(verdict.answers)),
            }
            begun = self.shared.begin();
            let next = WritePlan::new(&begun.view, token, quorum, request.options.mode);
            plan = match next {
                Ok(plan) if begun.view.has_member(me) => plan,
                _ => return Err(unknown(verdict.answers)),
            };
            // The copy here counts only for the replica that it is durably marked for.
            if plan.local != role {
                role = plan.local;
                seq = self.shared.replica.hold(key, &delta, role)?;
            }
        }
    }

    /// Applies the write here, unless its idempotency key says that this was done: then its delta is kept once more, which changes
    /// nothing, so that the copies that are missing come about.
    fn apply_once(
        &self,
        request: &PutRequest,
        role: LocalRole,
    ) -> Result<(State, WriteSeq), Error> {
        let Some(id) = recent::id_of(request) else {
            let applied = self.apply(request, role)?;
            return Ok((applied.delta, applied.seq));
        };
        let slot = self.shared.recent.lock().slot(id, Instant::now().into());
        let mut done = slot.lock();
        if let Some(done) = *done {
            let delta = done.delta(request).ok_or(Error::IdempotencyKeyReused)?;
            let seq = self.shared.replica.hold(&request.key, &delta, role)?;
            return Ok((delta, seq));
        }
        let applied = self.apply(request, role)?;
        let time = applied.delta.values().next().map(|(_, value)| value.time);
        *done = time.map(|time| Done::new(request, applied.dot, time));
        Ok((applied.delta, applied.seq))
    }

    fn apply(&self, request: &PutRequest, role: LocalRole) -> Result<Applied, Error> {
        let value = Value {
            time: self.shared.clock.lock().now((self.shared.wall_clock)()),
            body: request.value.clone(),
            content_type: request.content_type.clone(),
        };
        let replica = &self.shared.replica;
        Ok(replica.apply(&request.key, value, &request.context, role)?)
    }

    /// Whether this node's own copy would count in a read: that of a fallback, or of an heir to whom not all has come yet, may lack
    /// what was acknowledged.
    fn may_show(&self, token: Token) -> bool {
        let view = self.shared.membership.view();
        let owners = view.read_ring().owners(token);
        owners.contains(&view.me) && !view.may_have_forgotten(token)
    }

    /// Gossips with the peer that knows better; whether the view has changed in time.
    async fn caught_up(&self, peer: NodeId, fence: Fence, deadline: Instant) -> bool {
        let caught_up = self.shared.membership.catch_up(peer, fence);
        tokio::time::timeout_at(deadline, caught_up).await.is_ok()
    }

    fn member_view(&self) -> Result<Arc<View>, Error> {
        let view = self.shared.membership.view();
        if view.has_member(view.me) {
            Ok(view)
        } else {
            Err(Error::NotMember)
        }
    }

    fn admit(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.shared.foreground)
            .try_acquire_owned()
            .map_err(|_| Error::Overloaded {
                limit: self.shared.config.in_flight_max.get(),
            })
    }

    fn check_put(&self, request: &PutRequest) -> Result<(), Error> {
        if request.value.is_none() && request.context.is_empty() {
            return Err(Error::ContextRequired);
        }
        let view = self.shared.membership.view();
        check_quorum(
            "w",
            self.write_quorum(request),
            view.current.replicas_wanted(),
        )?;
        self.check_timeout(request.options.timeout)
    }

    fn write_quorum(&self, request: &PutRequest) -> usize {
        request
            .options
            .quorum
            .unwrap_or(self.shared.config.write_quorum.get())
    }

    fn check_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        let limit = self.shared.config.timeout_max;
        match timeout {
            Some(value) if value.is_zero() || value > limit => Err(Error::Timeout { value, limit }),
            _ => Ok(()),
        }
    }

    fn deadline(&self, timeout: Option<Duration>) -> Instant {
        Instant::now() + timeout.unwrap_or(self.shared.config.timeout)
    }
}

fn check_quorum(field: &'static str, value: usize, limit: usize) -> Result<(), Error> {
    if (1..=limit).contains(&value) {
        Ok(())
    } else {
        Err(Error::Quorum {
            field,
            value,
            limit,
        })
    }
}
