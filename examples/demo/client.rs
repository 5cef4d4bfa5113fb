//! The demo's only way to a node: its gRPC services.

use std::time::Duration;

use bytes::Bytes;
use dynamokv::rpc::pb;
use pb::admin_client::AdminClient;
use pb::kv_client::KvClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use crate::stage::Failure;

/// A client of one node.
#[derive(Clone)]
pub(crate) struct Client {
    name: String,
    kv: KvClient<Channel>,
    admin: AdminClient<Channel>,
}

/// A write, as the scenes ask for it.
pub(crate) struct Put<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
    /// What the writer has seen; empty for nothing.
    pub(crate) context: Bytes,
    pub(crate) w: u32,
    pub(crate) mode: pb::QuorumMode,
}

impl<'a> Put<'a> {
    /// With W=2, sloppy, by a writer that has seen nothing.
    pub(crate) fn new(key: &'a str, value: &'a str) -> Self {
        Self {
            key,
            value,
            context: Bytes::new(),
            w: 2,
            mode: pb::QuorumMode::Sloppy,
        }
    }
}

impl Client {
    pub(crate) fn new(name: &str, address: &str) -> Result<Self, Failure> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| {
                Failure::new(format!("{name} has a usable address"), "host:port", error)
            })?
            .connect_timeout(Duration::from_secs(1))
            .timeout(Duration::from_secs(10))
            .tcp_nodelay(true);
        let channel = endpoint.connect_lazy();
        Ok(Self {
            name: name.to_owned(),
            kv: KvClient::new(channel.clone()),
            admin: AdminClient::new(channel),
        })
    }

    /// The display name of the node.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) async fn put(&self, put: Put<'_>) -> Result<pb::PutResponse, Failure> {
        let call = format!("a put of {}", put.key);
        self.answer(&call, self.try_put(put).await)
    }

    /// For puts that are expected to be refused.
    pub(crate) async fn try_put(&self, put: Put<'_>) -> Result<Response<pb::PutResponse>, Status> {
        let request = pb::PutRequest {
            key: Bytes::copy_from_slice(put.key.as_bytes()),
            value: Bytes::copy_from_slice(put.value.as_bytes()),
            context: put.context,
            w: Some(put.w),
            mode: put.mode.into(),
            ..Default::default()
        };
        self.kv.clone().put(request).await
    }

    pub(crate) async fn get(&self, key: &str) -> Result<pb::GetResponse, Failure> {
        let request = pb::GetRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            r: Some(2),
            ..Default::default()
        };
        self.answer(
            &format!("a get of {key}"),
            self.kv.clone().get(request).await,
        )
    }

    /// The node's own copy of a key. No other node is asked, and nothing is repaired.
    pub(crate) async fn own_copy(&self, key: &str) -> Result<pb::ReadLocalResponse, Failure> {
        let request = pb::ReadLocalRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            ..Default::default()
        };
        self.answer(
            &format!("for its own copy of {key}"),
            self.admin.clone().read_local(request).await,
        )
    }

    pub(crate) async fn status(&self) -> Result<pb::StatusResponse, Failure> {
        self.answer(
            "for its status",
            self.admin.clone().status(pb::StatusRequest {}).await,
        )
    }

    pub(crate) async fn members(&self) -> Result<Vec<pb::Member>, Failure> {
        let members = self.admin.clone().members(pb::MembersRequest {}).await;
        Ok(self.answer("for the members", members)?.members)
    }

    /// Those for whom it holds something, and those who have got something.
    pub(crate) async fn hints(&self) -> Result<Vec<pb::HintCount>, Failure> {
        let hints = self.admin.clone().hints(pb::HintsRequest {}).await;
        Ok(self.answer("for its hints", hints)?.targets)
    }

    pub(crate) async fn ring(&self) -> Result<pb::RingResponse, Failure> {
        self.answer(
            "for its ring",
            self.admin.clone().ring(pb::RingRequest::default()).await,
        )
    }

    /// Where the ring places a key.
    pub(crate) async fn locate(&self, key: &str) -> Result<pb::KeyLocation, Failure> {
        let locate = pb::KeyLocator {
            key: Bytes::copy_from_slice(key.as_bytes()),
            ..Default::default()
        };
        let ring = self
            .admin
            .clone()
            .ring(pb::RingRequest {
                locate: Some(locate),
            })
            .await;
        Ok(self
            .answer(&format!("where {key} belongs"), ring)?
            .location
            .unwrap_or_default())
    }

    fn answer<T>(&self, call: &str, answer: Result<Response<T>, Status>) -> Result<T, Failure> {
        answer.map(Response::into_inner).map_err(|status| {
            let seen = format!("{:?}: {}", status.code(), status.message());
            Failure::new(format!("{} answers {call}", self.name), "an answer", seen)
        })
    }
}

/// The values, in an order that is the same for the same values.
pub(crate) fn texts(values: &[pb::Value]) -> Vec<String> {
    let mut texts: Vec<String> = values
        .iter()
        .map(|value| String::from_utf8_lossy(&value.value).into_owned())
        .collect();
    texts.sort();
    texts
}
