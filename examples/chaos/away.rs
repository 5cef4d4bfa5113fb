//! A node is away while many keys are written, and comes back: when do its hints begin to come, and when has it all?

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dynamokv::rpc::pb::{HintsRequest, PutRequest};
use futures_util::stream::{self, StreamExt};

use crate::harness::cluster::{Cluster, Setting};
use crate::harness::history::body;
use crate::harness::rest::rest;
use crate::plot::{Mark, plot};
use crate::support::{Client, eventually};

const NODES: usize = 5;
const WRITES_AT_ONCE: usize = 32;
const SAMPLE_EVERY: Duration = Duration::from_millis(40);
const VERIFIED_WITHIN: Duration = Duration::from_secs(120);

/// What is held for the node that is away, over time.
type Samples = Vec<(Duration, u64)>;

/// Makes about so many hints, lets the node come back, and prints how long it took; draws it too if told where to.
pub async fn measure(hints: usize, svg: Option<&Path>) {
    let setting = Setting::default();
    let mut cluster = Cluster::start(NODES, setting).await;
    let away = NODES - 1;
    let others: Vec<Client> = (0..away).map(|node| cluster.client(node)).collect();
    let began = Instant::now();
    cluster.kill(away).await;
    for node in 0..away {
        eventually("the others count it as down", async || {
            cluster.status(node).await.nodes_live as usize == NODES - 1
        })
        .await;
    }
    let over = Arc::new(AtomicBool::new(false));
    let target = cluster.id(away).to_owned();
    let sampler = tokio::spawn(sample(others.clone(), target, began, Arc::clone(&over)));

    // Each key has three owners of five.
    let keys: Vec<String> = (0..hints * NODES / 3).map(|n| format!("key-{n}")).collect();
    write(&others, &keys).await;
    let written = began.elapsed();
    let asked = began.elapsed();
    cluster.restart(away).await;
    let back = began.elapsed();
    eventually("everything is delivered", async || {
        let mut held = 0;
        for client in &others {
            held += client.hints().await;
        }
        held == 0
    })
    .await;
    over.store(true, Ordering::Relaxed);
    let samples = sampler.await.unwrap();
    let keys: BTreeSet<String> = keys.into_iter().collect();
    rest(&cluster, &keys, Instant::now() + VERIFIED_WITHIN).await;

    let most = samples.iter().map(|(_, held)| *held).max().unwrap_or(0);
    let after = samples.iter().filter(|(at, _)| *at >= back);
    let first = after.clone().find(|(_, held)| *held < most);
    let last = after.clone().find(|(_, held)| *held == 0);
    let since = |found: Option<&(Duration, u64)>| {
        found.map_or(f64::NAN, |(at, _)| (*at - back).as_secs_f64())
    };
    println!(
        "{} keys written in {:.1} s while one of {NODES} nodes was away: {most} hints",
        keys.len(),
        written.as_secs_f64()
    );
    println!(
        "it listens {:.2} s after its start",
        (back - asked).as_secs_f64()
    );
    println!(
        "then: first hints gone after {:.2} s, last after {:.2} s (samples every {SAMPLE_EVERY:?})",
        since(first),
        since(last)
    );
    println!("every owner has every key, and nobody else has any");
    if let Some(path) = svg {
        let marks = [
            Mark {
                at: asked,
                says: "started",
            },
            Mark {
                at: back,
                says: "listens",
            },
        ];
        std::fs::write(
            path,
            plot(
                "hints held for a node that is away and comes back",
                &samples,
                &marks,
            ),
        )
        .unwrap();
    }
}

async fn write(clients: &[Client], keys: &[String]) {
    let put = async |(n, key): (usize, &String)| {
        eventually("the write is acknowledged", async || {
            let request = PutRequest {
                key: key.clone().into(),
                value: body(n as u64).into(),
                ..PutRequest::default()
            };
            clients[n % clients.len()]
                .put_request(request)
                .await
                .is_ok()
        })
        .await;
    };
    let writes = stream::iter(keys.iter().enumerate()).map(put);
    writes
        .buffer_unordered(WRITES_AT_ONCE)
        .collect::<()>()
        .await;
}

async fn sample(
    clients: Vec<Client>,
    target: String,
    began: Instant,
    over: Arc<AtomicBool>,
) -> Samples {
    let mut samples = Vec::new();
    loop {
        // One more once it is over.
        let is_last = over.load(Ordering::Relaxed);
        let mut held = 0;
        for client in &clients {
            let hints = client.admin().hints(HintsRequest {}).await.unwrap();
            let of = hints.into_inner().targets;
            held += of
                .iter()
                .filter(|of| of.target == target)
                .map(|of| of.count)
                .sum::<u64>();
        }
        samples.push((began.elapsed(), held));
        if is_last {
            return samples;
        }
        tokio::time::sleep(SAMPLE_EVERY).await;
    }
}
