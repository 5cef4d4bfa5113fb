//! Accepted connections: bounded in number, and cut together.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{Stream, unfold};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::transport::server::Connected;
use tracing::warn;

use super::load::Room;
use crate::connection::{Connection, Listener};

/// The stream of connections. It never ends and never fails: errors of the listener pass. All connections are cut when
/// the sender of `cut` is dropped.
pub(super) fn incoming<L: Listener>(
    listener: L,
    room: Room,
    cut: watch::Receiver<()>,
) -> impl Stream<Item = io::Result<Accepted<L::Connection>>> {
    unfold(listener, move |mut listener| {
        let (room, cut) = (room.clone(), cut.clone());
        async move {
            let accepted = next(&mut listener, &room, cut).await;
            Some((Ok(accepted), listener))
        }
    })
}

async fn next<L: Listener>(
    listener: &mut L,
    room: &Room,
    mut cut: watch::Receiver<()>,
) -> Accepted<L::Connection> {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                if let Some(slot) = room.take(1) {
                    let cut = Box::pin(async move { while cut.changed().await.is_ok() {} });
                    return Accepted {
                        stream,
                        cut: Some(cut),
                        _slot: slot,
                    };
                }
                warn!("connection refused: connections_max is reached");
            }
            // Mostly a lack of file descriptors: trying again at once would only burn the processor.
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A client's or peer's connection.
pub(super) struct Accepted<S> {
    stream: S,
    /// Completes when the connection is to be cut; `None` once it is.
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _slot: OwnedSemaphorePermit,
}

impl<S> Accepted<S> {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if let Some(cut) = &mut self.cut
            && cut.as_mut().poll(context).is_ready()
        {
            self.cut = None;
        }
        match self.cut {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

/// The reading side is always polled, so it is the one that hears of the cut.
impl<S: Connection> AsyncRead for Accepted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: Connection> AsyncWrite for Accepted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Nothing is told of a connection to the services behind it.
impl<S> Connected for Accepted<S> {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
