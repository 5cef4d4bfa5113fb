//! Connections by address.

use std::collections::BTreeMap;

use dynamokv_coordinator::ReplicaError;
use parking_lot::Mutex;
use tonic::transport::{Channel, Endpoint};

use super::PeersConfig;
use super::failure::unreachable;
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
        let channel = self.channel(address, traffic)?;
        Ok(DynamoRpcClient::new(channel).max_decoding_message_size(self.config.message_bytes_max))
    }

    fn channel(&self, address: &str, traffic: Traffic) -> Result<Channel, ReplicaError> {
        let mut open = self.open.lock();
        open.clock += 1;
        let now = open.clock;
        if let Some(link) = open.links.get_mut(address) {
            link.last_used = now;
            return Ok(link.channel(traffic));
        }
        let link = self.link(address, now)?;
        let channel = link.channel(traffic);
        if open.links.len() >= self.config.addresses_max.max(1) {
            open.forget_oldest();
        }
        open.links.insert(address.to_owned(), link);
        Ok(channel)
    }

    fn link(&self, address: &str, now: u64) -> Result<Link, ReplicaError> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| unreachable(format!("address {address:?} is not host:port: {error}")))?
            .connect_timeout(self.config.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(self.config.keep_alive_interval)
            .keep_alive_timeout(self.config.keep_alive_timeout)
            .keep_alive_while_idle(true);
        let bulk = endpoint
            .clone()
            .initial_stream_window_size(BULK_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(BULK_CONNECTION_WINDOW_BYTES);
        Ok(Link {
            requests: (self.connect)(&endpoint),
            bulk: (self.connect)(&bulk),
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
    fn channel(&self, traffic: Traffic) -> Channel {
        match traffic {
            Traffic::Requests => self.requests.clone(),
            Traffic::Bulk => self.bulk.clone(),
        }
    }
}

const BULK_STREAM_WINDOW_BYTES: u32 = 4 << 20;
const BULK_CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
