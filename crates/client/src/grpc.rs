//! Nodes over gRPC.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;

use dynamokv_coordinator::ErrorKind;
use dynamokv_rpc::pb::{self, kv_client::KvClient};
use dynamokv_rpc::{failure_in, name_call, topology_version};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tokio::sync::mpsc::Receiver;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, ConnectError, Response, Status};

use crate::transport::{Answered, Cause, Failed, Reply, Request, Transport};

/// One connection to each node, made when it is needed, and anew when it broke.
#[derive(Debug)]
pub struct Grpc {
    connect_timeout: Duration,
    message_bytes_max: usize,
    channels: Mutex<BTreeMap<String, Channel>>,
}

impl Grpc {
    /// Connections that take at most `connect_timeout` to be made, and answers of at most `message_bytes_max`.
    pub fn new(connect_timeout: Duration, message_bytes_max: usize) -> Self {
        Self {
            connect_timeout,
            message_bytes_max,
            channels: Mutex::default(),
        }
    }

    /// The connection to the node at `address`.
    ///
    /// # Errors
    /// The address is not `host:port`.
    pub(crate) fn channel(&self, address: &str) -> Result<Channel, Failed> {
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| {
            let message = format!("address {address:?} is not host:port: {error}");
            Failed::new(Cause::NotSent, message)
        })?;
        let channel = endpoint
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .connect_lazy();
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    fn kv(&self, address: &str) -> Result<KvClient<Channel>, Failed> {
        let client = KvClient::new(self.channel(address)?);
        Ok(client.max_decoding_message_size(self.message_bytes_max))
    }
}

impl Transport for Grpc {
    async fn ask(
        &self,
        address: &str,
        request: Request,
        timeout: Duration,
    ) -> Result<Answered, Failed> {
        let mut kv = self.kv(address)?;
        let asked = async {
            match request {
                Request::Topology(message) => {
                    let reply = kv.topology(carrying(message, timeout)).await;
                    answered(reply, Reply::Topology)
                }
                Request::Get(message) => {
                    answered(kv.get(carrying(message, timeout)).await, Reply::Get)
                }
                Request::Put(message) => {
                    answered(kv.put(carrying(message, timeout)).await, Reply::Put)
                }
                Request::Delete(message) => {
                    answered(kv.delete(carrying(message, timeout)).await, Reply::Delete)
                }
                Request::Batch(message) => {
                    answered(kv.batch(carrying(message, timeout)).await, Reply::Batch)
                }
                Request::ListKeys(message) => list_keys(kv, carrying(message, timeout)).await,
            }
        };
        let in_time = tokio::time::timeout(timeout, asked).await;
        in_time.unwrap_or_else(|_| {
            let message = format!("nothing came within {timeout:?}");
            Err(Failed::new(Cause::Lost, message))
        })
    }

    fn pipeline(
        &self,
        address: &str,
        requests: Receiver<pb::PipelineRequest>,
    ) -> BoxStream<'static, Result<pb::PipelineResponse, Failed>> {
        let opened = self.kv(address).map(|mut kv| async move {
            let requests = stream::unfold(requests, |mut requests| async move {
                Some((requests.recv().await?, requests))
            });
            let opened = kv.pipeline(requests).await;
            opened.map_err(|status| failed(&status))
        });
        let responses = async move {
            let responses = opened?.await?.into_inner();
            Ok::<_, Failed>(responses.map_err(|status| failed(&status)))
        };
        stream::once(responses).try_flatten().boxed()
    }

    fn keep_only(&self, addresses: &[&str]) {
        let mut channels = self.channels.lock();
        channels.retain(|address, _| addresses.contains(&address.as_str()));
    }
}

fn carrying<M>(message: M, timeout: Duration) -> tonic::Request<M> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(timeout);
    name_call(request.metadata_mut());
    request
}

/// The first page of a listing: the next one is another request, so that each comes in time.
async fn list_keys(
    mut kv: KvClient<Channel>,
    request: tonic::Request<pb::ListKeysRequest>,
) -> Result<Answered, Failed> {
    let response = kv.list_keys(request).await;
    let (metadata, mut pages, _) = response.map_err(|status| failed(&status))?.into_parts();
    let page = pages.message().await.map_err(|status| failed(&status))?;
    Ok(Answered {
        topology: topology_version(&metadata),
        reply: Reply::ListKeys(page.unwrap_or_default()),
    })
}

fn answered<M>(
    reply: Result<Response<M>, Status>,
    wrap: impl FnOnce(M) -> Reply,
) -> Result<Answered, Failed> {
    match reply {
        Ok(response) => Ok(Answered {
            topology: topology_version(response.metadata()),
            reply: wrap(response.into_inner()),
        }),
        Err(status) => Err(failed(&status)),
    }
}

/// A node's own words are marked as such; any other status was made on the way.
fn failed(status: &Status) -> Failed {
    let topology = topology_version(status.metadata());
    if let Some(failure) = failure_in(status) {
        return Failed::said(failure, topology);
    }
    let mut causes = std::iter::successors(status.source(), |error| (*error).source());
    let cause = if causes.any(|error| error.is::<ConnectError>()) {
        Cause::NotSent
    } else if status.code() == Code::Unimplemented {
        Cause::Said(ErrorKind::Internal)
    } else {
        Cause::Lost
    };
    let message = match status.source() {
        Some(source) => format!("{}: {source}", status.message()),
        None => status.message().to_owned(),
    };
    Failed {
        topology,
        ..Failed::new(cause, message)
    }
}

const KEEP_ALIVE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io;

    use super::*;

    #[test]
    fn only_what_the_node_said_is_its_word() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let never = Status::from_error(Box::new(ConnectError(Box::new(refused))));
        assert_eq!(failed(&never).cause, Cause::NotSent);
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let broken = Status::from_error(Box::new(reset));
        assert_eq!(failed(&broken).cause, Cause::Lost);
        // As a proxy on the way would say it.
        let unmarked = Status::unavailable("no backend");
        assert_eq!(failed(&unmarked).cause, Cause::Lost);
        let older = Status::unimplemented("no such method");
        assert_eq!(failed(&older).cause, Cause::Said(ErrorKind::Internal));
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_not_asked() {
        let grpc = Grpc::new(Duration::from_secs(1), 1_000);
        let failed = grpc.channel("no address").unwrap_err();
        assert_eq!(failed.cause, Cause::NotSent);
        assert!(failed.message.contains("no address"), "{}", failed.message);
    }

    #[tokio::test]
    async fn only_present_nodes_have_connections() {
        let grpc = Grpc::new(Duration::from_secs(1), 1_000);
        for address in ["a:1", "b:1"] {
            assert!(grpc.channel(address).is_ok());
        }
        grpc.keep_only(&["b:1", "c:1"]);
        let left: Vec<String> = grpc.channels.lock().keys().cloned().collect();
        assert_eq!(left, ["b:1"]);
    }
}
