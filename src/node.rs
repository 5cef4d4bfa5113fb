//! One node of a cluster: opens what it keeps, finds the others, serves, and stops.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dynamokv_coordinator::WallClock;
use dynamokv_http::Server as HttpServer;
use dynamokv_ring::NodeId;
use dynamokv_rpc::{KvHandler, Listener, Peers};
use dynamokv_storage::{Engine, SyncMode};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;

use crate::metrics::Scrape;
use crate::parts::{Addresses, Parts, Surroundings};
use crate::service::Server;
use crate::{Error, Network, NodeConfig, engine};

/// Starts a [`Node`].
pub struct NodeBuilder {
    config: NodeConfig,
    engine: Option<Arc<dyn Engine>>,
    sync_mode: SyncMode,
    random_seed: u64,
    wall_clock: WallClock,
}

impl NodeBuilder {
    /// A node of this configuration.
    pub fn new(config: NodeConfig) -> Self {
        Self {
            config,
            engine: None,
            sync_mode: SyncMode::Thread,
            random_seed: random_seed(),
            wall_clock: Arc::new(wall_clock_ms),
        }
    }

    /// Keeps the data in `engine` instead of the one that the configuration names. A memory engine that is kept by the
    /// caller is a disk that outlives the node.
    #[must_use]
    pub fn engine(mut self, engine: Arc<dyn Engine>) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Who runs the syncs: a thread of the node's own, unless this says otherwise.
    #[must_use]
    pub fn sync_mode(mut self, mode: SyncMode) -> Self {
        self.sync_mode = mode;
        self
    }

    /// Draws all randomness from this seed instead of the operating system's. It must differ from start to start.
    #[must_use]
    pub fn random_seed(mut self, seed: u64) -> Self {
        self.random_seed = seed;
        self
    }

    /// Takes the time of day from `clock` instead of the machine's.
    #[must_use]
    pub fn wall_clock(mut self, clock: WallClock) -> Self {
        self.wall_clock = clock;
        self
    }

    /// Opens the store, founds or seeks the cluster, and serves.
    ///
    /// # Errors
    /// Whatever keeps the node from starting; nothing runs then.
    pub fn start(self) -> BoxFuture<'static, Result<Node, Error>> {
        // Boxed here: the body of an `async fn` is compiled again in every program that calls it, a whole node here.
        self.start_on_tcp().boxed()
    }

    async fn start_on_tcp(self) -> Result<Node, Error> {
        let engine = self.open_engine()?;
        let (listener, local) = listen(&self.config.listen).await?;
        let peers = self.config.peers();
        let connect = |book| Peers::new(Arc::new(book), peers);
        let config = self.config.clone();
        let mut node = self.serve(engine, listener, local, connect)?;
        let (service, load, health) = (
            node.parts.service(),
            node.server.load(),
            node.server.health(),
        );
        if let Some(address) = &config.http_listen {
            let store = KvHandler::new(Arc::clone(&service), &config.server());
            let routes = dynamokv_http::routes(store, config.http());
            node.http = Some(serve_http(address, routes, config.connections_max).await?);
        }
        if let Some(address) = &config.admin_listen {
            let routes = dynamokv_http::operators(Scrape {
                service,
                load,
                health,
            });
            node.admin = Some(serve_http(address, routes, ADMIN_CONNECTIONS_MAX).await?);
        }
        Ok(node)
    }

    /// As [`start`](Self::start), but over a network of the caller's; the configuration must name the port. No HTTP port is
    /// opened.
    ///
    /// # Errors
    /// As those of [`start`](Self::start).
    pub async fn start_over(self, network: impl Network) -> Result<Node, Error> {
        let engine = self.open_engine()?;
        let local = self.config.listen.clone();
        let listening = network.listen(&local).await;
        let listener = listening.map_err(|reason| Error::listen(&local, reason))?;
        let peers = self.config.peers();
        let connect = |book| Peers::over(Arc::new(book), peers, network);
        self.serve(engine, listener, local, connect)
    }

    fn open_engine(&self) -> Result<Arc<dyn Engine>, Error> {
        self.config.validate()?;
        match &self.engine {
            Some(engine) => Ok(Arc::clone(engine)),
            None => engine::open(&self.config),
        }
    }

    fn serve(
        self,
        engine: Arc<dyn Engine>,
        listener: impl Listener,
        local: String,
        connect: impl FnOnce(Addresses) -> Peers,
    ) -> Result<Node, Error> {
        let (config, brought) = (self.config, self.engine.is_some());
        let given = config.advertise.clone();
        let address = given.unwrap_or_else(|| reachable(local, gethostname::gethostname()));
        let around = Surroundings {
            engine,
            sync_mode: self.sync_mode,
            random_seed: self.random_seed,
            wall_clock: self.wall_clock,
            address: address.clone(),
        };
        let parts = Parts::start(&config, around, connect).map_err(|error| {
            if brought {
                error
            } else {
                error.in_folder(&config.data_dir)
            }
        })?;
        let server = parts.service().serve(listener);
        let engine = parts.store().engine().name();
        tracing::info!(node = %parts.id(), %address, cluster = %config.cluster, engine, "listening");
        Ok(Node {
            parts,
            address,
            server,
            http: None,
            admin: None,
        })
    }
}

/// What to tell others where nothing was said: nobody can reach `0.0.0.0`, but a container's peers can mostly reach it by its name.
fn reachable(local: String, host: OsString) -> String {
    match (local.parse::<SocketAddr>(), host.into_string()) {
        (Ok(address), Ok(host)) if address.ip().is_unspecified() => {
            format!("{host}:{}", address.port())
        }
        _ => local,
    }
}

/// A running node. Dropping it stops it without warning, as a crash would; see [`shutdown`](Self::shutdown).
pub struct Node {
    parts: Parts<Peers>,
    address: String,
    server: Server,
    http: Option<HttpServer>,
    admin: Option<HttpServer>,
}

impl Node {
    /// A node of this configuration, ready to start.
    pub fn builder(config: NodeConfig) -> NodeBuilder {
        NodeBuilder::new(config)
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.parts.id()
    }

    /// Where others reach it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where its HTTP port for operators' tools is reached, if it has one.
    pub fn admin_address(&self) -> Option<&str> {
        self.admin.as_ref().map(HttpServer::address)
    }

    /// Where keys are reached by HTTP, if they are.
    pub fn http_address(&self) -> Option<&str> {
        self.http.as_ref().map(HttpServer::address)
    }

    /// What it is made of.
    pub fn parts(&self) -> &Parts<Peers> {
        &self.parts
    }

    /// Completes when the node must stop by itself: it left as it was asked to ([`Error::Left`]), was removed, or
    /// cannot go on. The caller then calls [`shutdown`](Self::shutdown).
    pub async fn ended(&self) -> Arc<Error> {
        self.parts.ended().await
    }

    /// Completes when the node is a member of the ring and no membership change is open, or when `within` has passed.
    /// Whether it is.
    pub async fn settled(&self, within: Duration) -> bool {
        self.parts.settled(within).await
    }

    /// Stops cleanly: says goodbye, lets requests under way end, syncs, and marks the stop as clean.
    ///
    /// # Errors
    /// What the store reports; the stop then counts as unclean, which costs nothing but fresh epochs.
    pub fn shutdown(self) -> BoxFuture<'static, Result<(), Error>> {
        self.stop().boxed()
    }

    async fn stop(mut self) -> Result<(), Error> {
        self.parts.say_goodbye().await;
        if let Some(http) = self.http.take() {
            http.stop(HTTP_GRACE).await;
        }
        self.server.stop().await;
        let id = self.id();
        self.parts.close().await?;
        drop(self.admin);
        tracing::info!(node = %id, "stopped");
        Ok(())
    }
}

async fn serve_http(
    address: &str,
    routes: axum::Router,
    connections_max: usize,
) -> Result<HttpServer, Error> {
    let server = HttpServer::start(address, routes, connections_max).await;
    let server = server.map_err(|reason| Error::listen(address, reason))?;
    tracing::info!(address = server.address(), "listening for HTTP");
    Ok(server)
}

/// Listens, and says at which address.
pub(crate) async fn listen(address: &str) -> Result<(TcpListener, String), Error> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?.to_string();
        Ok((listener, local))
    };
    bound.await.map_err(|reason| Error::listen(address, reason))
}

fn wall_clock_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Randomness of the operating system, through the seeds that the standard library draws for its maps.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}

/// Operators' tools are few.
const ADMIN_CONNECTIONS_MAX: usize = 64;
/// How long requests by HTTP that are under way may take to end after the stop was asked for.
const HTTP_GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn who_listens_everywhere_is_reached_by_its_name() {
        let of = |local: &str| reachable(local.to_owned(), "box".into());
        assert_eq!(of("0.0.0.0:7070"), "box:7070");
        assert_eq!(of("[::]:7070"), "box:7070");
        assert_eq!(of("127.0.0.1:7070"), "127.0.0.1:7070");
        assert_eq!(of("inside:7070"), "inside:7070");
    }
}
