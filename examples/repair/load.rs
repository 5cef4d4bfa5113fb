//! Clients: as many requests as they get answered, or so many a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dynamokv::rpc::pb::kv_client::KvClient;
use dynamokv::rpc::pb::{GetRequest, PutRequest};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use crate::Fallible;
use crate::cluster::object_key;

const CLIENTS: u64 = 32;

/// A load that does not wait for answers: requests come when they are due.
pub(crate) struct Load {
    pub(crate) addresses: Vec<String>,
    pub(crate) keys: u64,
    pub(crate) a_second: f64,
}

/// One request of a kind and key that its number gives: half reads, half writes over what was read.
async fn request(mut kv: KvClient<Channel>, number: u64, keys: u64) -> Fallible<()> {
    let key = object_key(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys)?;
    let key = key.key().clone();
    let get = GetRequest {
        key: key.clone(),
        ..GetRequest::default()
    };
    let found = kv.get(get).await?.into_inner();
    if number.is_multiple_of(2) {
        let put = PutRequest {
            key,
            value: vec![number as u8; 1_024].into(),
            context: found.context,
            ..PutRequest::default()
        };
        kv.put(put).await?;
    }
    Ok(())
}

fn clients(addresses: &[String]) -> Fallible<Vec<KvClient<Channel>>> {
    let connect = |address: &String| {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        Ok(KvClient::new(endpoint.tcp_nodelay(true).connect_lazy()))
    };
    addresses.iter().map(connect).collect()
}

/// How many a second are answered when every client waits for its answer.
pub(crate) async fn saturate(addresses: &[String], keys: u64, time: Duration) -> Fallible<f64> {
    let (clients, answered) = (clients(addresses)?, Arc::new(AtomicU64::new(0)));
    let (mut tasks, began) = (JoinSet::new(), Instant::now());
    for client in 0..CLIENTS {
        let kv = clients[client as usize % clients.len()].clone();
        let answered = Arc::clone(&answered);
        tasks.spawn(async move {
            let mut number = client;
            while began.elapsed() < time {
                request(kv.clone(), number, keys).await?;
                answered.fetch_add(1, Ordering::Relaxed);
                number += CLIENTS;
            }
            Fallible::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(answered.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

impl Load {
    /// The 99th percentile of the time from when a request was due to its answer, in milliseconds.
    pub(crate) async fn run(&self, time: Duration) -> Fallible<f64> {
        let clients = clients(&self.addresses)?;
        let (mut tasks, began) = (JoinSet::new(), Instant::now());
        let every = Duration::from_secs_f64(1.0 / self.a_second);
        let mut number = 0_u32;
        while every * number < time {
            let due = began + every * number;
            tokio::time::sleep_until(due).await;
            let kv = clients[number as usize % clients.len()].clone();
            let (keys, nth) = (self.keys, u64::from(number));
            tasks.spawn(async move {
                request(kv, nth, keys).await?;
                Fallible::Ok(due.elapsed())
            });
            number += 1;
        }
        let mut times = Vec::new();
        while let Some(task) = tasks.join_next().await {
            times.push(task??.as_secs_f64() * 1_000.0);
        }
        times.sort_by(f64::total_cmp);
        times
            .get(times.len() * 99 / 100)
            .copied()
            .ok_or_else(|| "no request was made".into())
    }
}
