//! Members of a cluster whose disk is the engine that fails on order.

use std::sync::Arc;

use dynamokv::rpc::pb::StatusRequest;
use dynamokv::storage::{Failing, Family, FaultEngine, FaultPoint};
use futures_util::FutureExt;
use tonic::Code;

use crate::support::{Cell, cluster, config, eventually, settle};

/// Two members, and a third on a disk to play with.
async fn cluster_on(disk: &FaultEngine) -> Vec<Cell> {
    let mut cells = cluster(2).await;
    let mut third = config("n3");
    // Not the lowest, which proposes changes: then none would be opened.
    third.id = Some("ffffffffffffffff".to_owned());
    third.seeds = vec![cells[0].address().to_owned()];
    cells.push(
        Cell::try_start(third, Arc::new(disk.clone()))
            .await
            .unwrap(),
    );
    settle(&cells, 3).await;
    cells
}

async fn warnings(cell: &Cell) -> String {
    let status = cell.client().admin().status(StatusRequest {}).await;
    status.unwrap().into_inner().warnings.join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_with_a_full_disk_serves_reads_refuses_writes_and_recovers() {
    let disk = FaultEngine::new(Family::CLUSTER);
    let cells = cluster_on(&disk).await;
    let client = cells[2].client();
    client.put("before", "v", b"").await.unwrap();
    disk.set_full(true);
    let refused = client.put("during", "v", b"").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert_eq!(client.values("before").await, ["v"]);
    assert!(warnings(&cells[2]).await.contains("disk is full"));
    // The others have room, and W of them are enough.
    cells[0].client().put("elsewhere", "v", b"").await.unwrap();
    assert_eq!(client.values("elsewhere").await, ["v"]);
    assert_eq!(client.values("during").await, [""; 0]);
    disk.set_full(false);
    client.put("during", "v", b"").await.unwrap();
    assert!(!warnings(&cells[2]).await.contains("disk is full"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_membership_change_waits_for_a_member_with_a_full_disk_which_does_not_end() {
    let disk = FaultEngine::new(Family::CLUSTER);
    let mut cells = cluster_on(&disk).await;
    cells[2].client().put("k", "v", b"").await.unwrap();
    disk.set_full(true);
    let mut fourth = config("n4");
    fourth.seeds = vec![cells[0].address().to_owned()];
    cells.push(Cell::start(fourth).await);
    let blocked = cells[2].id();
    eventually("the change waits for the full one", async || {
        let open = cells[0].client().ring(None).await.open;
        open.is_some_and(|open| open.blocked_by.contains(&blocked))
    })
    .await;
    assert!(cells[2].node().ended().now_or_never().is_none());
    assert_eq!(cells[2].client().values("k").await, ["v"]);
    disk.set_full(false);
    settle(&cells, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_finds_no_room_leaves_a_write_unknown_and_not_the_node() {
    let disk = FaultEngine::new(Family::CLUSTER);
    let cells = cluster_on(&disk).await;
    let client = cells[2].client();
    client.put("k", "before", b"").await.unwrap();
    disk.fail(FaultPoint::SyncWithoutRoom, Failing::Always);
    disk.set_full(true);
    // Anything makes it sync: a copy of a write that the others acknowledge.
    eventually("the disk is found full", async || {
        cells[0].client().put("other", "v", b"").await.unwrap();
        warnings(&cells[2]).await.contains("disk is full")
    })
    .await;
    let refused = client.put("k", "during", b"").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert_eq!(client.values("k").await, ["before"]);
    disk.fail(FaultPoint::SyncWithoutRoom, Failing::Never);
    disk.set_full(false);
    eventually("it takes writes again", async || {
        client.put("after", "v", b"").await.is_ok()
    })
    .await;
    assert!(cells[2].node().ended().now_or_never().is_none());
}
