//! The keys of a keyspace as a stream of pages.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use tonic::Status;

use super::gate::Permit;
use crate::{KeyValue, pb, status};

/// The pages of a listing, each read when there is room for it on the way to the client.
pub(super) async fn list<K: KeyValue>(
    store: Arc<K>,
    asked: pb::ListKeysRequest,
    permit: Option<Permit>,
) -> Result<BoxStream<'static, Result<pb::ListKeysResponse, Status>>, pb::Failure> {
    let mut listing = Listing {
        store,
        next: Some(asked),
        _permit: permit,
    };
    // At once, so that what is wrong with the request is the answer itself and not the end of a stream.
    let first = listing.page().await?;
    let rest = stream::try_unfold(listing, |mut listing| async move {
        let page = listing.page().await.map_err(status::of_failure)?;
        Ok(page.map(|page| (page, listing)))
    });
    Ok(stream::iter(first.map(Ok)).chain(rest).boxed())
}

struct Listing<K> {
    store: Arc<K>,
    /// The question for the next page; `None` at the end.
    next: Option<pb::ListKeysRequest>,
    _permit: Option<Permit>,
}

impl<K: KeyValue> Listing<K> {
    async fn page(&mut self) -> Result<Option<pb::ListKeysResponse>, pb::Failure> {
        let Some(asked) = self.next.take() else {
            return Ok(None);
        };
        let page = self.store.list_keys(asked.clone()).await?;
        let came = u32::try_from(page.keys.len()).unwrap_or(u32::MAX);
        let limit = asked.limit.map(|limit| limit.saturating_sub(came));
        if !page.cursor.is_empty() && limit != Some(0) {
            self.next = Some(pb::ListKeysRequest {
                cursor: page.cursor.clone(),
                limit,
                ..asked
            });
        }
        Ok(Some(page))
    }
}
