//! Nodes that were away for long, and disks that are older than what was said from them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use dynamokv::Error;
use dynamokv::rpc::pb::{GetRequest, HintsRequest, MembersRequest, RemoveRequest};
use dynamokv::storage::{Engine, Family, FaultEngine};
use support::{Cell, cluster, config, eventually, on_all_replicas, settle};
use tonic::Code;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The heartbeats of a node as another one knows them.
async fn heartbeats(witness: &Cell, node: &str) -> u64 {
    let members = witness.client().admin().members(MembersRequest {}).await;
    let members = members.unwrap().into_inner().members;
    let found = members.iter().find(|member| member.node == node);
    found.unwrap().heartbeat
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_disk_of_the_very_life_that_was_lost_is_turned_away_for_good() {
    let mut cells = cluster(3).await;
    let disk = FaultEngine::new(Family::CLUSTER);
    let mut fourth = config("n4");
    fourth.seeds = vec![cells[0].address().to_owned()];
    // Heartbeats are allowed for a quarter of this.
    (fourth.hint_age_max_s, fourth.tombstone_grace_s) = (1, 4);
    let mut cell = Cell::try_start(fourth, Arc::new(disk.clone()))
        .await
        .unwrap();
    cells.push(cell);
    settle(&cells, 4).await;
    cell = cells.pop().unwrap();
    let id = cell.id();

    let copy: Arc<dyn Engine> = Arc::new(disk.image(0));
    let then = heartbeats(&cells[0], &id).await;
    eventually("it has gone on for long", async || {
        heartbeats(&cells[0], &id).await > then + 60
    })
    .await;
    cell.kill().await;
    cell.replace_disk(copy);
    cell.restart().await.unwrap();
    let ended = tokio::time::timeout(support::PATIENCE, cell.node().ended()).await;
    let ended = ended.expect("it ends");
    assert!(matches!(*ended, Error::OlderDisk { .. }), "{ended}");
    cell.kill().await;
    // Starting again and again changes nothing: it is noted on the disk.
    let again = cell.restart().await.unwrap_err();
    assert_eq!(again.to_string(), ended.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_for_longer_than_the_grace_time_serves_once_others_know_of_it() {
    let mut cells = cluster(3).await;
    let client = cells[0].client();
    for n in 0..20 {
        client.put(&format!("key-{n}"), "v", b"").await.unwrap();
    }
    for cell in &mut cells {
        cell.kill().await;
        cell.ahead = 11 * DAY;
    }
    // Another start makes the absence no shorter.
    for _ in 0..2 {
        cells[2].restart().await.unwrap();
        let alone = cells[2].client();
        let refused = alone.put("key-0", "w", b"").await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(refused.message().contains("member"), "{refused}");
        let refused = alone.get("key-0").await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        cells[2].kill().await;
    }
    cells[2].restart().await.unwrap();

    // All of them were away: the two that meet are more than half.
    cells[1].restart().await.unwrap();
    for cell in &cells[1..] {
        eventually("it serves", async || {
            cell.client().get("key-0").await.is_ok()
        })
        .await;
    }
    cells[0].restart().await.unwrap();
    settle(&cells, 3).await;
    eventually("all serve", async || {
        cells[0].client().get("key-0").await.is_ok()
    })
    .await;
    on_all_replicas(&cells[0].client(), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_alone_in_its_cluster_has_nobody_to_wait_for() {
    let mut founder = config("n1");
    founder.bootstrap = true;
    (founder.replicas, founder.read_quorum, founder.write_quorum) = (1, 1, 1);
    let mut cell = Cell::start(founder).await;
    cell.client().put("key", "v", b"").await.unwrap();
    cell.kill().await;
    cell.ahead = 11 * DAY;
    cell.restart().await.unwrap();
    eventually("it serves", async || cell.client().get("key").await.is_ok()).await;
    assert_eq!(cell.client().values("key").await, ["v"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_aside_waits_for_nobody_that_is_removed() {
    let mut cells = cluster(3).await;
    cells[0].client().put("key", "v", b"").await.unwrap();
    let gone = [cells[0].id(), cells[1].id()];
    for cell in &mut cells {
        cell.kill().await;
    }
    cells[2].ahead = 11 * DAY;
    cells[2].restart().await.unwrap();
    let client = cells[2].client();
    assert!(client.get("key").await.is_err());
    for node in gone {
        client.admin().remove(RemoveRequest { node }).await.unwrap();
    }
    settle(&cells[2..], 1).await;
    let request = GetRequest {
        key: "key".into(),
        r: Some(1),
        ..GetRequest::default()
    };
    let found = client.get_request(request).await.unwrap();
    assert_eq!(support::bodies(&found.values), ["v"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_live_node_does_not_take_for_too_long_goes_to_the_other_owners() {
    let disk = FaultEngine::new(Family::CLUSTER);
    let old = |name: &str| {
        let mut config = config(name);
        config.hint_age_max_s = 1;
        config
    };
    let mut founder = old("n1");
    founder.bootstrap = true;
    let mut cells = vec![Cell::start(founder).await];
    for name in ["n2", "n3", "n4"] {
        let mut config = old(name);
        config.seeds = vec![cells[0].address().to_owned()];
        let disk: Arc<dyn Engine> = match name {
            "n4" => Arc::new(disk.clone()),
            _ => support::memory(),
        };
        cells.push(Cell::try_start(config, disk).await.unwrap());
    }
    settle(&cells, 4).await;
    disk.set_full(true);
    let client = cells[0].client();
    for n in 0..40 {
        // Refused where the full one is to coordinate.
        let _ = client.put(&format!("key-{n}"), "v", b"").await;
    }
    let hints = async |cell: &Cell| {
        let hints = cell.client().admin().hints(HintsRequest {}).await;
        hints.unwrap().into_inner().targets
    };
    eventually("the others have it", async || {
        let (mut held, mut delivered) = (0, 0);
        for cell in &cells[..3] {
            for target in hints(cell).await {
                held += target.count;
                delivered += target.delivered;
            }
        }
        held == 0 && delivered > 0
    })
    .await;
    let full = cells[0].client().admin().members(MembersRequest {}).await;
    let members = full.unwrap().into_inner().members;
    assert!(members.iter().all(|member| member.live), "{members:?}");
}
