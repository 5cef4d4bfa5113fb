//! `RawKV` over a [`RawStore`].

use std::sync::Arc;

use dynamokv_storage::{Error, Family, RawStore, WriteSeq};
use tonic::{Request, Response, Status};

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

    async fn raw_scan(
        &self,
        request: Request<pb::RawScanRequest>,
    ) -> Result<Response<pb::RawScanResponse>, Status> {
        let request = request.into_inner();
        let family = self.family(&request.family)?;
        let limit = request.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Status::invalid_argument(format!(
                "limit is {limit}, but must be 1..={LIMIT_MAX}"
            )));
        }
        let end = (!request.end.is_empty()).then_some(request.end.as_ref());
        let page = self
            .store
            .scan(&family, &request.start, end, limit as usize)
            .map_err(status::of_storage)?;
        Ok(Response::new(pb::RawScanResponse {
            pairs: page
                .entries
                .into_iter()
                .map(|(key, value)| pb::RawPair { key, value })
                .collect(),
            next: page.next.unwrap_or_default(),
        }))
    }
}

const LIMIT_DEFAULT: u32 = 1000;
const LIMIT_MAX: u32 = 10_000;
