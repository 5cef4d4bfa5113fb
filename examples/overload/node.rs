//! The node: one member, one copy, and a disk that syncs at a steady beat.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use dynamokv::storage::{Family, FaultEngine, SyncMode};
use dynamokv::{EngineKind, Node, NodeConfig};
use tokio::time::MissedTickBehavior;

use crate::Fallible;

pub(crate) async fn run(limit: usize, sync_every: Duration) -> Fallible<()> {
    let mut config = NodeConfig::default();
    config.listen = "127.0.0.1:0".to_owned();
    config.engine = EngineKind::Memory;
    config.bootstrap = true;
    (config.replicas, config.read_quorum, config.write_quorum) = (1, 1, 1);
    config.in_flight_max = limit;
    let node = Node::builder(config)
        .engine(Arc::new(FaultEngine::new(Family::CLUSTER)))
        .sync_mode(SyncMode::Manual)
        .start()
        .await?;
    println!("{}", node.address());
    std::io::stdout().flush()?;
    let mut beat = tokio::time::interval(sync_every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        beat.tick().await;
        node.parts().store().run_pending_syncs();
    }
}
