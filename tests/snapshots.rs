//! Snapshots of running nodes, and what is restored from them.
#![cfg(feature = "rocksdb")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dynamokv::rpc::pb::{
    GetRequest, MembersRequest, PutRequest, QuorumMode, SnapshotRequest, StatusRequest,
    StatusResponse,
};
use dynamokv::storage::{Engine, Family, RocksEngine, RocksOptions};
use dynamokv::vclock::Dot;
use support::process::{Process, are_members, command, refusal, three};
use support::{Cell, Client, bodies, cluster, config, eventually};
use tonic::{Code, Status};

async fn snapshot(client: &Client, name: &str) -> Result<PathBuf, Status> {
    let name = name.to_owned();
    let made = client.admin().snapshot(SnapshotRequest { name }).await?;
    Ok(made.into_inner().path.into())
}

async fn status(client: &Client) -> StatusResponse {
    let status = client.admin().status(StatusRequest {}).await;
    status.unwrap().into_inner()
}

async fn restore(from: &Path, to: &Path, more: &[&str]) {
    let folders = [
        "restore",
        "--from",
        from.to_str().unwrap(),
        "--to",
        to.to_str().unwrap(),
    ];
    let mut restore = command(&[&folders, more].concat());
    assert!(restore.status().await.unwrap().success());
}

async fn refuses_to_restore(from: &Path, to: &Path, more: &[&str]) -> String {
    let folders = [
        "restore",
        "--from",
        from.to_str().unwrap(),
        "--to",
        to.to_str().unwrap(),
    ];
    refusal(&[&folders, more].concat()).await
}

/// Replaces what the key holds; gives the dot of the write.
async fn put(client: &Client, key: &str, value: &str) -> Dot {
    let context = client.get(key).await.unwrap().context;
    let request = PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        context,
        ..PutRequest::default()
    };
    client.put_request(request).await.unwrap();
    client.own(key).await.values[0].clock.parse().unwrap()
}

/// A read that all three replicas must answer themselves.
async fn read_of_all(client: &Client, key: &str) -> Result<Vec<String>, Status> {
    let request = GetRequest {
        key: key.to_owned().into(),
        r: Some(3),
        mode: QuorumMode::Strict.into(),
        timeout_ms: Some(2_000),
        ..GetRequest::default()
    };
    Ok(bodies(&client.get_request(request).await?.values))
}

fn keys() -> impl Iterator<Item = String> {
    (0..100).map(|n| format!("key-{n}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_node_takes_new_epochs_and_counts_in_no_read_before_it_is_refilled() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = folder.path().join("snapshots");
    let options = [
        "--snapshot-dir",
        snapshots.to_str().unwrap(),
        "--partitions",
        "16",
    ];
    let mut nodes = three(folder.path(), &options).await;
    let mut epochs = BTreeSet::new();
    for key in keys() {
        epochs.insert(put(&nodes[1].client(), &key, "old").await.actor.epoch);
    }
    let made = snapshot(&nodes[1].client(), "n2").await.unwrap();
    // The snapshot knows nothing of these.
    for key in keys() {
        epochs.insert(put(&nodes[1].client(), &key, "new").await.actor.epoch);
    }
    put(&nodes[0].client(), "later", "new").await;
    let before = status(&nodes[1].client()).await.generation;

    let (data, address) = (folder.path().join("n2"), nodes[1].address.clone());
    nodes[1].kill().await;
    std::fs::remove_dir_all(&data).unwrap();
    restore(&made, &data, &[]).await;
    // It compares nothing for a minute, so the state of right after the restore can be looked at.
    let idle = [&options[..], &["--exchange-interval-ms", "60000"]].concat();
    nodes[1] = Process::start(&data, &address, &idle).await;
    let restored = nodes[1].client();
    let now = status(&restored).await;
    assert!(now.generation > before, "the others must listen to it");
    assert!(
        now.warnings
            .iter()
            .any(|text| text.contains("16 partitions are not refilled")),
        "{:?}",
        now.warnings
    );
    eventually("the others count it as live", async || {
        status(&nodes[0].client()).await.nodes_live == 3
    })
    .await;
    assert_eq!(
        bodies(&restored.own("key-1").await.values),
        ["old"],
        "it has forgotten"
    );
    for client in [&restored, &nodes[0].client()] {
        let refused = read_of_all(client, "key-1").await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        assert!(refused.message().contains("was restored"), "{refused}");
        assert_eq!(
            client.values("key-1").await,
            ["new"],
            "two others are enough"
        );
        assert_eq!(client.values("later").await, ["new"]);
    }
    // It takes writes, and numbers them as nobody before.
    let dot = put(&restored, "key-1", "newest").await;
    assert!(!epochs.contains(&dot.actor.epoch), "{dot}");

    // A stop changes nothing about it.
    nodes[1].kill().await;
    let eager = [&options[..], &["--exchange-interval-ms", "100"]].concat();
    nodes[1] = Process::start(&data, &address, &eager).await;
    let restored = nodes[1].client();
    for key in keys().chain(["later".to_owned()]) {
        let expected = if key == "key-1" { "newest" } else { "new" };
        eventually("it is refilled without being read", async || {
            bodies(&restored.own(&key).await.values) == [expected]
        })
        .await;
    }
    eventually("it counts again", async || {
        read_of_all(&nodes[0].client(), "key-2")
            .await
            .is_ok_and(|values| values == ["new"])
    })
    .await;
    eventually("for all partitions", async || {
        let warnings = status(&restored).await.warnings;
        !warnings.iter().any(|text| text.contains("not refilled"))
    })
    .await;
    // What was refilled stays so.
    eventually("that is noted", async || {
        nodes[1].terminate().await;
        nodes[1] = Process::start(&data, &address, &idle).await;
        let warnings = status(&nodes[1].client()).await.warnings;
        !warnings.iter().any(|text| text.contains("not refilled"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_node_is_let_in_unless_its_snapshot_has_grown_too_old_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let open = |name: &str| -> Arc<dyn Engine> {
        let options = RocksOptions::default();
        Arc::new(RocksEngine::open(path(name), Family::CLUSTER, &options).unwrap())
    };
    let cells = cluster(3).await;
    let mut fourth = config("n4");
    fourth.seeds = vec![cells[0].address().to_owned()];
    let disk = open("n4");
    let mut cell = Cell::try_start(fourth, Arc::clone(&disk)).await.unwrap();
    let id = cell.id();
    eventually("it is a member", async || {
        cells[0].client().ring(None).await.shares.len() == 4
    })
    .await;
    disk.checkpoint(&path("snapshot")).unwrap();
    cell.kill().await;

    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_ms = u64::try_from(since.as_millis()).unwrap();
    for name in ["late", "soon"] {
        let order = dynamokv::Restore::new(path("snapshot"), path(name), now_ms);
        dynamokv::restore(&order).unwrap();
    }
    cell.replace_disk(open("late"));
    cell.ahead = Duration::from_secs(11 * 24 * 60 * 60);
    let refused = cell.restart().await.unwrap_err();
    assert!(refused.to_string().contains("it was restored"), "{refused}");

    cell.replace_disk(open("soon"));
    cell.ahead = Duration::ZERO;
    cell.restart().await.unwrap();
    eventually("it counts on from beyond what was heard", async || {
        let members = cells[0].client().admin().members(MembersRequest {}).await;
        let members = members.unwrap().into_inner().members;
        let found = members.iter().find(|member| member.node == id);
        found.is_some_and(|member| member.live && member.heartbeat > now_ms)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_restored_whole_is_another_one_with_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = folder.path().join("snapshots");
    let options = [
        "--snapshot-dir",
        snapshots.to_str().unwrap(),
        "--partitions",
        "16",
    ];
    let mut nodes = three(folder.path(), &options).await;
    let mut made = Vec::new();
    for key in keys() {
        put(&nodes[0].client(), &key, "kept").await;
    }
    let old_id = status(&nodes[0].client()).await.cluster_id;
    for (n, node) in nodes.iter().enumerate() {
        made.push(
            snapshot(&node.client(), &format!("n{}", n + 1))
                .await
                .unwrap(),
        );
    }
    put(&nodes[0].client(), "key-0", "after the snapshots").await;
    for node in &mut nodes[1..] {
        node.kill().await;
    }
    // The first of the old cluster goes on and must not mix with the new one.
    let mut restored: Vec<Process> = Vec::new();
    for (n, from) in made.iter().enumerate() {
        let to = folder.path().join(format!("restored-{n}"));
        restore(from, &to, &["--new-cluster-id", "c0ffee"]).await;
        let seed = restored
            .first()
            .map_or(String::new(), |first| first.address.clone());
        let join: &[&str] = if n == 0 { &[] } else { &["--seed", &seed] };
        restored.push(Process::start(&to, "127.0.0.1:0", join).await);
    }
    are_members(&restored).await;
    for node in &restored {
        assert_eq!(status(&node.client()).await.cluster_id, "0000000000c0ffee");
    }
    for key in keys() {
        eventually("all three have it", async || {
            read_of_all(&restored[2].client(), &key)
                .await
                .is_ok_and(|values| values == ["kept"])
        })
        .await;
    }
    put(&restored[1].client(), "key-0", "of the new cluster").await;
    let first = nodes[0].client();
    assert_eq!(status(&first).await.cluster_id, old_id);
    assert_eq!(
        bodies(&first.own("key-0").await.values),
        ["after the snapshots"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_of_a_snapshot_or_a_restore_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (data, snapshots) = (folder.path().join("n1"), folder.path().join("snapshots"));
    let mut node = Process::start(&data, "127.0.0.1:0", &["--bootstrap"]).await;
    let refused = snapshot(&node.client(), "a").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("snapshot-dir"), "{refused}");
    node.kill().await;
    let options = ["--snapshot-dir", snapshots.to_str().unwrap()];
    let node = Process::start(&data, "127.0.0.1:0", &options).await;
    let client = node.client();
    for name in ["", "..", "a/b", "/etc", "Upper", &"x".repeat(65)] {
        let refused = snapshot(&client, name).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name:?}");
        assert!(refused.message().contains("1..=64 of a-z"), "{refused}");
    }
    let made = snapshot(&client, "monday").await.unwrap();
    assert_eq!(made, snapshots.join("monday"));
    let refused = snapshot(&client, "monday").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("exists already"), "{refused}");

    let to = folder.path().join("to");
    let said = refuses_to_restore(&snapshots, &to, &[]).await;
    assert!(
        said.contains("no file CURRENT") && said.contains("snapshots"),
        "{said}"
    );
    let said = refuses_to_restore(&made, &data, &[]).await;
    assert!(said.contains("not empty") && said.contains("n1"), "{said}");
    let said = refuses_to_restore(&made, &to, &["--new-cluster-id", "0"]).await;
    assert!(said.contains("not zero"), "{said}");
    let own = status(&client).await.cluster_id;
    let said = refuses_to_restore(&made, &to, &["--new-cluster-id", &own]).await;
    assert!(said.contains("give a new one"), "{said}");
    assert!(!to.exists() && !to.with_file_name("to.restoring").exists());
    restore(&made, &to, &[]).await;
    let again = Process::start(&to, "127.0.0.1:0", &[]).await;
    eventually("there is nobody to be refilled from", async || {
        let warnings = status(&again.client()).await.warnings;
        !warnings.iter().any(|text| text.contains("not refilled"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_counts_what_a_snapshot_holds_and_names_what_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = folder.path().join("snapshots");
    let data = folder.path().join("data");
    let options = [
        "--bootstrap",
        "--replicas",
        "1",
        "--read-quorum",
        "1",
        "--write-quorum",
        "1",
        "--snapshot-dir",
        snapshots.to_str().unwrap(),
    ];
    let node = Process::start(&data, "127.0.0.1:0", &options).await;
    for key in keys() {
        put(&node.client(), &key, "kept").await;
    }
    let made = snapshot(&node.client(), "whole").await.unwrap();
    let verify = ["verify", made.to_str().unwrap()];
    let report = command(&verify).output().await.unwrap();
    let said = String::from_utf8(report.stdout).unwrap();
    assert!(report.status.success(), "{said}");
    assert!(
        said.contains("100 records") && said.contains("nothing damaged"),
        "{said}"
    );

    // The greatest table is that of the records.
    let files = std::fs::read_dir(&made)
        .unwrap()
        .map(|file| file.unwrap().path());
    let tables = files.filter(|file| file.extension().is_some_and(|end| end == "sst"));
    let table = tables
        .max_by_key(|table| table.metadata().unwrap().len())
        .unwrap();
    let mut bytes = std::fs::read(&table).unwrap();
    bytes[100] ^= 1;
    // Not in place: the running node has the same file.
    std::fs::remove_file(&table).unwrap();
    std::fs::write(&table, bytes).unwrap();
    let said = refusal(&verify).await;
    assert!(
        said.contains("is damaged") && said.contains("objects"),
        "{said}"
    );
}
