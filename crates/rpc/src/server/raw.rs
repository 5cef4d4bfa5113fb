//! `RawKV` over a [`RawStore`].

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use dynamokv_storage::{Error, Family, RawStore, WriteSeq};
use futures_util::stream::{self, BoxStream, StreamExt};
use tonic::{Request, Response, Status};

use super::gate::Permit;
use crate::{pb, status};

pub(super) struct Handler {
    store: Arc<RawStore>,
}

impl Handler {
    pub(super) fn new(store: Arc<RawStore>) -> Self {
        Self { store }
    }

    fn family(&self, name: &str) -> Result<Family, Status> {
        self.store.family(name).map_err(|error| match error {
            Error::UnknownFamily { family } => {
                let families = self.store.engine().families();
                let known: Vec<&str> = families.iter().map(Family::as_str).collect();
                Status::invalid_argument(format!(
                    "family {:?} is not known; this node has: {}",
                    family.as_str(),
                    known.join(", ")
                ))
            }
            error => status::of_storage(error),
        })
    }

    async fn settle(&self, written: Result<WriteSeq, Error>) -> Result<(), Status> {
        let seq = written.map_err(status::of_storage)?;
        self.store.settled(seq).await.map_err(status::of_storage)
    }
}

#[tonic::async_trait]
impl pb::raw_kv_server::RawKv for Handler {
    async fn raw_get(
        &self,
        request: Request<pb::RawGetRequest>,
    ) -> Result<Response<pb::RawGetResponse>, Status> {
        let request = request.into_inner();
        let family = self.family(&request.family)?;
        let value = self
            .store
            .get(&family, &request.key)
            .map_err(status::of_storage)?;
        Ok(Response::new(pb::RawGetResponse {
            found: value.is_some(),
            value: value.unwrap_or_default(),
        }))
    }

    async fn raw_put(
        &self,
        request: Request<pb::RawPutRequest>,
    ) -> Result<Response<pb::RawPutResponse>, Status> {
        let request = request.into_inner();
        let family = self.family(&request.family)?;
        self.settle(self.store.put(&family, request.key, request.value))
            .await?;
        Ok(Response::new(pb::RawPutResponse {}))
    }

    async fn raw_delete(
        &self,
        request: Request<pb::RawDeleteRequest>,
    ) -> Result<Response<pb::RawDeleteResponse>, Status> {
        let request = request.into_inner();
        let family = self.family(&request.family)?;
        self.settle(self.store.delete(&family, request.key)).await?;
        Ok(Response::new(pb::RawDeleteResponse {}))
    }

    type RawScanStream = BoxStream<'static, Result<pb::RawScanResponse, Status>>;

    async fn raw_scan(
        &self,
        request: Request<pb::RawScanRequest>,
    ) -> Result<Response<Self::RawScanStream>, Status> {
        let permit = request.extensions().get::<Permit>().cloned();
        let request = request.into_inner();
        if request.limit == Some(0) {
            return Err(Status::invalid_argument(
                "limit is 0, but must be at least 1; leave it unset to read the whole range",
            ));
        }
        let mut scan = Scan {
            family: self.family(&request.family)?,
            store: Arc::clone(&self.store),
            from: Some(request.start),
            end: (!request.end.is_empty()).then_some(request.end),
            left: request.limit.map_or(usize::MAX, |limit| limit as usize),
            _permit: permit,
        };
        // At once, so that what is wrong with the request is the answer itself and not the end of a stream.
        let first = scan.page()?.unwrap_or_default();
        let rest = stream::try_unfold(scan, |mut scan| async move {
            Ok(scan.page()?.map(|page| (page, scan)))
        });
        let pages = stream::once(ready(Ok(first))).chain(rest);
        Ok(Response::new(pages.boxed()))
    }
}

/// A scan under way: each page is read when it is asked for.
struct Scan {
    store: Arc<RawStore>,
    family: Family,
    /// Where the next page begins; `None` at the end of the range.
    from: Option<Bytes>,
    end: Option<Bytes>,
    /// Pairs that may still be sent.
    left: usize,
    _permit: Option<Permit>,
}

impl Scan {
    /// The next page; `None` after the last one.
    fn page(&mut self) -> Result<Option<pb::RawScanResponse>, Status> {
        let Some(from) = self.from.take().filter(|_| self.left > 0) else {
            return Ok(None);
        };
        let page = self
            .store
            .scan(&self.family, &from, self.end.as_deref(), self.left)
            .map_err(status::of_storage)?;
        self.left -= page.entries.len();
        self.from = page.next.clone();
        let pairs = page.entries.into_iter();
        Ok(Some(pb::RawScanResponse {
            pairs: pairs
                .map(|(key, value)| pb::RawPair { key, value })
                .collect(),
            next: page.next.unwrap_or_default(),
        }))
    }
}
