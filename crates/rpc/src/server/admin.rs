//! `Admin` over an [`AdminService`].

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::{AdminError, AdminService, pb, status};

pub(super) struct Handler<S> {
    service: Arc<S>,
}

impl<S> Handler<S> {
    pub(super) fn new(service: Arc<S>) -> Self {
        Self { service }
    }
}

#[tonic::async_trait]
impl<S: AdminService> pb::admin_server::Admin for Handler<S> {
    async fn status(&self, request: Request<pb::StatusRequest>) -> Answer<pb::StatusResponse> {
        answer(self.service.status(request.into_inner()).await)
    }

    async fn members(&self, request: Request<pb::MembersRequest>) -> Answer<pb::MembersResponse> {
        answer(self.service.members(request.into_inner()).await)
    }

    async fn ring(&self, request: Request<pb::RingRequest>) -> Answer<pb::RingResponse> {
        answer(self.service.ring(request.into_inner()).await)
    }

    async fn hints(&self, request: Request<pb::HintsRequest>) -> Answer<pb::HintsResponse> {
        answer(self.service.hints(request.into_inner()).await)
    }

    async fn exchanges(
        &self,
        request: Request<pb::ExchangesRequest>,
    ) -> Answer<pb::ExchangesResponse> {
        answer(self.service.exchanges(request.into_inner()).await)
    }

    async fn read_local(
        &self,
        request: Request<pb::ReadLocalRequest>,
    ) -> Answer<pb::ReadLocalResponse> {
        answer(self.service.read_local(request.into_inner()).await)
    }

    async fn leave(&self, request: Request<pb::LeaveRequest>) -> Answer<pb::LeaveResponse> {
        answer(self.service.leave(request.into_inner()).await)
    }

    async fn snapshot(
        &self,
        request: Request<pb::SnapshotRequest>,
    ) -> Answer<pb::SnapshotResponse> {
        answer(self.service.snapshot(request.into_inner()).await)
    }

    async fn remove(&self, request: Request<pb::RemoveRequest>) -> Answer<pb::RemoveResponse> {
        answer(self.service.remove(request.into_inner()).await)
    }

    async fn set_place(
        &self,
        request: Request<pb::SetPlaceRequest>,
    ) -> Answer<pb::SetPlaceResponse> {
        answer(self.service.set_place(request.into_inner()).await)
    }

    async fn preview_change(
        &self,
        request: Request<pb::PreviewChangeRequest>,
    ) -> Answer<pb::PreviewChangeResponse> {
        answer(self.service.preview_change(request.into_inner()).await)
    }

    async fn transfers(
        &self,
        request: Request<pb::TransfersRequest>,
    ) -> Answer<pb::TransfersResponse> {
        answer(self.service.transfers(request.into_inner()).await)
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn answer<T>(result: Result<T, AdminError>) -> Answer<T> {
    result
        .map(Response::new)
        .map_err(|error| status::of_admin(&error))
}
