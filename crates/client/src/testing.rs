//! A cluster that answers as a test tells it to.
#![allow(clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dynamokv_ring::{Member, NodeId, PartitionRing, Placement};
use dynamokv_rpc::pb;
use dynamokv_rpc::pb::operation::Operation as Asked;
use dynamokv_rpc::pb::operation_result::Result as Told;
use futures_util::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;
use tokio::sync::mpsc::Receiver;

use crate::transport::{Answered, Cause, Failed, Reply, Request, Transport};
use crate::{Client, ClientConfig, Topology};

pub(crate) fn topology_message(members: u64) -> pb::Topology {
    let ids = (1..=members).map(NodeId);
    let ring = PartitionRing::new(16, 3, ids.clone().map(Member::new)).expect("a ring");
    let nodes = ids.map(|id| pb::TopologyNode {
        id: id.0,
        name: format!("n{}", id.0),
        address: address(id),
        weight: 100,
        ..Default::default()
    });
    pb::Topology {
        cluster_id: 1,
        change: 1,
        partitions: 16,
        replicas: 3,
        fingerprint: ring.fingerprint(),
        nodes: nodes.collect(),
        front: false,
    }
}

pub(crate) fn topology(members: u64, knows_the_ring: bool) -> Topology {
    let mut message = topology_message(members);
    message.fingerprint ^= u64::from(!knows_the_ring);
    Topology::new(1, message)
}

pub(crate) fn address(node: NodeId) -> String {
    format!("{}:1", node.0)
}

/// How a node answers.
#[derive(Clone)]
pub(crate) enum Mood {
    /// After a while.
    Good(Duration),
    Bad(Duration, Cause),
}

/// Nodes without state, behind a transport that knows no network.
pub(crate) struct Fake {
    pub(crate) topology: Mutex<(u64, pb::Topology)>,
    pub(crate) moods: Mutex<BTreeMap<NodeId, Mood>>,
    /// Who was asked what, topologies not counted.
    pub(crate) asked: Mutex<Vec<(NodeId, Request)>>,
    pub(crate) kept: Mutex<Vec<String>>,
    /// Messages of pipelines.
    pub(crate) messages: AtomicUsize,
}

impl Fake {
    pub(crate) fn new(members: u64) -> Arc<Self> {
        Arc::new(Self {
            topology: Mutex::new((1, topology_message(members))),
            moods: Mutex::default(),
            asked: Mutex::default(),
            kept: Mutex::default(),
            messages: AtomicUsize::new(0),
        })
    }

    pub(crate) async fn client(self: &Arc<Self>, config: ClientConfig) -> Client<Arc<Self>> {
        let connected = Client::over(Arc::clone(self), config, ["1:1", "2:1"]);
        connected.await.expect("a client")
    }

    pub(crate) fn mood(&self, node: u64, mood: Mood) {
        self.moods.lock().insert(NodeId(node), mood);
    }

    pub(crate) fn asked(&self) -> Vec<NodeId> {
        let asked = self.asked.lock();
        asked.iter().map(|(node, _)| *node).collect()
    }
}

impl Transport for Arc<Fake> {
    async fn ask(
        &self,
        address: &str,
        request: Request,
        timeout: Duration,
    ) -> Result<Answered, Failed> {
        let node = node_at(address);
        let is_topology = matches!(request, Request::Topology(_));
        if !is_topology {
            self.asked.lock().push((node, request.clone()));
        }
        let mood = self.moods.lock().get(&node).cloned();
        let (after, cause) = match mood {
            None => (Duration::ZERO, None),
            Some(Mood::Good(after)) => (after, None),
            Some(Mood::Bad(after, cause)) => (after, Some(cause)),
        };
        if after >= timeout {
            tokio::time::sleep(timeout).await;
            return Err(Failed::new(Cause::Lost, "too slow"));
        }
        tokio::time::sleep(after).await;
        let (version, topology) = self.topology.lock().clone();
        if let Some(cause) = cause {
            return Err(Failed::new(cause, "in a bad mood"));
        }
        let reply = match request {
            Request::Topology(asked) => Reply::Topology(pb::TopologyResponse {
                version,
                topology: (asked.known != Some(version)).then_some(topology),
            }),
            Request::Batch(batch) => {
                let each = batch.operations.into_iter();
                let results = each.map(|operation| carried_out(node, operation));
                Reply::Batch(pb::BatchResponse {
                    results: results.collect(),
                })
            }
            Request::ListKeys(_) => Reply::ListKeys(pb::ListKeysResponse::default()),
            operation => {
                let result = carried_out(node, operation.into());
                Reply::of(result).expect("an answer")
            }
        };
        Ok(Answered {
            reply,
            topology: Some(version),
        })
    }

    fn pipeline(
        &self,
        address: &str,
        requests: Receiver<pb::PipelineRequest>,
    ) -> BoxStream<'static, Result<pb::PipelineResponse, Failed>> {
        let fake = Arc::clone(self);
        let node = node_at(address);
        let stream = stream::unfold((requests, false), move |(mut requests, broke)| {
            let fake = Arc::clone(&fake);
            async move {
                let request = requests.recv().await.filter(|_| !broke)?;
                let mood = fake.moods.lock().get(&node).cloned();
                if let Some(Mood::Bad(_, cause)) = mood {
                    return Some((Err(Failed::new(cause, "broken")), (requests, true)));
                }
                fake.messages.fetch_add(1, Ordering::Relaxed);
                // The last one first: nobody may count on an order.
                let results = request.operations.into_iter().rev().map(|numbered| {
                    let result = carried_out(node, numbered.operation.unwrap_or_default());
                    pb::NumberedResult {
                        id: numbered.id,
                        result: Some(result),
                    }
                });
                let response = pb::PipelineResponse {
                    results: results.collect(),
                    topology: fake.topology.lock().0,
                };
                Some((Ok(response), (requests, false)))
            }
        });
        stream.boxed()
    }

    fn keep_only(&self, addresses: &[&str]) {
        *self.kept.lock() = addresses.iter().map(ToString::to_string).collect();
    }
}

fn node_at(address: &str) -> NodeId {
    let id = address.strip_suffix(":1").and_then(|id| id.parse().ok());
    NodeId(id.expect("an address of a fake"))
}

/// The context of the answer is the key that was asked for.
fn carried_out(node: NodeId, operation: pb::Operation) -> pb::OperationResult {
    let coordinator = node.to_string();
    let result = match operation.operation {
        Some(Asked::Get(get)) => Told::Get(pb::GetResponse {
            coordinator,
            context: get.key,
            ..Default::default()
        }),
        Some(Asked::Put(put)) => Told::Put(pb::PutResponse {
            coordinator,
            context: put.key,
            siblings: 1,
            ..Default::default()
        }),
        Some(Asked::Delete(delete)) => Told::Delete(pb::DeleteResponse {
            coordinator,
            context: delete.key,
            ..Default::default()
        }),
        None => panic!("no operation"),
    };
    pb::OperationResult {
        result: Some(result),
    }
}
