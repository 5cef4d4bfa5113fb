//! A server under test.

use std::net::SocketAddr;
use std::time::Duration;

use dynamokv_rpc::{Health, Result, ServerBuilder};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) health: Health,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<()>>,
}

impl Running {
    pub(crate) async fn start(server: ServerBuilder) -> Self {
        Self::start_on(listen("127.0.0.1:0".parse().unwrap()), server)
    }

    /// On an address that was in use a moment ago.
    pub(crate) fn restart(address: SocketAddr, server: ServerBuilder) -> Self {
        Self::start_on(listen(address), server)
    }

    fn start_on(listener: TcpListener, server: ServerBuilder) -> Self {
        let address = listener.local_addr().unwrap();
        let health = server.health();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve(listener, async move {
            let _ = stopped.await;
        }));
        Self {
            address,
            health,
            stop: Some(stop),
            task,
        }
    }

    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address))
            .unwrap()
            .connect_lazy()
    }

    pub(crate) fn ask_to_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(crate) async fn stopped(self) -> Result<()> {
        self.task.await.unwrap()
    }

    /// As a crash would look from outside.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(128).unwrap()
}

/// Long enough for a busy machine; what ends sooner is not waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("took too long")
}
