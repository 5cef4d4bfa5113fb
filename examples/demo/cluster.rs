//! The nodes of the demo, their disks, and their names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use dynamokv::rpc::pb;
use dynamokv::storage::{Engine, Family, MemoryEngine};
use dynamokv::{EngineKind, Node, NodeConfig};
use tempfile::TempDir;

use crate::client::Client;
use crate::process::Process;
use crate::stage::Failure;

/// All nodes that were ever started, killed ones included. Dropping it kills the rest and removes their folders.
pub(crate) struct Cluster {
    engine: EngineKind,
    machines: BTreeMap<String, Machine>,
    /// Display names by node id.
    names: BTreeMap<String, String>,
    /// Last, so that the nodes are gone when it is removed.
    folder: TempDir,
}

/// What stays when a node is killed, and the node itself while it runs.
struct Machine {
    disk: Disk,
    address: String,
    client: Client,
    process: Option<Process>,
}

#[derive(Clone)]
struct Disk {
    folder: PathBuf,
    /// Instead of the folder, where the demo plays without RocksDB.
    memory: Option<Arc<dyn Engine>>,
}

impl Cluster {
    pub(crate) fn new(engine: EngineKind) -> std::io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("dynamokv-demo-")
            .tempdir()?;
        Ok(Self {
            engine,
            machines: BTreeMap::new(),
            names: BTreeMap::new(),
            folder,
        })
    }

    /// How the nodes run, for the reader.
    pub(crate) fn described(&self) -> String {
        let disk = if self.engine == EngineKind::Memory {
            "a memory engine as its disk, which outlives a kill".to_owned()
        } else {
            format!("its own RocksDB under {}", self.folder.path().display())
        };
        format!(
            "Real nodes in one process; each has its own gRPC server, its own gossip, and {disk}."
        )
    }

    /// Starts a new node, which joins through `seed` or founds a cluster.
    pub(crate) async fn start(&mut self, name: &str, seed: Option<&str>) -> Result<(), Failure> {
        let seeds = match seed {
            Some(seed) => vec![self.machine(seed)?.address.clone()],
            None => Vec::new(),
        };
        let memory = || Arc::new(MemoryEngine::new(Family::CLUSTER)) as Arc<dyn Engine>;
        let disk = Disk {
            folder: self.folder.path().join(name),
            memory: (self.engine == EngineKind::Memory).then(memory),
        };
        self.boot(name, disk, "127.0.0.1:0", seeds).await
    }

    /// Kills a running node: nobody is told, and what it had not synced is not synced.
    pub(crate) async fn kill(&mut self, name: &str) {
        if let Some(process) = self
            .machines
            .get_mut(name)
            .and_then(|machine| machine.process.take())
        {
            process.kill().await;
        }
    }

    /// Starts a killed node again: same disk, same address, no seeds.
    pub(crate) async fn restart(&mut self, name: &str) -> Result<(), Failure> {
        let machine = self.machine(name)?;
        let (disk, address) = (machine.disk.clone(), machine.address.clone());
        self.boot(name, disk, &address, Vec::new()).await
    }

    pub(crate) fn address(&self, name: &str) -> Result<&str, Failure> {
        Ok(&self.machine(name)?.address)
    }

    /// The client of a node.
    pub(crate) fn node(&self, name: &str) -> Result<&Client, Failure> {
        Ok(&self.machine(name)?.client)
    }

    /// The clients of all running nodes.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Client> {
        self.machines
            .values()
            .filter(|machine| machine.process.is_some())
            .map(|machine| &machine.client)
    }

    /// The first `count` keys among `prefix:1`, `prefix:2`, ... that the ring places as `wanted`.
    pub(crate) async fn keys(
        &self,
        prefix: &str,
        count: usize,
        wanted: impl Fn(&Place) -> bool,
    ) -> Result<Vec<Place>, Failure> {
        let mut found = Vec::new();
        for number in 1..=KEYS_TRIED {
            let place = self.locate(&format!("{prefix}:{number}")).await?;
            if wanted(&place) {
                found.push(place);
                if found.len() == count {
                    return Ok(found);
                }
            }
        }
        let seen = format!("{} such keys", found.len());
        Err(Failure::new(
            format!("the ring spreads {KEYS_TRIED} keys over all nodes"),
            count,
            seen,
        ))
    }

    /// Where a key belongs, by display names.
    pub(crate) async fn locate(&self, key: &str) -> Result<Place, Failure> {
        let location = match self.running().next() {
            Some(node) => node.locate(key).await?,
            None => pb::KeyLocation::default(),
        };
        let named = |ids: &[String]| ids.iter().map(|id| self.named(id)).collect();
        Ok(Place {
            key: key.to_owned(),
            owners: named(&location.owners),
            fallbacks: named(&location.fallbacks),
        })
    }

    /// A text with the display names of the nodes in place of their ids.
    pub(crate) fn named(&self, text: &str) -> String {
        self.names
            .iter()
            .fold(text.to_owned(), |text, (id, name)| text.replace(id, name))
    }

    /// Who answered what, in words.
    pub(crate) fn answers(&self, answers: &[pb::Answer]) -> String {
        let said = answers.iter().map(|answer| {
            let did = match answer.kind() {
                pb::AnswerKind::Replica => "replica".to_owned(),
                pb::AnswerKind::Holder => format!("holds it for {}", answer.stands_for),
                pb::AnswerKind::Fallback => "stands in with what it holds".to_owned(),
                pb::AnswerKind::Failed => format!("failed: {}", answer.reason),
                pb::AnswerKind::Down => "down, not asked".to_owned(),
                pb::AnswerKind::Silent => "not yet answered".to_owned(),
                pb::AnswerKind::Unspecified => answer.reason.clone(),
            };
            self.named(&format!("{} ({did})", answer.node))
        });
        said.collect::<Vec<_>>().join(", ")
    }

    /// Kills all nodes.
    pub(crate) async fn stop(&mut self) {
        for machine in self.machines.values_mut() {
            if let Some(process) = machine.process.take() {
                process.kill().await;
            }
        }
    }

    async fn boot(
        &mut self,
        name: &str,
        disk: Disk,
        listen: &str,
        seeds: Vec<String>,
    ) -> Result<(), Failure> {
        let mut config = NodeConfig::default();
        config.name = name.to_owned();
        config.listen = listen.to_owned();
        config.cluster = "demo".to_owned();
        // Who has joined once needs neither.
        config.bootstrap = self.machines.is_empty();
        config.seeds = seeds;
        config.engine = self.engine;
        // A tenth of the default, so that news and deaths are known at the pace of a play.
        config.gossip_interval_ms = 100;
        config.data_dir.clone_from(&disk.folder);
        let mut node = Node::builder(config);
        if let Some(memory) = &disk.memory {
            node = node.engine(Arc::clone(memory));
        }
        let started = Process::start(name, node).await;
        let (process, address) = started
            .map_err(|reason| Failure::new(format!("{name} starts"), "a running node", reason))?;
        let client = Client::new(name, &address)?;
        let id = client.status().await?.node;
        self.names.insert(id, name.to_owned());
        let machine = Machine {
            disk,
            address,
            client,
            process: Some(process),
        };
        self.machines.insert(name.to_owned(), machine);
        Ok(())
    }

    fn machine(&self, name: &str) -> Result<&Machine, Failure> {
        let known = || self.machines.keys().cloned().collect::<Vec<_>>().join(", ");
        self.machines
            .get(name)
            .ok_or_else(|| Failure::new(format!("{name} was started"), name, known()))
    }
}

/// Where the ring places a key.
pub(crate) struct Place {
    pub(crate) key: String,
    /// Its replicas, best first.
    pub(crate) owners: Vec<String>,
    /// Who stands in for them, in order.
    pub(crate) fallbacks: Vec<String>,
}

impl Place {
    pub(crate) fn has_replica(&self, name: &str) -> bool {
        self.owners.iter().any(|owner| owner == name)
    }

    /// The replicas, in words.
    pub(crate) fn shown(&self) -> String {
        self.owners.join(", ")
    }
}

const KEYS_TRIED: u32 = 400;
