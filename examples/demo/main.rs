//! Five scenes that show what DynamoKV does, played by real nodes and checked claim by claim.
//!
//! `cargo run --example demo` runs straight through; `--step` waits for Enter between the scenes; `--engine memory`
//! needs no disk. It exits with an error when a claim does not hold.

mod client;
mod cluster;
mod process;
mod scenes;
mod stage;

use std::process::ExitCode;

use clap::Parser;
use dynamokv::EngineKind;
use tracing_subscriber::EnvFilter;

use crate::cluster::Cluster;
use crate::scenes::{conflict, failure, joining, recovery, replication};
use crate::stage::{Failure, Stage};

/// Plays five scenes with real nodes in one process and checks every claim.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Options {
    /// Wait for Enter between the scenes.
    #[arg(long)]
    step: bool,
    /// What keeps the data of a node: `memory` or `rocksdb` [default: rocksdb, where it is built in].
    #[arg(long, value_name = "ENGINE")]
    engine: Option<EngineKind>,
    /// What the nodes log to stderr: off, error, warn, info, debug, or a filter such as dynamokv=info.
    #[arg(long, value_name = "FILTER", default_value = "off")]
    log: EnvFilter,
}

/// The scenes in order. Each goes on from where the one before ended, so the first that fails ends the play.
async fn play(cluster: &mut Cluster, stage: &mut Stage) -> Result<(), Failure> {
    stage.begin(replication::TITLE, replication::IDEA).await;
    replication::play(cluster, stage).await?;
    stage.begin(joining::TITLE, joining::IDEA).await;
    joining::play(cluster, stage).await?;
    stage.begin(failure::TITLE, failure::IDEA).await;
    let missed = failure::play(cluster, stage).await?;
    stage.begin(recovery::TITLE, recovery::IDEA).await;
    recovery::play(cluster, stage, &missed).await?;
    stage.begin(conflict::TITLE, conflict::IDEA).await;
    conflict::play(cluster, stage).await
}

async fn run(engine: EngineKind, step: bool) -> std::io::Result<bool> {
    let program = [
        replication::TITLE,
        joining::TITLE,
        failure::TITLE,
        recovery::TITLE,
        conflict::TITLE,
    ];
    let mut stage = Stage::new(&program, step);
    let mut cluster = Cluster::new(engine)?;
    stage.prologue(&cluster.described());
    let played = play(&mut cluster, &mut stage).await;
    let holds = stage.epilogue(played);
    cluster.stop().await;
    Ok(holds)
}

async fn asked_to_stop() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

#[tokio::main]
async fn main() -> ExitCode {
    let Options { step, engine, log } = Options::parse();
    tracing_subscriber::fmt()
        .with_env_filter(log)
        .with_writer(std::io::stderr)
        .init();
    // Whichever way it ends, the cluster is dropped: its nodes stop and its folder is removed.
    let played = tokio::select! {
        biased;
        asked = asked_to_stop() => asked.map(|()| false),
        played = run(engine.unwrap_or_default(), step) => played,
    };
    match played {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
