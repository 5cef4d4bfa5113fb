//! Real processes on loopback, with data directories, signals and `kill -9`.
#![cfg(feature = "rocksdb")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dynamokv::rpc::pb::raw_kv_client::RawKvClient;
use dynamokv::rpc::pb::{RawDeleteRequest, RawGetRequest, RawPutRequest, RawScanRequest};
use support::process::{Process, refusal, three};
use support::{Client, bodies, eventually};
use tonic::Code;
use tonic::transport::Channel;

/// Writes until told to stop; gives the keys that were acknowledged.
async fn write(client: Client, name: &'static str, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("{name}-{n}");
        if client.put(&key, &key, b"").await.is_ok() {
            acknowledged.push(key);
        } else {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_writes_a_node_has_every_acknowledged_one_on_its_own_disk_within_ten_seconds()
{
    let folder = tempfile::tempdir().unwrap();
    let mut nodes = three(folder.path(), &[]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = ["a", "b", "c", "d", "e", "f"]
        .into_iter()
        .enumerate()
        .map(|(n, name)| tokio::spawn(write(nodes[n % 3].client(), name, Arc::clone(&stop))))
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    nodes[1].kill().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    nodes[1].restart().await;
    let back = Instant::now();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    assert!(
        acknowledged.len() > 500,
        "only {} writes were acknowledged",
        acknowledged.len()
    );
    // The killed node's own copies: nothing has read the keys.
    let own = nodes[1].client();
    for key in &acknowledged {
        eventually(key, async || {
            bodies(&own.own(key).await.values) == [key.clone()]
        })
        .await;
    }
    let took = back.elapsed();
    assert!(
        took < Duration::from_secs(11),
        "{} keys took {took:?} after the restart",
        acknowledged.len()
    );
    for key in acknowledged.iter().step_by(37) {
        assert_eq!(nodes[2].client().values(key).await, [key.as_str()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_three_killed_at_once_come_back_with_every_acknowledged_write_and_without_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes = three(folder.path(), &[]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .enumerate()
        .map(|(n, name)| tokio::spawn(write(nodes[n].client(), name, Arc::clone(&stop))))
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for node in &mut nodes {
        node.child.start_kill().unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    assert!(
        acknowledged.len() > 100,
        "only {} writes were acknowledged",
        acknowledged.len()
    );
    for node in &mut nodes {
        node.child.wait().await.unwrap();
        node.restart().await;
    }
    let client = nodes[2].client();
    for key in &acknowledged {
        eventually(key, async || {
            client
                .get(key)
                .await
                .is_ok_and(|reply| bodies(&reply.values) == [key.clone()])
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_signal_stops_a_node_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes = three(folder.path(), &[]).await;
    nodes[0].client().put("k", "v", b"").await.unwrap();
    for node in &mut nodes {
        assert!(node.terminate().await.success());
    }
    nodes[0].restart().await;
    nodes[1].restart().await;
    let client = nodes[0].client();
    let status = client
        .admin()
        .status(dynamokv::rpc::pb::StatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(status.opened_clean, "the stop was marked as clean");
    assert_eq!(status.generation, 2);
    eventually("two of three serve reads", async || {
        client
            .get("k")
            .await
            .is_ok_and(|reply| bodies(&reply.values) == ["v"])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_options_files_and_folders_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:0\"\nreplicaz = 3\n").unwrap();
    let said = refusal(&["--config", file.to_str().unwrap()]).await;
    assert!(
        said.contains("replicaz") && said.contains("node.toml"),
        "{said}"
    );
    let said = refusal(&["--config", "nowhere.toml"]).await;
    assert!(said.contains("nowhere.toml"), "{said}");
    let said = refusal(&["--replicas", "40"]).await;
    assert!(
        said.contains("replicas") && said.contains("1..=16"),
        "{said}"
    );
    let said = refusal(&["--no-such-option"]).await;
    assert!(said.contains("--no-such-option"), "{said}");

    let used = folder.path().join("used");
    let node = Process::start(&used, "127.0.0.1:0", &["--bootstrap"]).await;
    let said = refusal(&[
        "--data-dir",
        used.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
    ])
    .await;
    assert!(said.contains("in use"), "{said}");
    let other = folder.path().join("other");
    let said = refusal(&[
        "--data-dir",
        other.to_str().unwrap(),
        "--listen",
        &node.address,
    ])
    .await;
    assert!(said.contains("cannot listen"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standalone_raw_service_keeps_families_apart_and_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--standalone", "--families", "users,orders"];
    let mut node = Process::start(folder.path(), "127.0.0.1:0", &options).await;
    let connect = |address: &str| {
        RawKvClient::new(
            Channel::from_shared(format!("http://{address}"))
                .unwrap()
                .connect_lazy(),
        )
    };
    let mut raw = connect(&node.address);
    for n in 0..10 {
        let put = RawPutRequest {
            family: "users".into(),
            key: format!("u{n}").into(),
            value: format!("name {n}").into(),
        };
        raw.raw_put(put).await.unwrap();
    }
    let get = |family: &str, key: &str| RawGetRequest {
        family: family.into(),
        key: key.to_owned().into(),
    };
    assert!(
        !raw.raw_get(get("orders", "u1"))
            .await
            .unwrap()
            .into_inner()
            .found
    );
    raw.raw_delete(RawDeleteRequest {
        family: "users".into(),
        key: "u5".into(),
    })
    .await
    .unwrap();

    node.kill().await;
    let node = Process::start(folder.path(), &node.address, &options).await;
    let mut raw = connect(&node.address);
    let scan = RawScanRequest {
        family: "users".into(),
        start: "u3".into(),
        end: "u8".into(),
        ..RawScanRequest::default()
    };
    let mut pages = None;
    eventually("the node is back", async || {
        pages = raw.raw_scan(scan.clone()).await.ok();
        pages.is_some()
    })
    .await;
    let page = pages
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    let keys: Vec<String> = page
        .pairs
        .iter()
        .map(|pair| String::from_utf8_lossy(&pair.key).into_owned())
        .collect();
    assert_eq!(keys, ["u3", "u4", "u6", "u7"]);
    let error = raw.raw_get(get("nothing", "k")).await.unwrap_err();
    assert!(
        matches!(error.code(), Code::InvalidArgument | Code::NotFound),
        "{error}"
    );
    assert!(error.message().contains("nothing"), "{error}");
}
