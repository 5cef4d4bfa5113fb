//! Names each request of a client, and keeps the name with the work that it causes, here and on other nodes.

use std::task::{Context, Poll};

use tonic::codegen::http::{HeaderValue, Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;
use tracing::Instrument;

use crate::pb::dynamo_rpc_server::SERVICE_NAME as PEERS;
use crate::pb::kv_server::SERVICE_NAME as CLIENTS;
use crate::trace::{REQUEST_ID_HEADER, RequestIds, request_id};

/// Puts [`Traced`] around all services of a server.
#[derive(Clone, Default)]
pub(super) struct Layer {
    names: RequestIds,
}

impl<S> tower_layer::Layer<S> for Layer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced {
            names: self.names.clone(),
            inner,
        }
    }
}

/// A service whose requests have names. The answer to a client tells it.
#[derive(Clone)]
pub(super) struct Traced<S> {
    names: RequestIds,
    inner: S,
}

impl<S, B, A> Service<Request<B>> for Traced<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    A: 'static,
{
    type Response = Response<A>;
    type Error = S::Error;
    type Future = BoxFuture<Response<A>, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        let of_client = serves(path, CLIENTS);
        let id = match request_id(request.headers()) {
            Some(id) if of_client || serves(path, PEERS) => id,
            None if of_client => self.names.draw(),
            _ => return Box::pin(self.inner.call(request)),
        };
        // At the level that is always on: a warning without its request would be of little use.
        let span = tracing::error_span!("request", %id);
        tracing::debug!(parent: &span, path, "taken");
        let header = of_client
            .then(|| HeaderValue::from_str(id.as_str()).ok())
            .flatten();
        let work = self.inner.call(request);
        let named = async {
            let mut response = work.await?;
            if let Some(header) = header {
                response.headers_mut().insert(REQUEST_ID_HEADER, header);
            }
            Ok(response)
        };
        Box::pin(id.scope(named).instrument(span))
    }
}

impl<S: NamedService> NamedService for Traced<S> {
    const NAME: &'static str = S::NAME;
}

/// Whether `path`, `/service/method`, belongs to `service`.
fn serves(path: &str, service: &str) -> bool {
    path.strip_prefix('/')
        .and_then(|path| path.strip_prefix(service))
        .is_some_and(|method| method.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_of_the_service_are_its_own() {
        assert!(serves("/dynamokv.v1.Kv/Get", CLIENTS));
        for path in [
            "/dynamokv.v1.KvX/Get",
            "/dynamokv.v1.Kv",
            "dynamokv.v1.Kv/Get",
            "/",
        ] {
            assert!(!serves(path, CLIENTS), "{path}");
        }
    }
}
