use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};

/// A running HTTP server. Dropping it cuts it off.
pub struct Server {
    address: String,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on `address`, `host:port` (port 0 takes a free one), and serves `routes`. While `connections_max` connections are open further
    /// ones wait to be accepted; one on which no request comes, or none is completed up to its body, is closed after a minute.
    ///
    /// # Errors
    /// The address cannot be listened on; nothing runs then.
    pub async fn start(address: &str, routes: Router, connections_max: usize) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?.to_string();
        let listener = Bounded {
            listener,
            places: Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS))),
        };
        let (stop, stopped) = oneshot::channel();
        Ok(Self {
            address,
            stop: Some(stop),
            task: tokio::spawn(serve(listener, routes, stopped)),
        })
    }

    /// Where it is reached.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Takes no new requests, and gives those under way `grace` to end.
    pub async fn stop(mut self, grace: Duration) {
        if let Some(stop) = self.stop.take() {
            // Refused only where the server ended already.
            let _ = stop.send(());
        }
        // Ended or out of time: the rest is cut off either way.
        let _ = tokio::time::timeout(grace, &mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves until it is stopped and what was under way has ended. Dropping it cuts all connections.
async fn serve(mut listener: Bounded, routes: Router, stopped: oneshot::Receiver<()>) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    let (under_way, mut open) = (GracefulShutdown::new(), JoinSet::new());
    let mut stopped = pin!(stopped);
    loop {
        let (stream, place) = tokio::select! {
            biased;
            // A dropped sender means that the server is being cut off anyway.
            _ = &mut stopped => break,
            Some(_) = open.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let service = TowerToHyperService::new(routes.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = under_way.watch(connection);
        open.spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    drop(listener);
    under_way.shutdown().await;
}

/// Accepts only so many connections at once.
struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Bounded {
    /// The next connection, and its place.
    async fn accept(&mut self) -> (TcpStream, Option<OwnedSemaphorePermit>) {
        // Never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        // That of axum waits where there are too many open files.
        let (stream, _) = Listener::accept(&mut self.listener).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        (stream, place)
    }
}

/// So that nobody holds a place with half a request, or with none. As long as connections are kept by common clients and proxies.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
