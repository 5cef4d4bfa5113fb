//! What a node answers: clients, other nodes, operators.

mod admin;
mod exchanges;
mod keys;
mod kv;
mod peer;
mod preview;
mod shown;
mod snapshot;
mod topology;

use std::sync::Arc;

use arc_swap::ArcSwap;
use dynamokv_coordinator::Membership;
use dynamokv_rpc::{Health, Listener, Load, ServerBuilder};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::NodeConfig;
use crate::core::Core;
use crate::metrics::Requests;
use crate::pull::Streaming;
use crate::transport::Transport;

/// The services of one node.
pub struct Service<T> {
    pub(crate) core: Arc<Core<T>>,
    pub(crate) config: NodeConfig,
    address: String,
    pub(crate) streaming: watch::Receiver<Option<Streaming>>,
    pub(crate) started: Instant,
    pub(crate) requests: Requests,
    topology: ArcSwap<topology::Made>,
}

impl<T: Transport> Service<T> {
    pub(crate) fn new(
        core: Arc<Core<T>>,
        config: NodeConfig,
        address: String,
        streaming: watch::Receiver<Option<Streaming>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            core,
            config,
            address,
            streaming,
            started: Instant::now(),
            requests: Requests::default(),
            topology: ArcSwap::default(),
        })
    }

    /// Serves everything behind one listener; healthy once the node is a member.
    pub(crate) fn serve(self: Arc<Self>, listener: impl Listener) -> Server {
        let builder = ServerBuilder::new(self.config.server());
        let builder = builder
            .kv(Arc::clone(&self))
            .peer(Arc::clone(&self))
            .admin(Arc::clone(&self));
        let readiness = follow_membership(self, builder.health());
        Server::spawn(builder, listener, readiness)
    }
}

async fn follow_membership<T: Transport>(service: Arc<Service<T>>, health: Health) {
    let cluster = &service.core.cluster;
    let mut changes = cluster.changes();
    loop {
        health.set_ready(cluster.view().has_member(service.core.me));
        changes.changed().await;
    }
}

/// A running server. Dropping it cuts every connection.
pub(crate) struct Server {
    load: Load,
    health: Health,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) fn spawn(
        builder: ServerBuilder,
        listener: impl Listener,
        readiness: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let (load, health) = (builder.load(), builder.health());
        let (stop, stopped) = oneshot::channel();
        let serving = builder.serve(listener, async {
            // A dropped sender means that the server is being cut off anyway.
            let _ = stopped.await;
        });
        let task = tokio::spawn(async move {
            let readiness = async {
                readiness.await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                served = serving => {
                    if let Err(error) = served {
                        tracing::error!(%error, "the server ended");
                    }
                }
                () = readiness => {}
            }
        });
        Self {
            load,
            health,
            stop: Some(stop),
            task,
        }
    }

    /// What it has to do.
    pub(crate) fn load(&self) -> Load {
        self.load.clone()
    }

    /// Whether it takes requests.
    pub(crate) fn health(&self) -> Health {
        self.health.clone()
    }

    /// Refuses new requests and waits for those under way.
    pub(crate) async fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Refused only where the server ended already.
            let _ = stop.send(());
        }
        // Cut off or ended: both are an end.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
