//! Real nodes in this process, over loopback, in memory.

use std::time::Duration;

use dynamokv::{EngineKind, Node, NodeConfig};

/// Long enough for a busy machine; every wait ends as soon as its condition holds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A node; `seed` is the address of one that it joins, and the first one has none.
pub(crate) async fn start(name: &str, seed: Option<&str>) -> Node {
    let mut config = NodeConfig::default();
    config.name = name.to_owned();
    config.listen = "127.0.0.1:0".to_owned();
    config.engine = EngineKind::Memory;
    config.gossip_interval_ms = 50;
    config.partitions = 64;
    config.bootstrap = seed.is_none();
    config.seeds = seed.map(str::to_owned).into_iter().collect();
    Node::builder(config).start().await.unwrap()
}

/// A cluster of that many members.
pub(crate) async fn cluster(size: usize) -> Vec<Node> {
    let mut nodes = vec![start("n1", None).await];
    while nodes.len() < size {
        let name = format!("n{}", nodes.len() + 1);
        let node = start(&name, Some(nodes[0].address())).await;
        nodes.push(node);
    }
    settle(&nodes).await;
    nodes
}

/// Until all of them are members and no change is open, as each of them sees it.
pub(crate) async fn settle(nodes: &[Node]) {
    for node in nodes {
        eventually("all nodes are members", || {
            let view = node.parts().view();
            view.current.members().len() == nodes.len() && view.next.is_none()
        })
        .await;
    }
}

pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "not in {PATIENCE:?}: {what}");
}
