//! Three nodes on RocksDB in this process, and what is planted into their stores.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dynamokv::ring::TokenRange;
use dynamokv::rpc::AdminService;
use dynamokv::rpc::pb::{ExchangesRequest, ExchangesResponse};
use dynamokv::storage::{ObjectKey, State, StateHash, Value};
use dynamokv::vclock::{ActorId, CausalContext, Dot, Epoch, HybridTime};
use dynamokv::{Node, NodeConfig};
use tempfile::TempDir;

use crate::counted::Counted;
use crate::{Fallible, fail};

pub(crate) struct Cluster {
    cells: Vec<Cell>,
    pub(crate) keys: u64,
    pub(crate) bytes: usize,
    _folder: TempDir,
}

struct Cell {
    config: NodeConfig,
    counted: Counted,
    node: Option<Node>,
}

impl Cluster {
    /// Founds it, and puts the same keys onto every node.
    pub(crate) async fn start(keys: u64, bytes: usize) -> Fallible<Self> {
        let folder = tempfile::tempdir()?;
        let mut cells = Vec::new();
        for n in 0..3 {
            let mut config = NodeConfig::default();
            config.name = format!("n{n}");
            config.listen = free_address()?;
            config.data_dir = folder.path().join(&config.name);
            config.partitions = 256;
            config.gossip_interval_ms = 200;
            config.bootstrap = n == 0;
            config.seeds = cells
                .first()
                .map(|first: &Cell| first.config.listen.clone())
                .into_iter()
                .collect();
            cells.push(Cell {
                config,
                counted: Counted::default(),
                node: None,
            });
        }
        let mut cluster = Self {
            cells,
            keys,
            bytes,
            _folder: folder,
        };
        for n in 0..3 {
            cluster.start_node(n).await?;
        }
        for n in 0..3 {
            if !cluster.node(n).settled(Duration::from_secs(60)).await {
                return fail("the nodes did not come together");
            }
        }
        cluster.fill().await?;
        Ok(cluster)
    }

    pub(crate) async fn start_node(&mut self, n: usize) -> Fallible<()> {
        let cell = &mut self.cells[n];
        let builder = Node::builder(cell.config.clone());
        cell.node = Some(builder.start_over(cell.counted.clone()).await?);
        Ok(())
    }

    pub(crate) async fn stop_node(&mut self, n: usize) -> Fallible<()> {
        match self.cells[n].node.take() {
            Some(node) => Ok(node.shutdown().await?),
            None => fail("it does not run"),
        }
    }

    /// The settings of all nodes from their next start on.
    pub(crate) fn configure(&mut self, change: impl Fn(&mut NodeConfig)) {
        self.cells
            .iter_mut()
            .for_each(|cell| change(&mut cell.config));
    }

    pub(crate) async fn restart(&mut self, change: impl Fn(&mut NodeConfig)) -> Fallible<()> {
        for n in 0..3 {
            self.stop_node(n).await?;
        }
        self.configure(change);
        for n in 0..3 {
            self.start_node(n).await?;
        }
        self.met().await
    }

    /// Waits until every node sees every other one.
    pub(crate) async fn met(&self) -> Fallible<()> {
        let all = || (0..3).all(|n| self.sees_all(n));
        wait_for(Duration::from_secs(60), all).await.map(|_| ())
    }

    pub(crate) fn sees_all(&self, n: usize) -> bool {
        self.node(n).parts().view().live.len() == 3
    }

    pub(crate) fn node(&self, n: usize) -> &Node {
        match &self.cells[n].node {
            Some(node) => node,
            None => panic!("node {n} does not run"),
        }
    }

    /// Bytes that crossed the network so far, all connections together.
    pub(crate) fn bytes_on_the_wire(&self) -> u64 {
        self.cells.iter().map(|cell| cell.counted.bytes()).sum()
    }

    pub(crate) async fn exchanges(&self, n: usize) -> Fallible<ExchangesResponse> {
        Ok(self
            .node(n)
            .parts()
            .service()
            .exchanges(ExchangesRequest {})
            .await?)
    }

    /// Writes a version of a key straight into a node's store, over the one before it.
    pub(crate) fn plant(&self, n: usize, key: u64, version: u64) -> Fallible<()> {
        let delta = self.state(key, version);
        self.node(n)
            .parts()
            .store()
            .join(&object_key(key)?, &delta, |_| {})?;
        Ok(())
    }

    /// Whether a node has the version of the key.
    pub(crate) fn has(&self, n: usize, key: u64, version: u64) -> Fallible<bool> {
        let object = object_key(key)?;
        let found = self.node(n).parts().store().get(&object)?;
        let expected = StateHash::of(&object, &self.state(key, version));
        Ok(found.is_some_and(|state| StateHash::of(&object, &state) == expected))
    }

    /// Drops everything that a node holds.
    pub(crate) fn wipe(&self, n: usize) -> Fallible<()> {
        self.node(n)
            .parts()
            .store()
            .purge(TokenRange::ALL, |_| {})?;
        Ok(())
    }

    fn state(&self, key: u64, version: u64) -> State {
        let dot = |version| Dot::new(ActorId::new(99, Epoch(key)), version);
        let seen: CausalContext = (1..version).map(dot).collect();
        let mut body = Vec::with_capacity(self.bytes);
        let mut word = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ version;
        while body.len() < self.bytes {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            body.extend(word.to_le_bytes());
        }
        body.truncate(self.bytes);
        State::delta(dot(version), Value::new(HybridTime(1), body), &seen)
    }

    async fn fill(&self) -> Fallible<()> {
        let began = Instant::now();
        std::thread::scope(|scope| {
            let fill = |n| move || (0..self.keys).try_for_each(|key| self.plant(n, key, 1));
            let threads: Vec<_> = (0..3).map(|n| scope.spawn(fill(n))).collect();
            threads
                .into_iter()
                .try_for_each(|thread| match thread.join() {
                    Ok(filled) => filled,
                    Err(_) => fail("filling a store failed"),
                })
        })?;
        eprintln!("filled in {:.0} s", began.elapsed().as_secs_f64());
        // The leaves follow the keys.
        self.calm().await
    }

    /// Waits until the trees have as many leaves as they shall, everywhere, and nothing differs.
    pub(crate) async fn calm(&self) -> Fallible<()> {
        let mut before = Vec::new();
        for _ in 0..600 {
            let mut now = Vec::new();
            for n in 0..3 {
                let seen = self.exchanges(n).await?;
                now.push((
                    seen.tree_bytes,
                    seen.keys,
                    seen.oldest_difference_ms.is_none(),
                ));
            }
            if now == before
                && now
                    .iter()
                    .all(|(_, keys, same)| *same && *keys == self.keys)
            {
                return Ok(());
            }
            before = now;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        fail("the cluster does not come to rest")
    }

    pub(crate) fn addresses(&self) -> BTreeMap<usize, String> {
        (0..3)
            .map(|n| (n, self.node(n).address().to_owned()))
            .collect()
    }
}

pub(crate) fn object_key(key: u64) -> Fallible<ObjectKey> {
    Ok(ObjectKey::new("default", format!("key-{key:09}"))?)
}

/// How long it took until the condition held.
pub(crate) async fn wait_for(
    patience: Duration,
    mut holds: impl FnMut() -> bool,
) -> Fallible<Duration> {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > patience {
            return fail("something that was waited for did not come");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(began.elapsed())
}

fn free_address() -> Fallible<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}
