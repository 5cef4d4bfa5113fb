//! Connections by address.

use std::collections::BTreeMap;

use dynamokv_coordinator::ReplicaError;
use parking_lot::Mutex;
use tonic::transport::{Channel, Endpoint};

use super::PeersConfig;
use super::failure::unreachable;
use super::stream::{Outbox, Stream};
use crate::pb::dynamo_rpc_client::DynamoRpcClient;

pub(super) type Client = DynamoRpcClient<Channel>;

/// Which of the two connections to a node is used, so that a transfer does not stand in the way of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Traffic {
    Requests,
    Bulk,
}

pub(super) struct Links {
    config: PeersConfig,
    connect: Box<Connect>,
    open: Mutex<Open>,
}

/// Makes the channel of an endpoint, without a connection yet.
type Connect = dyn Fn(&Endpoint) -> Channel + Send + Sync;

#[derive(Default)]
struct Open {
    links: BTreeMap<String, Link>,
    /// Counts uses, to find the link that was not used for longest.
    clock: u64,
}

struct Link {
    requests: Channel,
    bulk: Channel,
    stream: Option<Stream>,
    last_used: u64,
}

impl Links {
    pub(super) fn new(
        config: PeersConfig,
        connect: impl Fn(&Endpoint) -> Channel + Send + Sync + 'static,
    ) -> Self {
        Self {
            config,
            connect: Box::new(connect),
            open: Mutex::default(),
        }
    }

    /// A client of the node at `address`. No connection is made before it is used.
    pub(super) fn client(&self, address: &str, traffic: Traffic) -> Result<Client, ReplicaError> {
        self.with_link(address, |link| self.client_over(link.channel(traffic)))
    }

    /// The stream to the node at `address`, a new one where the last one has ended.
    pub(super) fn stream(&self, address: &str) -> Result<Outbox, ReplicaError> {
        self.with_link(address, |link| {
            let stream = link.stream.take().filter(Stream::is_open);
            let stream = stream.unwrap_or_else(|| Stream::open(self.client_over(&link.requests)));
            link.stream.insert(stream).outbox()
        })
    }

    fn client_over(&self, channel: &Channel) -> Client {
        DynamoRpcClient::new(channel.clone())
            .max_decoding_message_size(self.config.message_bytes_max)
    }

    fn with_link<R>(
        &self,
        address: &str,
        with: impl FnOnce(&mut Link) -> R,
    ) -> Result<R, ReplicaError> {
        let mut open = self.open.lock();
        open.clock += 1;
        let now = open.clock;
        if let Some(link) = open.links.get_mut(address) {
            link.last_used = now;
            return Ok(with(link));
        }
        let mut link = self.link(address, now)?;
        let result = with(&mut link);
        if open.links.len() >= self.config.addresses_max.max(1) {
            open.forget_oldest();
        }
        open.links.insert(address.to_owned(), link);
        Ok(result)
    }

    fn link(&self, address: &str, now: u64) -> Result<Link, ReplicaError> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| unreachable(format!("address {address:?} is not host:port: {error}")))?
            .connect_timeout(self.config.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(self.config.keep_alive_interval)
            .keep_alive_timeout(self.config.keep_alive_timeout)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        Ok(Link {
            requests: (self.connect)(&endpoint),
            bulk: (self.connect)(&endpoint),
            stream: None,
            last_used: now,
        })
    }
}

impl Open {
    fn forget_oldest(&mut self) {
        let oldest = self.links.iter().min_by_key(|(_, link)| link.last_used);
        if let Some(address) = oldest.map(|(address, _)| address.clone()) {
            self.links.remove(&address);
        }
    }
}

impl Link {
    fn channel(&self, traffic: Traffic) -> &Channel {
        match traffic {
            Traffic::Requests => &self.requests,
            Traffic::Bulk => &self.bulk,
        }
    }
}

const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
