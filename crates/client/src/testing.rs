//! A cluster that answers as a test tells it to.
#![allow(clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dynamokv_ring::{Member, NodeId, PartitionRing, Placement};
use dynamokv_rpc::pb;
use parking_lot::Mutex;

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
}

impl Fake {
    pub(crate) fn new(members: u64) -> Arc<Self> {
        Arc::new(Self {
            topology: Mutex::new((1, topology_message(members))),
            moods: Mutex::default(),
            asked: Mutex::default(),
            kept: Mutex::default(),
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
        let id = address.strip_suffix(":1").and_then(|id| id.parse().ok());
        let node = NodeId(id.expect("an address of a fake"));
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
        let coordinator = node.to_string();
        let reply = match request {
            Request::Topology(asked) => Reply::Topology(pb::TopologyResponse {
                version,
                topology: (asked.known != Some(version)).then_some(topology),
            }),
            Request::Get(_) => Reply::Get(pb::GetResponse {
                coordinator,
                ..Default::default()
            }),
            Request::Put(_) => Reply::Put(pb::PutResponse {
                coordinator,
                siblings: 1,
                ..Default::default()
            }),
            Request::Delete(_) => Reply::Delete(pb::DeleteResponse {
                coordinator,
                ..Default::default()
            }),
        };
        Ok(Answered {
            reply,
            topology: Some(version),
        })
    }

    fn keep_only(&self, addresses: &[&str]) {
        *self.kept.lock() = addresses.iter().map(ToString::to_string).collect();
    }
}
