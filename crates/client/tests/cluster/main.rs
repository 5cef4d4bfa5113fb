//! The client before real nodes, over loopback.
#![allow(clippy::unwrap_used)]

mod nodes;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use dynamokv::Node;
use dynamokv_client::{
    Client, ClientConfig, Context, Error, LastWriter, NewValue, Operation, Options, Outcome,
    QuorumMode, Value,
};
use dynamokv_rpc::pb::ListKeysRequest;
use dynamokv_rpc::pb::kv_client::KvClient;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, TryStreamExt};
use nodes::{PATIENCE, cluster, eventually, settle, start};

fn lines(values: &[Value]) -> BTreeSet<String> {
    let text = |value: &Value| String::from_utf8(value.bytes.to_vec()).unwrap();
    let texts: Vec<String> = values.iter().map(text).collect();
    let lines = texts.iter().flat_map(|text| text.lines());
    lines.map(str::to_owned).collect()
}

fn with_line(values: &[Value], line: &str) -> Option<NewValue> {
    let mut lines = lines(values);
    lines.insert(line.to_owned());
    Some(Vec::from_iter(lines).join("\n").into())
}

async fn next_millisecond() {
    let now = || UNIX_EPOCH.elapsed().unwrap().as_millis();
    let then = now();
    while now() == then {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_written_read_merged_and_deleted() {
    let nodes = cluster(5).await;
    let client = Client::connect([nodes[3].address()]).await.unwrap();
    let carts = client.in_keyspace("carts");
    assert!(carts.get("ann").await.unwrap().is_empty());
    assert_eq!(carts.delete("ann").await.unwrap(), None);

    // Plain use has plain results, through whatever node.
    for value in ["one", "two", "three"] {
        let written = carts.put("ann", value).await.unwrap();
        assert!(carts.owners(b"ann").contains(&written.coordinator));
        assert_eq!(carts.get("ann").await.unwrap().one().unwrap().bytes, value);
    }
    assert!(
        client.get("ann").await.unwrap().is_empty(),
        "another keyspace"
    );

    // Two that did not know of each other are both kept.
    let seen = carts.get("ann").await.unwrap().context;
    for value in ["milk", "bread"] {
        let value = NewValue::new(value).with_content_type("text/plain");
        carts.put_with("ann", value, &seen).await.unwrap();
        // Nodes know who was last to a millisecond only, where neither heard of the other's write.
        next_millisecond().await;
    }
    let both = carts.get("ann").await.unwrap();
    assert_eq!((both.values.len(), both.siblings), (2, 2));
    assert_eq!(both.values[0].content_type.as_deref(), Some("text/plain"));
    let last = carts.resolving(LastWriter).get("ann").await.unwrap();
    assert_eq!(last.one().unwrap().bytes, "bread");
    let updated = carts.update("ann", |siblings| with_line(siblings, "eggs"));
    assert_eq!(updated.await.unwrap().rounds, 1);
    let merged = carts.get("ann").await.unwrap();
    assert_eq!(merged.one().unwrap().bytes, "bread\neggs\nmilk");

    let strict = carts.with(Options {
        r: Some(3),
        w: Some(3),
        mode: QuorumMode::Strict,
        ..Options::default()
    });
    strict.delete_with("ann", &merged.context).await.unwrap();
    let gone = strict.get("ann").await.unwrap();
    assert!(gone.is_empty() && !gone.context.is_empty());
    assert_eq!(gone.answers.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_said_and_not_repeated() {
    let nodes = cluster(3).await;
    let client = Client::connect([nodes[0].address()]).await.unwrap();
    let error = client.get("").await.unwrap_err();
    assert!(
        matches!(&error, Error::Invalid(details) if details.attempts == 1),
        "{error}"
    );
    assert!(error.to_string().contains("key of 0 bytes"), "{error}");
    let nothing = Context::new();
    let error = client.delete_with("k", &nothing).await.unwrap_err();
    assert!(error.to_string().contains("context"), "{error}");
    let seen = client.put("k", "v").await.unwrap().context;
    let error = client.put_with("other", "v", &seen).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(error.to_string().contains("another key"), "{error}");
    let error = client.in_keyspace("No Such").get("k").await.unwrap_err();
    assert!(error.to_string().contains("keyspace"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_updates_lose_nothing() {
    let nodes = cluster(3).await;
    let writers = (0..6).map(|writer| {
        let seed = nodes[writer % 3].address().to_owned();
        tokio::spawn(async move {
            let client = Client::connect([seed]).await.unwrap();
            for number in 0..5 {
                let line = format!("{writer}.{number}");
                let updated = client.update("all", |siblings| with_line(siblings, &line));
                match updated.await {
                    // It is there all the same.
                    Ok(_) | Err(Error::Contended { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        })
    });
    for writer in Vec::from_iter(writers) {
        writer.await.unwrap();
    }
    let client = Client::connect([nodes[0].address()]).await.unwrap();
    let all = client.get("all").await.unwrap();
    assert_eq!(lines(&all.values).len(), 30, "{:?}", lines(&all.values));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_under_load_is_not_noticed_beyond_one_retry() {
    let mut nodes = cluster(5).await;
    let client = Client::connect([nodes[0].address(), nodes[1].address()])
        .await
        .unwrap();
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU32::new(0)),
    );
    let tasks = (0..4).map(|task| {
        let (client, stop, done) = (client.clone(), Arc::clone(&stop), Arc::clone(&done));
        tokio::spawn(async move {
            let (mut number, mut most) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                let (key, value) = (format!("{task}.{}", number % 50), number.to_string());
                let seen = client.get(key.clone()).await.unwrap();
                let written = client.put_with(key.clone(), value.clone(), &seen.context);
                let written = written.await.unwrap();
                let read = client.get(key).await.unwrap();
                let stands = read.values.iter().any(|found| found.bytes == value);
                assert!(
                    stands,
                    "an acknowledged write is there: {value} in {read:?}"
                );
                // A hedge is no retry.
                most = most.max(written.attempts);
                number += 1;
                done.fetch_add(1, Ordering::Relaxed);
            }
            most
        })
    });
    let tasks = Vec::from_iter(tasks);
    let so_far = || done.load(Ordering::Relaxed);
    eventually("there is traffic", || so_far() > 100).await;
    drop(nodes.remove(2));
    let then = so_far();
    eventually("there is traffic without it", || so_far() > then + 500).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        let most = task.await.unwrap();
        assert!(most <= 2, "{most} attempts");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ring_is_followed_when_nodes_come_and_the_seed_goes() {
    let mut nodes = cluster(3).await;
    let client = Client::connect([nodes[0].address()]).await.unwrap();
    let newcomer = start("n4", Some(nodes[1].address())).await;
    let id = newcomer.id();
    nodes.push(newcomer);
    settle(&nodes).await;
    client.put("k", "v").await.unwrap();
    eventually("the client knows the newcomer", || {
        client.topology().node(id).is_some()
    })
    .await;
    assert_eq!(
        client.topology().version(),
        Client::connect([nodes[3].address()])
            .await
            .unwrap()
            .topology()
            .version()
    );
    drop(nodes.remove(0));
    for number in 0..30 {
        client.put(format!("key {number}"), "v").await.unwrap();
    }
    let mut through = BTreeSet::new();
    for number in 0..30 {
        let key = format!("key {number}");
        through.insert(client.get(key).await.unwrap().coordinator);
    }
    assert!(through.contains(&id));
}

/// A client for tests that are not about time: a busy machine is no failure.
async fn patient<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Client {
    let config = ClientConfig {
        timeout: PATIENCE,
        attempt_timeout: PATIENCE / 4,
        ..ClientConfig::default()
    };
    let seeds = nodes.into_iter().map(Node::address);
    Client::connect_with(config, seeds).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_keys_are_listed_once_whoever_is_asked_and_deleted_ones_are_not() {
    let nodes = cluster(5).await;
    let client = patient([&nodes[0]]).await;
    let names: BTreeSet<String> = (0..300).map(|number| format!("key {number:03}")).collect();
    let put = |name: &String| Operation::put(name.clone(), "v", Context::new());
    for done in client.batch(names.iter().map(put)).await {
        done.unwrap();
    }
    client
        .in_keyspace("other")
        .put("elsewhere", "v")
        .await
        .unwrap();
    client.put("gone", "v").await.unwrap();
    client.delete("gone").await.unwrap();
    for node in &nodes {
        let mut kv = KvClient::connect(format!("http://{}", node.address()))
            .await
            .unwrap();
        let mut pages = kv
            .list_keys(ListKeysRequest::default())
            .await
            .unwrap()
            .into_inner();
        let mut keys = Vec::new();
        while let Some(page) = pages.message().await.unwrap() {
            keys.extend(page.keys);
        }
        let found: BTreeSet<String> = keys.iter().map(text).collect();
        assert_eq!((found.len(), keys.len()), (300, 300));
        assert_eq!(found, names);
    }
    let listed: Vec<Bytes> = client.keys().try_collect().await.unwrap();
    assert_eq!(listed.len(), 300);
    // In small pages too, each behind the last.
    let (mut cursor, mut paged) = (None, Vec::new());
    loop {
        let page = client.keys_page(cursor.as_ref(), 7).await.unwrap();
        assert!(page.keys.len() <= 7);
        paged.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(paged, listed);
    let some = client.keys_with_prefix("key 01");
    let some: BTreeSet<Bytes> = some.try_collect().await.unwrap();
    let wanted = names.iter().filter(|name| name.starts_with("key 01"));
    assert_eq!(some, wanted.cloned().map(Bytes::from).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_while_a_node_is_down() {
    let mut nodes = cluster(4).await;
    let client = patient(&nodes).await;
    for number in 0..50 {
        client.put(format!("before {number}"), "v").await.unwrap();
    }
    drop(nodes.remove(1));
    for number in 0..50 {
        client.put(format!("after {number}"), "v").await.unwrap();
        client.delete(format!("before {number}")).await.unwrap();
    }
    let listed: Vec<Bytes> = client.keys().try_collect().await.unwrap();
    let found: BTreeSet<String> = listed.iter().map(text).collect();
    let after: BTreeSet<String> = (0..50).map(|number| format!("after {number}")).collect();
    assert_eq!(found, after);
}

fn text(key: &Bytes) -> String {
    String::from_utf8(key.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_survives_a_node_that_dies() {
    let mut nodes = cluster(4).await;
    let client = patient(&nodes).await;
    let pipeline = client.pipeline(64);
    let mut results = FuturesUnordered::new();
    for number in 0..600 {
        if number == 300 {
            drop(nodes.remove(2));
        }
        let put = Operation::put(format!("key {number}"), number.to_string(), Context::new());
        results.push(tokio::spawn(pipeline.submit(put).await));
    }
    while let Some(result) = results.next().await {
        result.unwrap().unwrap();
    }
    for number in 0..600 {
        let read = client.get(format!("key {number}")).await.unwrap();
        assert_eq!(read.one().unwrap().bytes, number.to_string());
    }
}
