//! Nodes as processes on a real file system that is full or read-only.

use std::process::Stdio;

use dynamokv::rpc::pb::raw_kv_client::RawKvClient;
use dynamokv::rpc::pb::{RawGetRequest, RawPutRequest, StatusRequest};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::process::{Process, refused};
use crate::support::{Client, eventually};
use crate::tmpfs::Tmpfs;

/// RocksDB takes up to 70 MiB for its log in advance, and 64 MiB are kept free: with the filler there is too little.
const SIZE: u32 = 192;
const FILLER: usize = 110;
const VALUE_BYTES: usize = 64 << 10;

const STANDALONE: &[&str] = &["--standalone"];
const MEMBER: &[&str] = &[
    "--bootstrap",
    "--replicas=1",
    "--read-quorum=1",
    "--write-quorum=1",
    "--partitions=16",
];

/// Writes and reads numbered values of one node.
#[derive(Clone)]
enum Store {
    Raw(RawKvClient<Channel>),
    Cluster(Client),
}

fn value(n: usize) -> Vec<u8> {
    let text = format!("value {n} ");
    text.bytes().cycle().take(VALUE_BYTES).collect()
}

impl Store {
    fn of(node: &Process, options: &[&str]) -> Self {
        if options == STANDALONE {
            let channel = Channel::from_shared(format!("http://{}", node.address)).unwrap();
            Self::Raw(RawKvClient::new(channel.connect_lazy()))
        } else {
            Self::Cluster(node.client())
        }
    }

    async fn put(&self, n: usize) -> Result<(), Status> {
        match self {
            Self::Raw(client) => {
                let put = RawPutRequest {
                    family: String::new(),
                    key: n.to_string().into(),
                    value: value(n).into(),
                };
                client.clone().raw_put(put).await.map(|_| ())
            }
            Self::Cluster(client) => {
                let value = String::from_utf8(value(n)).unwrap();
                client.put(&n.to_string(), &value, b"").await.map(|_| ())
            }
        }
    }

    async fn get(&self, n: usize) -> Vec<u8> {
        match self {
            Self::Raw(client) => {
                let get = RawGetRequest {
                    family: String::new(),
                    key: n.to_string().into(),
                };
                let found = client.clone().raw_get(get).await.unwrap();
                found.into_inner().value.to_vec()
            }
            Self::Cluster(client) => {
                let found = client.get(&n.to_string()).await.unwrap().values;
                found
                    .first()
                    .map(|value| value.value.to_vec())
                    .unwrap_or_default()
            }
        }
    }

    async fn holds(&self, numbers: &[usize]) {
        for n in numbers {
            assert!(self.get(*n).await == value(*n), "value {n}");
        }
    }
}

async fn start(disk: &Tmpfs, options: &[&str]) -> Process {
    let child = disk.node(options).stderr(Stdio::inherit()).spawn().unwrap();
    Process::await_address(child, disk.inside()).await
}

async fn fills_up_and_recovers(options: &'static [&'static str]) {
    let Some(disk) = Tmpfs::mount(SIZE).await else {
        return;
    };
    let mut node = start(&disk, options).await;
    let store = Store::of(&node, options);
    let (mut acknowledged, mut refusals) = (Vec::new(), Vec::new());
    // Several at a time: the syncs of some go on beside the refusals of others.
    for step in 0.. {
        let puts = (step * 8..step * 8 + 8).map(|n| {
            let store = store.clone();
            async move { (n, store.put(n).await) }
        });
        for (n, outcome) in futures_util::future::join_all(puts).await {
            match outcome {
                Ok(()) => acknowledged.push(n),
                Err(refusal) => refusals.push(refusal),
            }
        }
        match step {
            5 => disk.fill(FILLER),
            20 => break,
            _ => {}
        }
    }
    for refusal in &refusals {
        assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
    }
    let before = acknowledged.len();
    assert!((48..56).contains(&before), "{before}, {refusals:?}");
    for n in 2_000..2_010 {
        let refused = store.put(n).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        assert!(refused.message().contains("make room"), "{refused}");
    }
    store.holds(&acknowledged).await;
    if let Store::Cluster(client) = &store {
        let status = client.admin().status(StatusRequest {}).await.unwrap();
        let warnings = status.into_inner().warnings;
        assert!(
            warnings.iter().any(|text| text.contains("disk is full")),
            "{warnings:?}"
        );
    }

    disk.make_room();
    let mut n = 3_000;
    eventually("writes are taken again", async || {
        n += 1;
        store.put(n).await.is_ok()
    })
    .await;
    acknowledged.push(n);
    for n in 4_000..4_020 {
        store.put(n).await.unwrap();
        acknowledged.push(n);
    }
    store.holds(&acknowledged).await;
    node.kill().await;
    let node = start(&disk, options).await;
    Store::of(&node, options).holds(&acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_node_on_a_full_disk_serves_reads_and_recovers_when_there_is_room() {
    fills_up_and_recovers(STANDALONE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_on_a_full_disk_serves_reads_and_recovers_when_there_is_room() {
    fills_up_and_recovers(MEMBER).await;
}

/// Somebody else takes the last byte between two looks at the disk, so that RocksDB itself is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_somebody_else_fills_to_the_brim_is_recovered_from_as_well() {
    let Some(disk) = Tmpfs::mount(SIZE).await else {
        return;
    };
    let mut node = start(&disk, STANDALONE).await;
    let store = Store::of(&node, STANDALONE);
    store.put(0).await.unwrap();
    disk.fill_to_the_brim();
    // Small ones, which are looked at all together only.
    let Store::Raw(client) = &store else {
        unreachable!("it is standalone")
    };
    let mut acknowledged = Vec::new();
    let refusal = loop {
        let key = format!("small-{}", acknowledged.len());
        let put = RawPutRequest {
            key: key.clone().into(),
            value: key.clone().into(),
            ..RawPutRequest::default()
        };
        match client.clone().raw_put(put).await {
            Ok(_) => acknowledged.push(key),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
    store.holds(&[0]).await;
    disk.make_room();
    let mut n = 1;
    eventually("writes are taken again", async || {
        n += 1;
        store.put(n).await.is_ok()
    })
    .await;
    node.kill().await;
    let node = start(&disk, STANDALONE).await;
    let Store::Raw(client) = Store::of(&node, STANDALONE) else {
        unreachable!("it is standalone")
    };
    for key in acknowledged {
        let get = RawGetRequest {
            key: key.clone().into(),
            ..RawGetRequest::default()
        };
        let found = client.clone().raw_get(get).await.unwrap().into_inner();
        assert_eq!(found.value, key);
    }
    Store::of(&node, STANDALONE).holds(&[0, n]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_folder_is_named_with_what_to_check() {
    let Some(disk) = Tmpfs::mount(SIZE).await else {
        return;
    };
    let mut node = start(&disk, MEMBER).await;
    node.kill().await;
    disk.make_read_only().await;
    let said = refused(disk.node(MEMBER)).await;
    let path = disk.inside().display().to_string();
    assert!(
        said.contains(&path) && said.contains("check the path, its owner and its mount"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_does_not_start_on_a_full_disk_and_says_where() {
    let Some(disk) = Tmpfs::mount(8).await else {
        return;
    };
    disk.fill_to_the_brim();
    for options in [STANDALONE, MEMBER] {
        let said = refused(disk.node(options)).await;
        let path = disk.inside().display().to_string();
        assert!(said.contains(&path) && said.contains("room"), "{said}");
    }
}
