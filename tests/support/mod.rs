//! Real nodes in this process, each with a runtime of its own, so that stopping one without warning leaves
//! nothing of it behind; and a plain client for them.
#![allow(dead_code, unreachable_pub)] // Shared by tests, each of which is a crate of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod dice;
pub mod http;
pub mod process;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use dynamokv::rpc::pb::admin_client::AdminClient;
use dynamokv::rpc::pb::kv_client::KvClient;
use dynamokv::rpc::pb::{
    DeleteRequest, DeleteResponse, GetRequest, GetResponse, HintsRequest, KeyLocator, PutRequest,
    PutResponse, ReadLocalRequest, ReadLocalResponse, RingRequest, RingResponse,
};
use dynamokv::storage::{Batch, Engine, Family, MemoryEngine, ObjectKey};
use dynamokv::{EngineKind, Node, NodeConfig};
use tokio::runtime::Runtime;
use tonic::Status;
use tonic::transport::Channel;

/// Long enough for a busy machine; every wait ends as soon as its condition holds.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One node, running or not, and its disk.
pub struct Cell {
    pub config: NodeConfig,
    /// How far its wall clock is ahead.
    pub ahead: Duration,
    disk: Arc<dyn Engine>,
    running: Option<(Runtime, Node)>,
}

pub fn config(name: &str) -> NodeConfig {
    let log = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env());
    // The first test of the process sets it for all.
    let _ = log.with_test_writer().try_init();
    let mut config = NodeConfig::default();
    config.name = name.to_owned();
    config.listen = "127.0.0.1:0".to_owned();
    config.engine = EngineKind::Memory;
    config.gossip_interval_ms = 50;
    config.partitions = 64;
    // Not within a test, unless the test is about it: hints and repairs must do without.
    config.exchange_interval_ms = 60_000;
    config
}

pub fn memory() -> Arc<dyn Engine> {
    Arc::new(MemoryEngine::new(Family::CLUSTER))
}

impl Cell {
    pub async fn start(config: NodeConfig) -> Self {
        Self::try_start(config, memory())
            .await
            .expect("the node starts")
    }

    pub async fn try_start(
        config: NodeConfig,
        disk: Arc<dyn Engine>,
    ) -> Result<Self, dynamokv::Error> {
        let mut cell = Self {
            config,
            ahead: Duration::ZERO,
            disk,
            running: None,
        };
        cell.restart().await?;
        Ok(cell)
    }

    pub async fn restart(&mut self) -> Result<(), dynamokv::Error> {
        assert!(self.running.is_none());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let ahead = self.ahead;
        let clock = move || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            u64::try_from((since + ahead).as_millis()).unwrap()
        };
        let builder = Node::builder(self.config.clone())
            .engine(Arc::clone(&self.disk))
            .wall_clock(Arc::new(clock));
        let started = runtime.spawn(builder.start()).await.unwrap();
        match started {
            Ok(node) => {
                self.config.listen = node.address().to_owned();
                self.running = Some((runtime, node));
                Ok(())
            }
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    pub fn node(&self) -> &Node {
        &self.running.as_ref().expect("running").1
    }

    pub fn id(&self) -> String {
        self.node().id().to_string()
    }

    pub fn address(&self) -> &str {
        self.node().address()
    }

    /// Stops without warning, as `kill -9` would.
    pub async fn kill(&mut self) {
        let (runtime, node) = self.running.take().expect("running");
        drop(node);
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE))
            .await
            .unwrap();
    }

    /// Stops cleanly.
    pub async fn stop(&mut self) {
        let (runtime, node) = self.running.take().expect("running");
        runtime.spawn(node.shutdown()).await.unwrap().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE))
            .await
            .unwrap();
    }

    pub fn client(&self) -> Client {
        Client::new(self.address())
    }

    /// Puts another disk in the place of the node's, which is stopped.
    pub fn replace_disk(&mut self, disk: Arc<dyn Engine>) {
        assert!(self.running.is_none());
        self.disk = disk;
    }

    /// What lies on the node's disk for the key.
    pub fn record(&self, key: &str) -> Option<Bytes> {
        let key = ObjectKey::new("default", key.to_owned()).unwrap().encode();
        self.disk.get(&Family::OBJECTS, &key).unwrap()
    }

    /// Changes the objects on the disk of a node that is stopped.
    pub fn tamper(&self, change: impl FnOnce(&mut Batch)) {
        assert!(self.running.is_none());
        let mut batch = Batch::new();
        change(&mut batch);
        self.disk.write(batch).unwrap();
        self.disk.sync().unwrap();
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        if let Some((runtime, node)) = self.running.take() {
            drop(node);
            runtime.shutdown_background();
        }
    }
}

/// A cluster of `size` nodes, all of them members.
pub async fn cluster(size: usize) -> Vec<Cell> {
    let mut founder = config("n1");
    founder.bootstrap = true;
    let mut cells = vec![Cell::start(founder).await];
    grow(&mut cells, size).await;
    cells
}

/// Adds nodes until there are `size`, and waits until all are members and no change is open.
pub async fn grow(cells: &mut Vec<Cell>, size: usize) {
    let seed = cells[0].address().to_owned();
    while cells.len() < size {
        let mut config = config(&format!("n{}", cells.len() + 1));
        config.seeds = vec![seed.clone()];
        cells.push(Cell::start(config).await);
    }
    settle(cells, size).await;
}

pub async fn settle(cells: &[Cell], size: usize) {
    for cell in cells.iter().filter(|cell| cell.running.is_some()) {
        eventually(
            &format!(
                "{} sees {size} members and no open change",
                cell.config.name
            ),
            async || {
                let ring = cell.client().ring(None).await;
                ring.shares.len() == size && ring.open.is_none()
            },
        )
        .await;
    }
}

/// Waits until the condition holds.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Each of the keys reads as `v`, and all three replicas answer.
pub async fn on_all_replicas(client: &Client, keys: usize) {
    read_as(client, keys, "v").await;
}

/// Each of the keys reads as `value`, and all three replicas answer.
pub async fn read_as(client: &Client, keys: usize, value: &str) {
    for n in 0..keys {
        let key = format!("key-{n}");
        let request = GetRequest {
            key: key.clone().into(),
            r: Some(3),
            ..GetRequest::default()
        };
        assert_eq!(
            bodies(&client.get_request(request).await.unwrap().values),
            [value],
            "{key}"
        );
    }
}

/// The bodies of a reply's values, sorted.
pub fn bodies(values: &[dynamokv::rpc::pb::Value]) -> Vec<String> {
    let mut bodies: Vec<String> = values
        .iter()
        .map(|value| String::from_utf8_lossy(&value.value).into_owned())
        .collect();
    bodies.sort();
    bodies
}

#[derive(Clone)]
pub struct Client {
    kv: KvClient<Channel>,
    admin: AdminClient<Channel>,
}

impl Client {
    pub fn new(address: &str) -> Self {
        let channel = Channel::from_shared(format!("http://{address}"))
            .unwrap()
            .connect_lazy();
        Self {
            kv: KvClient::new(channel.clone()),
            admin: AdminClient::new(channel),
        }
    }

    pub async fn put(&self, key: &str, value: &str, context: &[u8]) -> Result<PutResponse, Status> {
        let request = PutRequest {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            context: context.to_vec().into(),
            ..PutRequest::default()
        };
        self.put_request(request).await
    }

    pub async fn put_request(&self, request: PutRequest) -> Result<PutResponse, Status> {
        Ok(self.kv.clone().put(request).await?.into_inner())
    }

    pub async fn delete(&self, key: &str, context: &[u8]) -> Result<DeleteResponse, Status> {
        let request = DeleteRequest {
            key: key.to_owned().into(),
            context: context.to_vec().into(),
            ..DeleteRequest::default()
        };
        Ok(self.kv.clone().delete(request).await?.into_inner())
    }

    pub async fn get(&self, key: &str) -> Result<GetResponse, Status> {
        self.get_request(GetRequest {
            key: key.to_owned().into(),
            ..GetRequest::default()
        })
        .await
    }

    pub async fn get_request(&self, request: GetRequest) -> Result<GetResponse, Status> {
        Ok(self.kv.clone().get(request).await?.into_inner())
    }

    pub async fn values(&self, key: &str) -> Vec<String> {
        bodies(&self.get(key).await.unwrap().values)
    }

    /// The node's own copy.
    pub async fn own(&self, key: &str) -> ReadLocalResponse {
        let request = ReadLocalRequest {
            key: key.to_owned().into(),
            ..ReadLocalRequest::default()
        };
        self.admin
            .clone()
            .read_local(request)
            .await
            .unwrap()
            .into_inner()
    }

    pub async fn ring(&self, locate: Option<&str>) -> RingResponse {
        let locate = locate.map(|key| KeyLocator {
            key: key.to_owned().into(),
            ..KeyLocator::default()
        });
        self.admin
            .clone()
            .ring(RingRequest { locate })
            .await
            .unwrap()
            .into_inner()
    }

    /// The ids of the key's replicas.
    pub async fn owners(&self, key: &str) -> Vec<String> {
        self.ring(Some(key)).await.location.unwrap().owners
    }

    /// How much the node holds for others: objects, and whole ranges.
    pub async fn hints(&self) -> u64 {
        let hints = self
            .admin
            .clone()
            .hints(HintsRequest {})
            .await
            .unwrap()
            .into_inner();
        let held = hints.targets.iter();
        held.map(|target| target.count + u64::from(target.dirty_ranges))
            .sum()
    }

    pub fn admin(&self) -> AdminClient<Channel> {
        self.admin.clone()
    }
}
