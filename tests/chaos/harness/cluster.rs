//! The nodes, their processes and disks, and what can be done to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};

use dynamokv::rpc::pb::{LeaveRequest, RemoveRequest, StatusRequest, StatusResponse};
use tempfile::TempDir;
use tokio::process::Command;

use super::load::Directory;
use super::network::{Manner, Network};
use crate::support::process::{Process, command};
use crate::support::{Client, PATIENCE, eventually};

/// How the nodes are run.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// Whether a gate stands before each node, so that the network can be cut.
    pub gates: bool,
    /// Further options of every node.
    pub options: Vec<String>,
}

pub struct Cluster {
    nodes: Vec<Node>,
    network: Option<Network>,
    setting: Setting,
    directory: Directory,
    folder: TempDir,
}

struct Node {
    name: String,
    /// Where it listens. Clients go there.
    listen: String,
    /// Where other nodes reach it.
    advertised: String,
    /// Its id, once it has run.
    id: String,
    process: Option<Process>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!(
                "data directories and logs stay in {}",
                self.folder.path().display()
            );
        }
    }
}

impl Cluster {
    /// So many members, and nothing under way.
    pub async fn start(size: usize, setting: Setting) -> Self {
        let mut cluster = Self {
            nodes: Vec::new(),
            network: setting.gates.then(Network::new),
            setting,
            directory: Directory::default(),
            folder: tempfile::Builder::new()
                .prefix("dynamokv-chaos-")
                .tempdir()
                .unwrap(),
        };
        for _ in 0..size {
            cluster.add().await;
        }
        cluster.settle().await;
        cluster
    }

    /// The nodes that clients know.
    pub fn directory(&self) -> Directory {
        Directory::clone(&self.directory)
    }

    /// The numbers of all nodes that run.
    pub fn running(&self) -> Vec<usize> {
        let numbers = 0..self.nodes.len();
        numbers
            .filter(|node| self.nodes[*node].process.is_some())
            .collect()
    }

    pub fn client(&self, node: usize) -> Client {
        Client::new(&self.nodes[node].listen)
    }

    pub fn id(&self, node: usize) -> &str {
        &self.nodes[node].id
    }

    pub fn data_folder(&self, node: usize) -> PathBuf {
        self.folder.path().join(&self.nodes[node].name)
    }

    pub async fn status(&self, node: usize) -> StatusResponse {
        let status = self.client(node).admin().status(StatusRequest {}).await;
        status.unwrap().into_inner()
    }

    /// Starts a new, empty node, which founds the cluster if it is the first and joins it otherwise. Gives its number.
    pub async fn add(&mut self) -> usize {
        let node = self.nodes.len();
        let seed = self.running().first().copied();
        let found = match seed {
            None => vec!["--bootstrap".to_owned()],
            Some(seed) => vec!["--seed".to_owned(), self.nodes[seed].advertised.clone()],
        };
        let listen = format!("127.0.0.1:{}", free_port());
        let advertised = match &mut self.network {
            Some(network) => network.open_gate(node, listen.clone()).await,
            None => listen.clone(),
        };
        self.nodes.push(Node {
            name: format!("n{}", node + 1),
            listen,
            advertised,
            id: String::new(),
            process: None,
        });
        self.launch(node, &found).await;
        self.nodes[node].id = self.status(node).await.node;
        self.directory.lock().insert(node, self.client(node));
        node
    }

    /// Starts a stopped node on the disk and under the address that it had.
    pub async fn restart(&mut self, node: usize) {
        self.launch(node, &[]).await;
    }

    /// Starts several at once.
    pub async fn restart_all(&mut self, nodes: &[usize]) {
        let children: Vec<_> = nodes
            .iter()
            .map(|node| (*node, self.spawn(*node, &[])))
            .collect();
        for (node, child) in children {
            let process = Process::await_address(child, &self.data_folder(node)).await;
            self.nodes[node].process = Some(process);
        }
    }

    /// `kill -9`.
    pub async fn kill(&mut self, node: usize) {
        let mut process = self.nodes[node].process.take().expect("it runs");
        process.kill().await;
    }

    /// Kills several at once.
    pub async fn kill_all(&mut self, nodes: &[usize]) {
        for node in nodes {
            let process = self.nodes[*node].process.as_mut().expect("it runs");
            process.child.start_kill().unwrap();
        }
        for node in nodes {
            self.kill(*node).await;
        }
    }

    /// Stops it cleanly.
    pub async fn stop(&mut self, node: usize) {
        let mut process = self.nodes[node].process.take().expect("it runs");
        assert!(process.terminate().await.success());
    }

    /// Its disk is lost, while it is down.
    pub fn lose_disk(&mut self, node: usize) {
        assert!(self.nodes[node].process.is_none());
        std::fs::remove_dir_all(self.data_folder(node)).unwrap();
    }

    /// Stops it in its tracks, or lets it go on.
    pub async fn signal(&self, node: usize, signal: &str) {
        let process = self.nodes[node].process.as_ref().expect("it runs");
        let pid = process.child.id().unwrap().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await;
        assert!(sent.unwrap().success());
    }

    pub fn cut(&self, island: BTreeSet<usize>, manner: Manner) {
        self.network.as_ref().expect("gates").cut(island, manner);
    }

    pub fn heal(&self) {
        self.network.as_ref().expect("gates").heal();
    }

    /// Asks a member to leave; completes when it has ended by itself.
    pub async fn leave(&mut self, node: usize) {
        let client = self.client(node);
        client.admin().leave(LeaveRequest {}).await.unwrap();
        let mut process = self.nodes[node].process.take().expect("it runs");
        let ended = tokio::time::timeout(PATIENCE * 2, process.child.wait()).await;
        assert!(ended.expect("it leaves").unwrap().success());
        self.directory.lock().remove(&node);
    }

    /// Gives up a dead member.
    pub async fn remove(&mut self, node: usize) {
        let asked = self.client(self.running()[0]);
        let remove = RemoveRequest {
            node: self.id(node).to_owned(),
        };
        asked.admin().remove(remove).await.unwrap();
        self.directory.lock().remove(&node);
    }

    /// Waits until those that run are the members, know each other as live, and no change is open.
    pub async fn settle(&self) {
        let running = self.running();
        let ids: BTreeSet<&str> = running.iter().map(|node| self.id(*node)).collect();
        for node in &running {
            let client = self.client(*node);
            eventually("all are members and live", async || {
                let ring = client.ring(None).await;
                let members = ring.shares.iter().map(|share| share.node.as_str());
                let live = self.status(*node).await.nodes_live as usize;
                members.collect::<BTreeSet<_>>() == ids
                    && ring.open.is_none()
                    && live == running.len()
            })
            .await;
        }
    }

    async fn launch(&mut self, node: usize, more: &[String]) {
        let child = self.spawn(node, more);
        let process = Process::await_address(child, &self.data_folder(node)).await;
        self.nodes[node].process = Some(process);
    }

    fn spawn(&self, node: usize, more: &[String]) -> tokio::process::Child {
        let (data, log) = (
            self.data_folder(node),
            self.data_folder(node).with_extension("log"),
        );
        let about = &self.nodes[node];
        let named = BTreeMap::from([
            ("--data-dir", data.to_str().unwrap()),
            ("--listen", &about.listen),
            ("--advertise", &about.advertised),
            ("--name", &about.name),
            ("--log", "info"),
        ]);
        let mut args: Vec<&str> = named
            .into_iter()
            .flat_map(|(key, value)| [key, value])
            .collect();
        args.extend(self.setting.options.iter().map(String::as_str));
        args.extend(more.iter().map(String::as_str));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let child = command(&args).stderr(Stdio::from(log)).spawn().unwrap();
        if let (Some(network), Some(pid)) = (&self.network, child.id()) {
            network.runs_as(node, pid);
        }
        child
    }
}

/// A port that nobody has, below those that the system gives to connections: or one of these could take it while its node is down.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = PORTS + (std::process::id() % 100) as u16 * 100;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 5_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

const PORTS: u16 = 15_000;
