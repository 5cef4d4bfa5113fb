//! A bound on the requests under way, enforced before their bodies are read.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::OwnedSemaphorePermit;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;

use super::load::Room;
use crate::{pb, status};

/// Shared by the services that count together.
#[derive(Clone)]
pub(super) struct Gate {
    name: &'static str,
    room: Room,
    let_through: Option<&'static str>,
}

impl Gate {
    pub(super) fn new(name: &'static str, room: Room) -> Self {
        Self {
            name,
            room,
            let_through: None,
        }
    }

    /// Requests whose path ends so are neither counted nor refused.
    pub(super) fn letting_through(self, path_end: &'static str) -> Self {
        Self {
            let_through: Some(path_end),
            ..self
        }
    }

    pub(super) fn guard<S>(&self, inner: S) -> Guarded<S> {
        Guarded {
            gate: self.clone(),
            inner,
            lends: false,
        }
    }
}

/// A service behind a gate.
#[derive(Clone)]
pub(super) struct Guarded<S> {
    gate: Gate,
    inner: S,
    lends: bool,
}

impl<S> Guarded<S> {
    /// Puts a [`Permit`] into the extensions of each request, for handlers that answer with streams.
    pub(super) fn lending(self) -> Self {
        Self {
            lends: true,
            ..self
        }
    }
}

/// As long as it is held its request counts as under way.
#[derive(Clone)]
pub(super) struct Permit {
    _held: Arc<OwnedSemaphorePermit>,
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Gate {
            name,
            room,
            let_through,
        } = &self.gate;
        if let_through.is_some_and(|end| request.uri().path().ends_with(end)) {
            return Box::pin(self.inner.call(request));
        }
        let Some(permit) = room.take() else {
            let limit = room.max();
            let overloaded = pb::Failure {
                kind: pb::ErrorKind::Overloaded.into(),
                message: format!(
                    "overloaded: {limit} {name} requests are under way on this node; nothing was done, back off and retry"
                ),
                answers: Vec::new(),
            };
            return Box::pin(ready(Ok(status::of_failure(overloaded).into_http())));
        };
        let permit = Permit {
            _held: Arc::new(permit),
        };
        if self.lends {
            request.extensions_mut().insert(permit.clone());
        }
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await;
            drop(permit);
            response
        })
    }
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}
