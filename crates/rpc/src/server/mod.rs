//! The server of one node: its services, health and reflection behind one listener.

mod admin;
mod batch;
mod gate;
mod health;
mod incoming;
mod keys;
mod kv;
mod load;
mod peer;
mod pipeline;
mod raw;
mod relay;
mod replication;
mod traced;

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use dynamokv_storage::{KEY_BYTES_MAX, RawStore};
use futures_util::future::{BoxFuture, FutureExt, Shared};
use tokio::sync::{oneshot, watch};
use tonic::service::RoutesBuilder;
use tonic::transport::Server as Transport;

use self::gate::Gate;
use self::incoming::incoming;
use self::load::Room;
use crate::connection::Listener;
use crate::pb::{
    self, admin_server::AdminServer, dynamo_rpc_server::DynamoRpcServer, kv_server::KvServer,
    raw_kv_server::RawKvServer,
};
use crate::{AdminService, Error, Front, KvService, PeerService, Result};

pub use self::health::Health;
pub use self::kv::KvHandler;
pub use self::load::{Load, Usage};

/// Bounds of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// The greatest value that a client may write, in bytes. The same as the store's.
    pub value_bytes_max: usize,
    /// The greatest message between nodes, in bytes. A state of more bytes cannot be handed over, so it should
    /// exceed what the siblings of one key may come to.
    pub peer_message_bytes_max: usize,
    /// The greatest time that the deadline of a call is taken for, where the request itself names no timeout. The
    /// same as the coordinator's greatest timeout.
    pub timeout_max: Duration,
    /// Client requests under way at once; one more is RESOURCE_EXHAUSTED.
    pub client_requests_max: usize,
    /// Requests of other nodes under way at once, gossip aside; one more is RESOURCE_EXHAUSTED.
    pub peer_requests_max: usize,
    /// Connections at once; one more is closed.
    pub connections_max: usize,
    /// Streams at once on one connection; more wait, at the client. Another node's requests share one connection.
    pub streams_max: u32,
    /// How long requests under way may take to end after the stop was asked for; then their connections are cut.
    pub stop_grace: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            value_bytes_max: 4 << 20,
            peer_message_bytes_max: 256 << 20,
            timeout_max: Duration::from_secs(60),
            client_requests_max: 4096,
            peer_requests_max: 8192,
            connections_max: 4096,
            streams_max: 4096,
            stop_grace: Duration::from_secs(5),
        }
    }
}

impl ServerConfig {
    /// Twice what is allowed, so that an oversized value still gets an answer that names the field and the limit.
    fn client_message_bytes_max(&self) -> usize {
        self.value_bytes_max
            .saturating_add(KEY_BYTES_MAX)
            .saturating_mul(2)
    }
}

/// Collects the services of a node, then serves them.
///
/// Health and reflection are always there. Health says NOT_SERVING until [`Health::set_ready`].
pub struct ServerBuilder {
    config: ServerConfig,
    routes: RoutesBuilder,
    services: Vec<&'static str>,
    clients: Gate,
    peers: Gate,
    load: Load,
    health: Health,
    /// Completes [`Stopping`].
    stop: oneshot::Sender<()>,
    stopping: Stopping,
}

/// Completes when the stop was asked for: streams of other nodes are then read no further, or they would hold up the stop.
type Stopping = Shared<BoxFuture<'static, ()>>;

impl ServerBuilder {
    /// A server without services.
    pub fn new(config: ServerConfig) -> Self {
        let load = Load {
            clients: Room::new(config.client_requests_max),
            peers: Room::new(config.peer_requests_max),
            connections: Room::new(config.connections_max),
        };
        let (stop, stopping) = oneshot::channel();
        Self {
            stop,
            stopping: stopping.map(|_| ()).boxed().shared(),
            routes: RoutesBuilder::default(),
            services: Vec::new(),
            clients: Gate::new("client", load.clients.clone()),
            peers: Gate::new("peer", load.peers.clone())
                .letting_through(&["/PushGossip", "/Replicate"]),
            load,
            health: Health::default(),
            config,
        }
    }

    /// Serves `Kv`.
    #[must_use]
    pub fn kv(mut self, service: Arc<impl KvService>) -> Self {
        let server = KvServer::new(KvHandler::new(service, &self.config))
            .max_decoding_message_size(self.config.client_message_bytes_max());
        self.routes
            .add_service(self.clients.guard(server).lending());
        self.services.push(pb::kv_server::SERVICE_NAME);
        self
    }

    /// Serves `Kv` by passing requests on to `store`, which is no node.
    #[must_use]
    pub fn relay(mut self, store: Arc<impl Front>) -> Self {
        let server = KvServer::new(relay::Relay::new(store))
            .max_decoding_message_size(self.config.client_message_bytes_max());
        self.routes
            .add_service(self.clients.guard(server).lending());
        self.services.push(pb::kv_server::SERVICE_NAME);
        self
    }

    /// Serves `RawKV`.
    #[must_use]
    pub fn raw(mut self, store: Arc<RawStore>) -> Self {
        let server = RawKvServer::new(raw::Handler::new(store))
            .max_decoding_message_size(self.config.client_message_bytes_max());
        self.routes
            .add_service(self.clients.guard(server).lending());
        self.services.push(pb::raw_kv_server::SERVICE_NAME);
        self
    }

    /// Serves `DynamoRPC`.
    #[must_use]
    pub fn peer(mut self, service: Arc<impl PeerService>) -> Self {
        let server = DynamoRpcServer::new(peer::Handler::new(
            service,
            self.peers.clone(),
            self.stopping.clone(),
        ))
        .max_decoding_message_size(self.config.peer_message_bytes_max);
        self.routes.add_service(self.peers.guard(server));
        self.services.push(pb::dynamo_rpc_server::SERVICE_NAME);
        self
    }

    /// Serves `Admin`. Operators get through however many requests are under way.
    #[must_use]
    pub fn admin(mut self, service: Arc<impl AdminService>) -> Self {
        self.routes
            .add_service(AdminServer::new(admin::Handler::new(service)));
        self.services.push(pb::admin_server::SERVICE_NAME);
        self
    }

    /// The switch between SERVING and NOT_SERVING.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// How much is under way, of how much that may be.
    pub fn load(&self) -> Load {
        self.load.clone()
    }

    /// Serves until `shutdown` completes: then health says NOT_SERVING, the listener is closed, and requests under
    /// way have [`ServerConfig::stop_grace`] to end.
    ///
    /// Dropping the returned future cuts every connection at once, as a crash would.
    ///
    /// # Errors
    /// [`Error::Serve`] when the transport fails or the descriptors are unusable.
    pub async fn serve(
        mut self,
        listener: impl Listener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<()> {
        add_reflection(&mut self.routes).map_err(|error| Error::Serve {
            reason: error.to_string(),
        })?;
        let (mut health, health_service) = self.health.service(self.services);
        health.report().await;
        self.routes.add_service(health_service);

        let (uncut, cut) = watch::channel(());
        let incoming = incoming(listener, self.load.connections.clone(), cut);
        let (stop, stopping) = oneshot::channel();
        let signal = async {
            shutdown.await;
            self.health.stop();
            // The receivers live as long as this future does, or nobody minds.
            let _ = (stop.send(()), self.stop.send(()));
        };
        let grace = async {
            match stopping.await {
                Ok(()) => tokio::time::sleep(self.config.stop_grace).await,
                Err(_) => pending().await,
            }
        };
        let serving = Transport::builder()
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .max_concurrent_streams(self.config.streams_max)
            .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
            .layer(traced::Layer::default())
            .add_routes(self.routes.routes())
            .serve_with_incoming_shutdown(incoming, signal);
        let served = tokio::select! {
            biased;
            served = serving => served.map_err(|error| Error::Serve { reason: error.to_string() }),
            () = grace => Ok(()),
            () = health.follow() => Ok(()),
        };
        drop(uncut);
        served
    }
}

impl std::fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("config", &self.config)
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}

/// Both versions of the protocol: common tools still speak the older one.
fn add_reflection(routes: &mut RoutesBuilder) -> Result<(), tonic_reflection::server::Error> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    routes
        .add_service(builder().build_v1()?)
        .add_service(builder().build_v1alpha()?);
    Ok(())
}

/// Room for one large value beside many small ones on a connection.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
