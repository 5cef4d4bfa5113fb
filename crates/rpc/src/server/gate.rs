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
    let_through: &'static [&'static str],
}

impl Gate {
    pub(super) fn new(name: &'static str, room: Room) -> Self {
        Self {
            name,
            room,
            let_through: &[],
        }
    }

    /// Requests whose path ends so are neither counted nor refused.
    pub(super) fn letting_through(self, path_ends: &'static [&'static str]) -> Self {
        Self {
            let_through: path_ends,
            ..self
        }
    }

    /// Room for so many requests, or why there is none.
    pub(super) fn enter(&self, requests: usize) -> Result<OwnedSemaphorePermit, String> {
        let place = self.room.take(requests);
        place.ok_or_else(|| {
            format!(
                "overloaded: {} {} requests are under way on this node; nothing was done, back off and retry",
                self.room.max(),
                self.name
            )
        })
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
        let path = request.uri().path();
        if self.gate.let_through.iter().any(|end| path.ends_with(end)) {
            return Box::pin(self.inner.call(request));
        }
        let permit = match self.gate.enter(1) {
            Ok(permit) => permit,
            Err(message) => {
                let overloaded = pb::Failure {
                    kind: pb::ErrorKind::Overloaded.into(),
                    message,
                    answers: Vec::new(),
                };
                return Box::pin(ready(Ok(status::of_failure(overloaded).into_http())));
            }
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
