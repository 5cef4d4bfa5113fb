//! The raw service of one node alone: plain keys and values in column families, no cluster.

use std::sync::Arc;

use dynamokv_rpc::ServerBuilder;
use dynamokv_storage::{RawOptions, RawStore};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::service::Server;
use crate::{Error, NodeConfig, engine, node};

/// A running standalone node. Dropping it stops it without warning.
pub struct Standalone {
    address: String,
    server: Server,
}

impl Standalone {
    /// Opens the engine with the configured families and serves `RawKV`.
    ///
    /// # Errors
    /// Whatever keeps it from starting; nothing runs then.
    pub fn start(config: NodeConfig) -> BoxFuture<'static, Result<Self, Error>> {
        Self::start_on_tcp(config).boxed()
    }

    async fn start_on_tcp(config: NodeConfig) -> Result<Self, Error> {
        config.validate()?;
        let (listener, address) = node::listen(&config.listen).await?;
        let options = RawOptions {
            durability: engine::durability(&config),
            value_bytes_max: config.value_bytes_max,
            ..RawOptions::default()
        };
        let store = Arc::new(RawStore::open(engine::open(&config)?, options)?);
        let builder = ServerBuilder::new(config.server());
        let engine = store.engine().name();
        let builder = builder.raw(store);
        let health = builder.health();
        let server = Server::spawn(builder, listener, async move { health.set_ready(true) });
        tracing::info!(%address, engine, "listening, standalone");
        Ok(Self { address, server })
    }

    /// Where it is reached.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Stops cleanly: requests under way end first.
    pub async fn shutdown(mut self) {
        self.server.stop().await;
    }
}
