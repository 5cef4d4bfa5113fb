//! Where connections come from and how they are made: TCP as a rule, another network where one is given.

use std::future::Future;
use std::io;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tonic::codegen::http::Uri;
use tonic::codegen::{BoxFuture, Service};
use tonic::transport::{Channel, Endpoint};
use tracing::debug;

/// Bytes to and from the other side.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> Connection for C {}

/// Where a server's connections come from.
pub trait Listener: Send + 'static {
    /// What it accepts.
    type Connection: Connection;

    /// The next connection. The server goes on after an error, with a pause.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

impl Listener for TcpListener {
    type Connection = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        let (stream, _) = TcpListener::accept(self).await?;
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "TCP_NODELAY cannot be set");
        }
        Ok(stream)
    }
}

/// How connections to servers are made.
pub trait Connector: Clone + Send + Sync + 'static {
    /// What it makes.
    type Connection: Connection;

    /// Connects to `address`, `host:port`.
    fn connect(&self, address: &str) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

/// A channel to `endpoint` whose connections `connector` makes, each when it is first needed.
pub fn channel_over(endpoint: &Endpoint, connector: impl Connector) -> Channel {
    endpoint.connect_with_connector_lazy(Dial(connector))
}

/// A connector as tonic wants it.
struct Dial<C>(C);

impl<C: Connector> Service<Uri> for Dial<C> {
    type Response = TokioIo<C::Connection>;
    type Error = io::Error;
    type Future = BoxFuture<Self::Response, io::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.0.clone();
        Box::pin(async move {
            let address = uri.authority().ok_or(io::ErrorKind::InvalidInput)?;
            Ok(TokioIo::new(connector.connect(address.as_str()).await?))
        })
    }
}
