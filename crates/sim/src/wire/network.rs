//! Turmoil's network as nodes and clients take it.

use std::io;
use std::net::Ipv4Addr;

use dynamokv::Network;
use dynamokv::rpc::{Connector, Listener};
use turmoil::net::{TcpListener, TcpStream};

/// The network of the simulation that the caller runs in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turmoil;

/// Where a node listens.
pub(super) struct Listening(TcpListener);

impl Connector for Turmoil {
    type Connection = TcpStream;

    async fn connect(&self, address: &str) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }
}

impl Network for Turmoil {
    type Listener = Listening;

    /// On all addresses of the host that the caller runs on; only the port counts.
    async fn listen(&self, address: &str) -> io::Result<Listening> {
        let port = address.rsplit_once(':').map(|(_, port)| port.parse());
        let Some(Ok(port)) = port else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let everywhere = (Ipv4Addr::UNSPECIFIED, port);
        TcpListener::bind(everywhere).await.map(Listening)
    }
}

impl Listener for Listening {
    type Connection = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        let (stream, _) = self.0.accept().await?;
        Ok(stream)
    }
}
