//! The handle that applications hold.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use dynamokv_ring::{NodeId, Placement};
use dynamokv_rpc::pb::admin_client::AdminClient;
use tonic::transport::Channel;

use crate::prepare::{versions, written};
use crate::resolver::shown;
use crate::shared::Shared;
use crate::{
    ClientConfig, Context, Grpc, KeepSiblings, NewValue, Options, Resolver, Result, Topology,
    Transport, Versions, Written, follow,
};

/// A client of one cluster. Cheap to clone: all clones share connections, what is known of the cluster, and budgets.
///
/// Dropping a returned future abandons the call: the outcome of a write is unknown then.
pub struct Client<T = Grpc> {
    pub(crate) shared: Arc<Shared<T>>,
    keyspace: Arc<str>,
    pub(crate) options: Options,
    resolver: Arc<dyn Resolver>,
}

impl Client {
    /// Connects to the cluster of any of the seeds, each `host:port`, with the default configuration.
    ///
    /// # Errors
    /// [`Error::NoSeed`](crate::Error::NoSeed) if none answers within the time that a call may take.
    pub async fn connect<S: Into<String>>(seeds: impl IntoIterator<Item = S>) -> Result<Self> {
        Self::connect_with(ClientConfig::default(), seeds).await
    }

    /// Connects with another configuration.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`Error::Config`](crate::Error::Config) for a setting that cannot be used.
    pub async fn connect_with<S: Into<String>>(
        config: ClientConfig,
        seeds: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let grpc = Grpc::new(config.connect_timeout, config.message_bytes_max);
        Self::over(grpc, config, seeds).await
    }

    /// What an operator asks of a node, over this client's connection to it; `None` if the node is no member.
    pub fn admin(&self, node: NodeId) -> Option<AdminClient<Channel>> {
        let topology = self.topology();
        let channel = self.shared.transport.channel(&topology.node(node)?.address);
        let admin = AdminClient::new(channel.ok()?);
        Some(admin.max_decoding_message_size(self.shared.config.message_bytes_max))
    }
}

impl<T: Transport> Client<T> {
    /// Connects over any transport. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// As [`connect_with`](Client::connect_with).
    pub async fn over<S: Into<String>>(
        transport: T,
        config: ClientConfig,
        seeds: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        config.validate()?;
        let seeds: Vec<String> = seeds.into_iter().map(Into::into).collect();
        let topology = follow::find(&transport, &seeds, &config).await?;
        let shared = Arc::new(Shared::new(transport, config, seeds, topology));
        let follower = tokio::spawn(follow::follow(Arc::downgrade(&shared)));
        shared.followed_by(follower.abort_handle());
        Ok(Self {
            shared,
            keyspace: DEFAULT_KEYSPACE.into(),
            options: Options::default(),
            resolver: Arc::new(KeepSiblings),
        })
    }

    /// A handle on the keys of another keyspace: 1..=64 bytes of a-z, 0-9, `_` and `-`; anything else is refused when it is used.
    #[must_use]
    pub fn in_keyspace(&self, name: &str) -> Self {
        Self {
            keyspace: name.into(),
            ..self.clone()
        }
    }

    /// A handle whose requests have other settings.
    #[must_use]
    pub fn with(&self, options: Options) -> Self {
        Self {
            options,
            ..self.clone()
        }
    }

    /// A handle that shows what `resolver` makes of siblings.
    #[must_use]
    pub fn resolving(&self, resolver: impl Resolver) -> Self {
        Self {
            resolver: Arc::new(resolver),
            ..self.clone()
        }
    }

    /// Reads a key. A key that does not exist is no error: there are no values then.
    ///
    /// # Errors
    /// See [`Error`](crate::Error); a read has no effect.
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Versions> {
        let mut versions = self.read(key.into()).await?;
        versions.values = shown(self.resolver.as_ref(), versions.values);
        Ok(versions)
    }

    /// Reads a key, then writes a value that replaces what was read.
    ///
    /// # Errors
    /// Those of the read, with nothing written, or those of [`put_with`](Self::put_with).
    pub async fn put(&self, key: impl Into<Bytes>, value: impl Into<NewValue>) -> Result<Written> {
        let key = key.into();
        let context = self.read(key.clone()).await?.context;
        self.put_with(key, value, &context).await
    }

    /// Writes a value that replaces what the context has seen, and is concurrent with the rest.
    ///
    /// # Errors
    /// See [`Error`](crate::Error); [`Error::outcome`](crate::Error::outcome) says what is known of the write.
    pub async fn put_with(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<NewValue>,
        context: &Context,
    ) -> Result<Written> {
        let prepared = self.prepare_put(key.into(), value.into(), context, false);
        let completed = self.shared.call(prepared, &self.options).await?;
        written(completed.reply, completed.attempts)
    }

    /// Reads a key, then deletes what was read; `None` if there was nothing.
    ///
    /// # Errors
    /// Those of the read, with nothing deleted, or those of [`delete_with`](Self::delete_with).
    pub async fn delete(&self, key: impl Into<Bytes>) -> Result<Option<Written>> {
        let key = key.into();
        let read = self.read(key.clone()).await?;
        if read.is_empty() {
            return Ok(None);
        }
        self.delete_with(key, &read.context).await.map(Some)
    }

    /// Deletes what the context has seen; what it has not seen stays. The context must not be empty.
    ///
    /// # Errors
    /// See [`Error`](crate::Error); [`Error::outcome`](crate::Error::outcome) says what is known of the delete.
    pub async fn delete_with(&self, key: impl Into<Bytes>, context: &Context) -> Result<Written> {
        let prepared = self.prepare_delete(key.into(), context);
        let completed = self.shared.call(prepared, &self.options).await?;
        written(completed.reply, completed.attempts)
    }

    /// The cluster as this client knows it now.
    pub fn topology(&self) -> Arc<Topology> {
        self.shared.topology.load_full()
    }

    /// The replicas of a key, best first; empty if the ring is not known.
    pub fn owners(&self, key: &[u8]) -> Vec<NodeId> {
        let topology = self.topology();
        let ring = topology.ring();
        ring.map_or_else(Vec::new, |ring| ring.owners(self.token(key)).to_vec())
    }

    /// The keyspace of this handle.
    pub fn keyspace(&self) -> &str {
        &self.keyspace
    }

    pub(crate) async fn read(&self, key: Bytes) -> Result<Versions> {
        let prepared = self.prepare_get(key);
        let completed = self.shared.call(prepared, &self.options).await?;
        versions(completed.reply, completed.attempts)
    }
}

impl<T> Clone for Client<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            keyspace: Arc::clone(&self.keyspace),
            options: self.options.clone(),
            resolver: Arc::clone(&self.resolver),
        }
    }
}

impl<T> fmt::Debug for Client<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("keyspace", &self.keyspace)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

pub(crate) const DEFAULT_KEYSPACE: &str = "default";
