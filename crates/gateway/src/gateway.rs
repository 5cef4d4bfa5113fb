use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dynamokv_http::{Router, Server as HttpServer};
use dynamokv_rpc::ServerBuilder;
use dynamokv_settings::{Invalid, Schema};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::GatewayConfig;
use crate::upstream::Upstream;

/// Why a gateway does not start. Nothing runs then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting cannot be used: correct it.
    #[error("configuration: {0}")]
    Config(#[from] Invalid),
    /// An address cannot be listened on: choose another one, or stop who has it.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: String,
        /// The operating system's words.
        reason: std::io::Error,
    },
}

/// A running gateway. Dropping it cuts its connections.
///
/// It keeps nothing: any number of them can stand behind any load balancer.
pub struct Gateway {
    http: HttpServer,
    admin: Option<HttpServer>,
    grpc: Option<Grpc>,
    upstream: Upstream,
    /// Connects; ends with the gateway.
    _connecting: AbortOnDrop,
}

/// A task that ends with whoever holds this.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Grpc {
    address: String,
    stop: oneshot::Sender<()>,
    task: AbortOnDrop,
}

/// Runs a gateway until `stop` completes; requests under way have five seconds to end then.
///
/// # Errors
/// What keeps it from starting.
pub async fn serve(config: GatewayConfig, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let gateway = Gateway::start(config).await?;
    stop.await;
    gateway.stop().await;
    Ok(())
}

impl Gateway {
    /// Listens, and looks for the cluster: until it is found requests are answered with 503, or UNAVAILABLE. Must be called within
    /// a tokio runtime.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub async fn start(config: GatewayConfig) -> Result<Self, Error> {
        Schema::of::<GatewayConfig>().check(&config)?;
        let (upstream, connecting) = Upstream::new(config.client(), config.seeds.clone());
        let grpc = match &config.grpc_listen {
            Some(address) => Some(Grpc::start(address, &config, upstream.clone()).await?),
            None => None,
        };
        let routes = dynamokv_http::routes(upstream.clone(), config.http());
        let routes = dynamokv_http::probes(upstream.clone()).fallback_service(routes);
        let http = serve_http(&config.http_listen, routes, config.connections_max).await?;
        let admin = match &config.admin_listen {
            Some(address) => {
                let routes = dynamokv_http::operators(upstream.clone());
                Some(serve_http(address, routes, ADMIN_CONNECTIONS_MAX).await?)
            }
            None => None,
        };
        Ok(Self {
            http,
            admin,
            grpc,
            upstream,
            _connecting: AbortOnDrop(tokio::spawn(connecting)),
        })
    }

    /// Where HTTP is served.
    pub fn http_address(&self) -> &str {
        self.http.address()
    }

    /// Where the HTTP port for operators' tools is, if there is one.
    pub fn admin_address(&self) -> Option<&str> {
        self.admin.as_ref().map(HttpServer::address)
    }

    /// Where gRPC is served, if it is.
    pub fn grpc_address(&self) -> Option<&str> {
        self.grpc.as_ref().map(|grpc| grpc.address.as_str())
    }

    /// Whether the cluster is found.
    pub fn is_connected(&self) -> bool {
        self.upstream.is_connected()
    }

    /// Takes no new requests, and gives those under way five seconds to end.
    pub async fn stop(mut self) {
        let grpc = self.grpc.take();
        let stop_grpc = async {
            if let Some(Grpc { stop, mut task, .. }) = grpc {
                // Refused only where the server ended already.
                let _ = stop.send(());
                // Ended or cut off: both are an end.
                let _ = (&mut task.0).await;
            }
        };
        tokio::join!(self.http.stop(GRACE), stop_grpc);
    }
}

impl Grpc {
    async fn start(
        address: &str,
        config: &GatewayConfig,
        upstream: Upstream,
    ) -> Result<Self, Error> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?.to_string();
            Ok((listener, address))
        };
        let (listener, local) = bound.await.map_err(|reason| listen(address, reason))?;
        let builder = ServerBuilder::new(config.grpc()).relay(Arc::new(upstream.clone()));
        let health = builder.health();
        let (stop, stopped) = oneshot::channel();
        let serving = builder.serve(listener, async {
            // A dropped sender is a gateway that was dropped.
            let _ = stopped.await;
        });
        let task = tokio::spawn(async move {
            let readiness = async {
                upstream.connected().await;
                health.set_ready(true);
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                served = serving => {
                    if let Err(error) = served {
                        tracing::error!(%error, "the gRPC server ended");
                    }
                }
                () = readiness => {}
            }
        });
        Ok(Self {
            address: local,
            stop,
            task: AbortOnDrop(task),
        })
    }
}

async fn serve_http(
    address: &str,
    routes: Router,
    connections_max: usize,
) -> Result<HttpServer, Error> {
    let server = HttpServer::start(address, routes, connections_max).await;
    server.map_err(|reason| listen(address, reason))
}

fn listen(address: &str, reason: std::io::Error) -> Error {
    Error::Listen {
        address: address.to_owned(),
        reason,
    }
}

/// Operators' tools are few.
const ADMIN_CONNECTIONS_MAX: usize = 64;
const GRACE: Duration = Duration::from_secs(5);
