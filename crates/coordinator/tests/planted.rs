//! Each planted bug of the coordinator breaks a promise that holds without it.
#![cfg(feature = "planted-bugs")]
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dynamokv_coordinator::{Config, Error};
use dynamokv_ring::NodeId;
use dynamokv_storage::planted::{self, Bug};
use dynamokv_storage::{Family, FaultEngine, ObjectStore, StoreOptions, SyncMode, Value, shown};
use dynamokv_vclock::{CausalContext, HybridTime};
use support::{Cluster, Fault, get, key, put};
use tokio::time::sleep;

/// Runs `scenario` in paused time with `bug` planted.
fn run<R>(bug: Option<Bug>, scenario: impl AsyncFnOnce() -> R) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    planted::with(bug, || runtime.block_on(scenario()))
}

fn nothing_seen() -> CausalContext {
    CausalContext::new()
}

/// What the node itself has under `k`.
fn own_values(store: &ObjectStore) -> Vec<String> {
    let state = store.get(&key("k")).unwrap().unwrap_or_default();
    let bodies = shown(&state)
        .into_iter()
        .filter_map(|value| value.body.clone());
    let mut texts: Vec<String> = bodies
        .map(|body| String::from_utf8_lossy(&body).into_owned())
        .collect();
    texts.sort();
    texts
}

async fn put_with_one_node_in_reach() -> Result<usize, Error> {
    let cluster = Cluster::new(3, &Config::default());
    for node in [2, 3] {
        cluster.fault(NodeId(node), Some(Fault::Cut));
    }
    let through = cluster.coordinator(NodeId(1));
    through.put(put("k", "v", &nothing_seen())).await?;
    let has_it = |node: &u64| !own_values(cluster.replica(NodeId(*node)).store()).is_empty();
    Ok((1..=3).filter(has_it).count())
}

#[test]
fn w_acknowledgements_are_w_copies_unless_a_node_counts_twice() {
    let outcome = run(None, put_with_one_node_in_reach);
    assert!(matches!(outcome, Err(Error::Unknown { needed: 2, .. })));
    let copies = run(Some(Bug::NodeCountedTwice), put_with_one_node_in_reach);
    assert_eq!(copies.unwrap(), 1, "acknowledged with W = 2");
}

async fn copies_after_a_put_with_context() -> Vec<Vec<String>> {
    let cluster = Cluster::new(3, &Config::default());
    let through = cluster.coordinator(NodeId(1));
    let first = through.put(put("k", "old", &nothing_seen())).await.unwrap();
    through.drain().ended_before(u64::MAX).await;
    through.put(put("k", "new", &first.context)).await.unwrap();
    through.drain().ended_before(u64::MAX).await;
    (1..=3)
        .map(|node| own_values(cluster.replica(NodeId(node)).store()))
        .collect()
}

#[test]
fn every_replica_lets_go_of_what_was_superseded_unless_the_delta_lacks_its_context() {
    let copies = run(None, copies_after_a_put_with_context);
    assert_eq!(copies, [["new"], ["new"], ["new"]]);
    let bug = Some(Bug::DeltaWithoutContext);
    let copies = run(bug, copies_after_a_put_with_context);
    assert_eq!(copies[0], ["new"], "the coordinator itself");
    assert_eq!(copies[1..], [["new", "old"], ["new", "old"]]);
}

/// A replica answers a read that a stalled one holds up, takes another write, and then gets the repair.
async fn copy_after_a_write_and_a_repair() -> Vec<String> {
    let cluster = Cluster::new(3, &Config::default());
    let reader = cluster.coordinator(NodeId(1));
    let (ahead, behind) = (cluster.replica(NodeId(1)), cluster.replica(NodeId(2)));
    cluster.fault(NodeId(3), Some(Fault::Stalled));
    let write = |store: &ObjectStore, body: &'static str| {
        let value = Value::new(HybridTime(1), body);
        store
            .put(&key("k"), value, &nothing_seen(), |_| {})
            .unwrap();
    };
    write(ahead.store(), "repaired");
    let mut request = get("k");
    request.options.quorum = Some(3);
    let meanwhile = async {
        sleep(Duration::from_millis(10)).await;
        assert!(own_values(behind.store()).is_empty(), "not repaired yet");
        write(behind.store(), "written meanwhile");
    };
    let (read, ()) = tokio::join!(reader.get(request), meanwhile);
    assert!(read.is_err(), "the third replica is stalled");
    reader.drain().ended_before(u64::MAX).await;
    own_values(behind.store())
}

#[test]
fn a_repair_keeps_what_was_written_meanwhile_unless_it_overwrites() {
    let copy = run(None, copy_after_a_write_and_a_repair);
    assert_eq!(copy, ["repaired", "written meanwhile"]);
    let copy = run(Some(Bug::RepairOverwrites), copy_after_a_write_and_a_repair);
    assert_eq!(copy, ["repaired"]);
}

/// The owners are down, each has a fallback, and no disk ever syncs: how many copies of an acknowledged write a power loss leaves.
async fn copies_after_a_power_loss() -> Result<usize, Error> {
    let ids = || (1..=6).map(NodeId);
    let disks: BTreeMap<NodeId, FaultEngine> = ids()
        .map(|node| (node, FaultEngine::new(Family::CLUSTER)))
        .collect();
    let on = |node| -> Arc<dyn dynamokv_storage::Engine> { Arc::new(disks[&node].clone()) };
    let cluster = Cluster::on(on, 6, &Config::default(), SyncMode::Manual);
    let owners = cluster.ring.owners(key("k").token()).to_vec();
    cluster.believe_down(&owners);
    let holder = ids().find(|node| !owners.contains(node)).unwrap();
    let through = cluster.coordinator(holder);
    through.put(put("k", "v", &nothing_seen())).await?;
    let left = disks.iter().filter(|(node, disk)| {
        let found = Arc::new(disk.crash());
        let store = ObjectStore::open(found, StoreOptions::new(node.0, 7)).unwrap();
        !own_values(&store).is_empty()
    });
    Ok(left.count())
}

#[test]
fn an_acknowledged_write_survives_a_power_loss_unless_a_fallback_does_not_wait_for_its_sync() {
    let outcome = run(None, copies_after_a_power_loss);
    assert!(matches!(outcome, Err(Error::Unknown { needed: 2, .. })));
    let copies = run(Some(Bug::FallbackNotDurable), copies_after_a_power_loss);
    assert_eq!(copies.unwrap(), 0, "acknowledged with W = 2");
}
