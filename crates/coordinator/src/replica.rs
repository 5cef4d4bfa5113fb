//! A node's answers to coordinators: its own copies, behind the fence.

use std::sync::Arc;

use dynamokv_ring::NodeId;
#[cfg(feature = "planted-bugs")]
use dynamokv_storage::planted::{self, Bug};
use dynamokv_storage::{Applied, Batch, ObjectKey, ObjectStore, State, StateHash, Value, WriteSeq};
use dynamokv_vclock::CausalContext;
use futures_util::future::join_all;

use crate::{
    HintSink, LocalRole, Membership, Refusal, ReplicaAnswer, ReplicaError, ReplicaRead,
    ReplicaState, ReplicaWrite, View,
};

/// The replica's side of every operation: checks that the sender's view is new enough and that this
/// node has the part that it is asked to play, then reads or writes the store.
pub struct Replica<M, H> {
    store: Arc<ObjectStore>,
    membership: Arc<M>,
    hints: Arc<H>,
}

impl<M: Membership, H: HintSink> Replica<M, H> {
    /// A replica over `store`.
    pub fn new(store: Arc<ObjectStore>, membership: Arc<M>, hints: Arc<H>) -> Self {
        Self {
            store,
            membership,
            hints,
        }
    }

    /// The store.
    pub fn store(&self) -> &Arc<ObjectStore> {
        &self.store
    }

    /// Joins a delta and completes when the copy is as durable as it must be: a hint always waits
    /// for a real sync, since its sender forgets about the replica that it stands in for.
    ///
    /// # Errors
    /// A [`Refusal`], with nothing done, or a failure of the store.
    pub async fn write(&self, request: ReplicaWrite) -> Result<(), ReplicaError> {
        let target = self.check_write(&request)?;
        #[cfg(feature = "planted-bugs")]
        if planted::is(Bug::RepairOverwrites) && request.hint_for == Some(self.membership.view().me)
        {
            let forget = self
                .store
                .settle(&request.key, |_, settle| settle.drop_record());
            forget.map_err(failed)?;
        }
        let joined = self
            .store
            .join(&request.key, &request.delta, |batch: &mut Batch| {
                if let Some(target) = target {
                    self.hints.mark(batch, &request.key, target);
                }
            })
            .map_err(failed)?;
        #[cfg(feature = "planted-bugs")]
        if planted::is(Bug::FallbackNotDurable) && target.is_some() {
            return Ok(());
        }
        if target.is_some() {
            self.store.synced(joined.seq).await.map_err(failed)
        } else {
            self.settled(joined.seq).await
        }
    }

    /// Waits until the write is as durable as the policy asks. Whoever else is ready writes first, so that all share what that costs.
    pub(crate) async fn settled(&self, seq: WriteSeq) -> Result<(), ReplicaError> {
        let settled = self.store.settled(seq);
        if settled.lets_others_write() {
            tokio::task::yield_now().await;
        }
        settled.await.map_err(failed)
    }

    /// For whom the copy is to be held; `None` where it is this node's own.
    fn check_write(&self, request: &ReplicaWrite) -> Result<Option<NodeId>, ReplicaError> {
        let view = self.membership.view();
        view.fence.admit(&request.fence, view.required)?;
        let target = request.hint_for.filter(|target| *target != view.me);
        if target.is_none() && !view.stores(view.me, request.key.token()) {
            return Err(Refusal::NotOwner.into());
        }
        Ok(target)
    }

    /// As many [`write`](Self::write)s as arrived together: they share batches, and the wait for a sync. One result each, in order.
    pub async fn write_all(&self, writes: Vec<ReplicaWrite>) -> Vec<Result<(), ReplicaError>> {
        let mut results: Vec<Result<(), ReplicaError>> = Vec::with_capacity(writes.len());
        let mut own = Vec::with_capacity(writes.len());
        let mut held = Vec::new();
        for (at, write) in writes.into_iter().enumerate() {
            results.push(Ok(()));
            if write.hint_for.is_some() {
                held.push(async move { (at, self.write(write).await) });
                continue;
            }
            match self.check_write(&write) {
                Ok(_) => own.push((at, write)),
                Err(refusal) => results[at] = Err(refusal),
            }
        }
        let joined = self
            .store
            .join_all(own.iter().map(|(_, write)| (&write.key, &*write.delta)));
        let settled = async {
            match joined.map_err(failed)? {
                Some(seq) => self.settled(seq).await,
                None => Ok(()),
            }
        };
        let (settled, held) = tokio::join!(settled, join_all(held));
        let own = own.into_iter().map(|(at, _)| (at, settled.clone()));
        for (at, result) in own.chain(held) {
            results[at] = result;
        }
        results
    }

    /// This node's own copy.
    ///
    /// # Errors
    /// A [`Refusal`] where this node owns no complete copy: "not found" is never said for a range that is
    /// not its own. A damaged record is a failure, and so is a range of which this node may have forgotten something.
    pub fn read(&self, request: &ReplicaRead) -> Result<ReplicaAnswer, ReplicaError> {
        self.check_read(request)?;
        if request.known.is_some() && request.known == self.store.warm_hash(&request.key) {
            let marked = self.hints.is_marked(&request.key).map_err(failed)?;
            return Ok(ReplicaAnswer::Same { marked });
        }
        let (copy, hash) = self.hashed_copy(&request.key)?;
        if hash.is_some() && hash == request.known {
            let marked = copy.marked;
            return Ok(ReplicaAnswer::Same { marked });
        }
        Ok(ReplicaAnswer::Copy(copy))
    }

    /// As [`read`](Self::read), for the node itself: the copy and, where there is a record, its hash.
    ///
    /// # Errors
    /// As those of [`read`](Self::read).
    pub fn read_own(
        &self,
        request: &ReplicaRead,
    ) -> Result<(ReplicaState, Option<StateHash>), ReplicaError> {
        self.check_read(request)?;
        self.hashed_copy(&request.key)
    }

    fn check_read(&self, request: &ReplicaRead) -> Result<(), ReplicaError> {
        let view = self.membership.view();
        view.fence.admit(&request.fence, view.required)?;
        if !request.as_fallback && !view.answers(request.key.token()) {
            return Err(Refusal::NotOwner.into());
        }
        if view.may_have_forgotten(request.key.token()) {
            return Err(ReplicaError::Failed(FORGOTTEN.to_owned()));
        }
        Ok(())
    }

    /// This node's copy, whoever owns the key.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn own_copy(&self, key: &ObjectKey) -> Result<ReplicaState, ReplicaError> {
        let (copy, _) = self.hashed_copy(key)?;
        Ok(copy)
    }

    fn hashed_copy(
        &self,
        key: &ObjectKey,
    ) -> Result<(ReplicaState, Option<StateHash>), ReplicaError> {
        let (state, hash) = self.store.get_hashed(key).map_err(failed)?.unzip();
        let marked = self.hints.is_marked(key).map_err(failed)?;
        let state = state.unwrap_or_default();
        Ok((ReplicaState { state, marked }, hash))
    }

    /// Applies a client's write here, where it gets its dot: visible at once, durable after the sync of its
    /// sequence number. A fallback marks the key for the replica that it stands in for, in the same batch.
    ///
    /// # Errors
    /// Those of [`ObjectStore::put`].
    pub fn apply(
        &self,
        key: &ObjectKey,
        value: Value,
        context: &CausalContext,
        role: LocalRole,
    ) -> Result<Applied, dynamokv_storage::Error> {
        self.store.put(key, value, context, |batch: &mut Batch| {
            if let LocalRole::HoldsFor(target) = role {
                self.hints.mark(batch, key, target);
            }
        })
    }

    /// Keeps the delta here in another role than it was applied in: marked, in the same batch, where this node
    /// holds it for somebody. Durable after the sync of the returned sequence number.
    ///
    /// # Errors
    /// Those of [`ObjectStore::join`].
    pub fn hold(
        &self,
        key: &ObjectKey,
        delta: &State,
        role: LocalRole,
    ) -> Result<WriteSeq, dynamokv_storage::Error> {
        let joined = self.store.join(key, delta, |batch: &mut Batch| {
            if let LocalRole::HoldsFor(target) = role {
                self.hints.mark(batch, key, target);
            }
        })?;
        Ok(joined.seq)
    }

    /// Makes durable that `target` lacks the delta and that this node will hand it over.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn keep_marker(
        &self,
        key: &ObjectKey,
        delta: &State,
        target: NodeId,
    ) -> Result<(), ReplicaError> {
        let seq = self
            .hold(key, delta, LocalRole::HoldsFor(target))
            .map_err(failed)?;
        self.store.synced(seq).await.map_err(failed)
    }

    /// The present view.
    pub fn view(&self) -> Arc<View> {
        self.membership.view()
    }
}

/// Why a node that was restored does not answer yet.
pub const FORGOTTEN: &str =
    "this replica was restored and has not yet compared the partition with enough other owners";

fn failed(error: dynamokv_storage::Error) -> ReplicaError {
    ReplicaError::Failed(error.to_string())
}
