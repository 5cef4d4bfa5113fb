//! TCP that counts its bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use dynamokv::Network;
use dynamokv::rpc::{Connector, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// What crossed the connections that a node has made, in both directions. A connection has one maker, so the sum over all
/// nodes counts each byte once.
#[derive(Clone, Default)]
pub(crate) struct Counted(Arc<AtomicU64>);

impl Counted {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct Stream {
    tcp: TcpStream,
    counted: Counted,
}

impl Connector for Counted {
    type Connection = Stream;

    async fn connect(&self, address: &str) -> io::Result<Stream> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(Stream {
            tcp,
            counted: self.clone(),
        })
    }
}

impl Network for Counted {
    type Listener = Plain;

    async fn listen(&self, address: &str) -> io::Result<Plain> {
        TcpListener::bind(address).await.map(Plain)
    }
}

/// The other end of what somebody else counts.
pub(crate) struct Plain(TcpListener);

impl Listener for Plain {
    type Connection = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        Listener::accept(&mut self.0).await
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.tcp).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        self.counted.0.fetch_add(read as u64, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.tcp).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            self.counted.0.fetch_add(written as u64, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
