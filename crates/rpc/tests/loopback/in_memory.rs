//! A server and its clients without TCP: over pipes in memory.

use std::io;
use std::sync::Arc;

use dynamokv_coordinator::{ReplicaError, ReplicaTransport};
use dynamokv_ring::NodeId;
use dynamokv_rpc::{
    AddressBook, Connector, Listener, Peers, PeersConfig, ServerBuilder, ServerConfig, channel_over,
};
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::fakes::{Asked, FakePeer, NODE, write};
use crate::running::{PATIENCE, soon};

const ADDRESS: &str = "somewhere:1";
const PIPE_BYTES: usize = 1 << 16;

/// Accepts what the [`Caller`]s send.
struct Pipes(UnboundedReceiver<io::Result<DuplexStream>>);

impl Listener for Pipes {
    type Connection = DuplexStream;

    async fn accept(&mut self) -> io::Result<DuplexStream> {
        match self.0.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }
}

#[derive(Clone)]
struct Caller(UnboundedSender<io::Result<DuplexStream>>);

impl Connector for Caller {
    type Connection = DuplexStream;

    async fn connect(&self, address: &str) -> io::Result<DuplexStream> {
        if address != ADDRESS {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let sent = self.0.send(Ok(far));
        sent.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(near)
    }
}

struct Everybody(&'static str);

impl AddressBook for Everybody {
    fn address_of(&self, _: NodeId) -> Option<String> {
        Some(self.0.to_owned())
    }
}

fn peers(address: &'static str, caller: &Caller) -> Peers {
    let book = Arc::new(Everybody(address));
    Peers::over(book, PeersConfig::default(), caller.clone())
}

#[tokio::test]
async fn peers_and_clients_reach_a_server_over_any_network() {
    let (sender, receiver) = unbounded_channel();
    let caller = Caller(sender);
    let fake = Arc::new(FakePeer::default());
    let server = ServerBuilder::new(ServerConfig::default()).peer(Arc::clone(&fake));
    let serving = tokio::spawn(server.serve(Pipes(receiver), std::future::pending()));

    // The server goes on after a connection that could not be accepted.
    caller.0.send(Err(io::ErrorKind::Other.into())).unwrap();
    let reached = peers(ADDRESS, &caller);
    soon(reached.write(NODE, write("w"), PATIENCE))
        .await
        .unwrap();
    assert_eq!(fake.take_asked(), [Asked::PutAll(vec![write("w")])]);

    let endpoint = Endpoint::from_shared(format!("http://{ADDRESS}")).unwrap();
    let mut health = HealthClient::new(channel_over(&endpoint, caller.clone()));
    soon(health.check(HealthCheckRequest::default()))
        .await
        .unwrap();

    let missed = peers("elsewhere:1", &caller)
        .write(NODE, write("w"), PATIENCE)
        .await;
    assert!(
        matches!(missed, Err(ReplicaError::Unreachable(_))),
        "{missed:?}"
    );

    serving.abort();
    let cut = async { while reached.write(NODE, write("w"), PATIENCE).await.is_ok() {} };
    soon(cut).await;
}
