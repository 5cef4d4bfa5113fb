//! What other nodes ask.

use std::num::NonZeroUsize;

use dynamokv_antientropy::{Answer, Question};
use dynamokv_coordinator::{
    Error, FORGOTTEN, Fence, Forwarded, Membership, PutReply, Refusal, ReplicaAnswer, ReplicaError,
    ReplicaRead, ReplicaWrite, View, WritePhase,
};
use dynamokv_gossip::Message;
use dynamokv_handoff::{CollectRequest, Entry, HintRequest, Page, PageLimits, RangeRequest};
use dynamokv_rpc::{KeyScan, KeyStates, PeerService};
use std::sync::Arc;

use super::{Service, keys};
use crate::transport::Transport;
use crate::{collect, exchange};

/// One page holds so much at most, whatever is asked for.
const PAGE_ITEMS_MAX: usize = 4_096;
const PAGE_BYTES_MAX: usize = 4 << 20;

impl<T: Transport> PeerService for Service<T> {
    async fn internal_put(&self, write: ReplicaWrite) -> Result<(), ReplicaError> {
        self.core.replica.write(write).await
    }

    async fn internal_put_all(&self, writes: Vec<ReplicaWrite>) -> Vec<Result<(), ReplicaError>> {
        self.core.replica.write_all(writes).await
    }

    async fn internal_get(&self, read: ReplicaRead) -> Result<ReplicaAnswer, ReplicaError> {
        self.core.replica.read(&read)
    }

    async fn forward_put(&self, forwarded: Forwarded) -> Result<PutReply, Error> {
        self.core.coordinator.put_forwarded(forwarded).await
    }

    async fn send_hints(
        &self,
        fence: Fence,
        entries: Vec<Entry>,
    ) -> Result<Vec<bool>, ReplicaError> {
        let view = self.admit(&fence)?;
        let owned = |entry: &Entry| view.stores(self.core.me, entry.key.token());
        let taken = entries.iter().filter(|entry| owned(entry));
        if let Some(newest) = self.core.join_all(taken).await.map_err(failed)? {
            self.core.store.synced(newest).await.map_err(failed)?;
        }
        Ok(entries.iter().map(owned).collect())
    }

    async fn collect_tombstones(
        &self,
        fence: Fence,
        request: CollectRequest,
    ) -> Result<Vec<bool>, ReplicaError> {
        collect::answer(&self.core, fence, request).await
    }

    async fn fetch_hints(&self, fence: Fence, request: HintRequest) -> Result<Page, ReplicaError> {
        self.admit(&fence)?;
        let items =
            NonZeroUsize::new(request.limit.min(PAGE_ITEMS_MAX)).unwrap_or(NonZeroUsize::MIN);
        let bytes = NonZeroUsize::MIN.saturating_add(PAGE_BYTES_MAX);
        let limits = PageLimits {
            items,
            bytes,
            held_before_ms: None,
        };
        let (hints, after) = (&self.core.hints, request.after.as_ref());
        let page = hints.page(request.target, after, &limits);
        Ok(page.map_err(failed)?.page)
    }

    /// Only an owner gives from a range, to an heir, and while it writes to both rings: what was written before is then in
    /// it, and what comes after reaches the heir by itself.
    async fn fetch_range(&self, fence: Fence, request: RangeRequest) -> Result<Page, ReplicaError> {
        let view = self.admit(&fence)?;
        if view.writes != WritePhase::Both || !view.current.owns(self.core.me, request.partition) {
            return Err(Refusal::NotOwner.into());
        }
        // Heirs must not take what is here for all that there is.
        if view.forgotten.contains(&request.partition) {
            return Err(ReplicaError::Failed(FORGOTTEN.to_owned()));
        }
        let partition = view.current.range_of(request.partition);
        let bytes = request.bytes_max.min(PAGE_BYTES_MAX);
        let after = request.after.as_ref();
        let page = self
            .core
            .store
            .scan(partition, after, PAGE_ITEMS_MAX, bytes);
        Ok(page.map_err(failed)?.into())
    }

    async fn fetch_keys(&self, fence: Fence, scan: KeyScan) -> Result<KeyStates, ReplicaError> {
        let view = self.admit(&fence)?;
        keys::scan(&self.core, &view, &scan)
    }

    async fn exchange_trees(
        &self,
        fence: Fence,
        question: Question<Entry>,
    ) -> Result<Answer<Entry>, ReplicaError> {
        let view = self.admit(&fence)?;
        exchange::answer(&self.core, &view, question).await
    }

    async fn push_gossip(
        &self,
        message: Message,
    ) -> Result<Option<Message>, dynamokv_gossip::Error> {
        self.core.cluster.gossip().receive(message)
    }
}

impl<T: Transport> Service<T> {
    fn admit(&self, fence: &Fence) -> Result<Arc<View>, ReplicaError> {
        let view = self.core.cluster.view();
        view.fence.admit(fence, view.required)?;
        Ok(view)
    }
}

fn failed(error: dynamokv_storage::Error) -> ReplicaError {
    ReplicaError::Failed(error.to_string())
}
