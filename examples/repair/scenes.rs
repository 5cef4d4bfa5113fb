//! The measurements.

use std::time::{Duration, Instant};

use crate::Fallible;
use crate::cluster::{Cluster, wait_for};
use crate::load::{self, Load};

/// How many of the differing keys were not mended yet, at each look after the nodes had met.
pub(crate) struct Course {
    pub(crate) differing: u64,
    pub(crate) looks: Vec<(Duration, u64)>,
}

/// Traffic where nothing differs: with exchanges less without.
pub(crate) async fn idle(cluster: &mut Cluster, seconds: u64) -> Fallible<()> {
    let with = quiet_traffic(cluster, seconds).await?;
    cluster
        .restart(|config| config.exchange_interval_ms = 60_000)
        .await?;
    let without = quiet_traffic(cluster, seconds).await?;
    cluster
        .restart(|config| config.exchange_interval_ms = 1_000)
        .await?;
    println!("| idle, all traffic of a node | {with:.0} B/s |");
    println!("| idle, exchanges alone | {:.0} B/s |", with - without);
    Ok(())
}

/// Bytes a second and node, in and out.
async fn quiet_traffic(cluster: &Cluster, seconds: u64) -> Fallible<f64> {
    cluster.calm().await?;
    let (before, began) = (cluster.bytes_on_the_wire(), Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let bytes = cluster.bytes_on_the_wire() - before;
    // Each byte leaves one node and enters another.
    Ok(2.0 * bytes as f64 / 3.0 / began.elapsed().as_secs_f64())
}

/// A node is away; meanwhile some keys change on the others, or on it alone.
pub(crate) async fn differ(cluster: &mut Cluster, differing: u64) -> Fallible<Course> {
    let mut course = None;
    let cases: [(&str, &[usize], u64); 2] = [
        ("newer on two nodes", &[0, 1], 2),
        ("newer on the one that was away", &[2], 3),
    ];
    for (case, nodes, version) in cases {
        let step = (cluster.keys / differing).max(1);
        let keys: Vec<u64> = (0..differing).map(|n| n * step).collect();
        if nodes.contains(&2) {
            // Its peers must not see the change before they meet it again.
            cluster.stop_node(0).await?;
            cluster.stop_node(1).await?;
            plant(cluster, nodes, &keys, version)?;
            cluster.stop_node(2).await?;
            cluster.start_node(0).await?;
            cluster.start_node(1).await?;
        } else {
            cluster.stop_node(2).await?;
            plant(cluster, nodes, &keys, version)?;
        }
        let seen = mend(cluster, &keys, version).await?;
        println!(
            "| {differing} of {} keys, {case}: mended after | {:.2} s |",
            cluster.keys,
            seen.looks.last().map_or(0.0, |(at, _)| at.as_secs_f64())
        );
        course.get_or_insert(seen);
    }
    course.ok_or_else(|| "nothing differed".into())
}

fn plant(cluster: &Cluster, nodes: &[usize], keys: &[u64], version: u64) -> Fallible<()> {
    for n in nodes {
        keys.iter()
            .try_for_each(|key| cluster.plant(*n, *key, version))?;
    }
    Ok(())
}

/// Starts node 2, and looks on from the moment when it sees the others.
async fn mend(cluster: &mut Cluster, keys: &[u64], version: u64) -> Fallible<Course> {
    cluster.start_node(2).await?;
    wait_for(Duration::from_secs(60), || cluster.sees_all(2)).await?;
    let (met, before) = (Instant::now(), cluster.bytes_on_the_wire());
    let mut looks = Vec::new();
    let mut left: Vec<(usize, u64)> = (0..3)
        .flat_map(|n| keys.iter().map(move |key| (n, *key)))
        .collect();
    while met.elapsed() < Duration::from_secs(120) {
        let mut still = Vec::new();
        for (n, key) in left {
            if !cluster.has(n, key, version)? {
                still.push((n, key));
            }
        }
        left = still;
        looks.push((met.elapsed(), left.len() as u64));
        if left.is_empty() {
            let moved = cluster.bytes_on_the_wire() - before;
            let lacking = looks.first().map_or(0, |(_, lacked)| *lacked).max(1);
            let objects = lacking * cluster.bytes as u64;
            println!(
                "| ... bytes on the wire, by those of the {lacking} copies that were old | {:.2} |",
                moved as f64 / objects as f64
            );
            return Ok(Course {
                differing: lacking,
                looks,
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err("the difference was not mended".into())
}

/// A node loses everything that it holds.
pub(crate) async fn refill(cluster: &Cluster) -> Fallible<()> {
    let before = cluster.bytes_on_the_wire();
    let took = refill_once(cluster).await?;
    let bytes = cluster.keys as f64 * cluster.bytes as f64;
    let moved = (cluster.bytes_on_the_wire() - before) as f64;
    println!(
        "| refill of a wiped replica | {:.1} MB/s |",
        bytes / 1e6 / took.as_secs_f64()
    );
    println!(
        "| ... bytes on the wire, by those of its values | {:.2} |",
        moved / bytes
    );
    Ok(())
}

async fn refill_once(cluster: &Cluster) -> Fallible<Duration> {
    cluster.wipe(2)?;
    let began = Instant::now();
    while cluster.exchanges(2).await?.keys < cluster.keys {
        if began.elapsed() > Duration::from_secs(600) {
            return Err("the refill does not end".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(began.elapsed())
}

/// The 99th percentile of clients at half of the load that the cluster can take, with and without a refill, in turn.
pub(crate) async fn latency(cluster: &Cluster, seconds: u64, rounds: usize) -> Fallible<()> {
    let time = Duration::from_secs(seconds);
    let addresses: Vec<String> = cluster.addresses().into_values().take(2).collect();
    let most = load::saturate(&addresses, cluster.keys, time).await?;
    let half = Load {
        addresses,
        keys: cluster.keys,
        a_second: most / 2.0,
    };
    println!("| load that saturates, half reads and half writes of 1 KiB | {most:.0} /s |");
    let (mut with, mut without, mut speeds) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        without.push(half.run(time).await?);
        let (p99, took) = tokio::join!(half.run(time), refill_once(cluster));
        with.push(p99?);
        speeds.push(cluster.keys as f64 * cluster.bytes as f64 / 1e6 / took?.as_secs_f64());
        cluster.met().await?;
    }
    let (with, without) = (median(with), median(without));
    println!("| half load: 99th percentile, median of {rounds} | {without:.2} ms |");
    println!("| ... during a refill | {with:.2} ms |");
    println!("| ... rise | {:.0} % |", 100.0 * (with / without - 1.0));
    println!(
        "| ... speed of the refill under that load | {:.1} MB/s |",
        median(speeds)
    );
    Ok(())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
