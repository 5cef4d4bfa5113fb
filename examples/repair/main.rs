//! What anti-entropy costs and how fast it is, with three nodes on RocksDB over loopback: idle traffic, a few differing keys
//! among many, a wiped replica, and what clients notice of it. Prints a table; with `--picture` draws how a difference goes.
//!
//! `cargo run --release --example repair -- --keys 1000000`
#![allow(clippy::indexing_slicing)]

mod cluster;
mod counted;
mod load;
mod picture;
mod scenes;

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;

use crate::cluster::Cluster;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn fail<T>(reason: &str) -> Fallible<T> {
    Err(reason.into())
}

/// Measures the repair of replicas.
#[derive(Parser)]
struct Args {
    /// Keys on every node.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Bytes of each value.
    #[arg(long, default_value_t = 1_024)]
    bytes: usize,
    /// Keys that are made to differ, spread evenly.
    #[arg(long, default_value_t = 1_000)]
    differing: u64,
    /// Seconds of each measurement of idle traffic and of latency.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Rounds of latency, with and without a refill in turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only these scenes.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "idle,differ,refill,latency"
    )]
    scenes: Vec<String>,
    /// Draws the difference over time into this file.
    #[arg(long)]
    picture: Option<PathBuf>,
}

fn main() -> Fallible<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(args))
}

async fn run(args: Args) -> Fallible<()> {
    let mut cluster = Cluster::start(args.keys, args.bytes).await?;
    println!("| what | figure |\n|---|--:|");
    for scene in &args.scenes {
        match scene.as_str() {
            "idle" => scenes::idle(&mut cluster, args.seconds).await?,
            "differ" => {
                let course = scenes::differ(&mut cluster, args.differing).await?;
                if let Some(path) = &args.picture {
                    std::fs::write(path, picture::draw(&course))?;
                }
            }
            "refill" => scenes::refill(&cluster).await?,
            "latency" => scenes::latency(&cluster, args.seconds, args.rounds).await?,
            other => return Err(format!("no scene is called {other:?}").into()),
        }
    }
    Ok(())
}
