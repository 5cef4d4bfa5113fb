//! What a node does with three times what it can take: it goes on at its peak, and refuses the rest at once.
//!
//! `cargo run --release --example overload`. The node runs in a process of its own on one core, the load on another. What the node can take is
//! set by its admission limit (`--limit` requests under way) over a disk that syncs every `--sync-ms`: not by the processor,
//! of which refusing needs some too. Three runs: as many requests under way as are admitted (the peak), then requests at 80 % of that
//! rate and at three times that rate, at random moments, each timed from the moment at which it was due.

mod load;
mod node;
mod report;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;

use crate::load::Load;
use crate::report::Report;

pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// Shows that a node goes on at its peak under three times the load.
#[derive(Parser)]
struct Options {
    /// Requests that the node admits at once.
    #[arg(long, default_value_t = 16)]
    limit: usize,
    /// Milliseconds between syncs of the node's disk.
    #[arg(long, default_value_t = 4)]
    sync_ms: u64,
    /// Seconds of each run.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Connections.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// The core of the node; the load takes the one after it.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Be the node.
    #[arg(long, hide = true)]
    node: bool,
}

/// Ends with the run, however that ends.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_node(options: &Options) -> Fallible<(Node, String)> {
    let numbers = [
        ("--limit", options.limit as u64),
        ("--sync-ms", options.sync_ms),
        ("--core", options.core as u64),
    ];
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--node").stdout(Stdio::piped());
    for (flag, number) in numbers {
        command.args([flag, &number.to_string()]);
    }
    let mut node = Node(command.spawn()?);
    let said = node.0.stdout.take().ok_or("the node says nothing")?;
    let mut address = String::new();
    BufReader::new(said).read_line(&mut address)?;
    Ok((node, address.trim().to_owned()))
}

/// Keeps this process on one core. Where that cannot be had the run still tells something, and says so.
fn pin(core: usize) -> bool {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let core = cores.get(core % cores.len().max(1));
    core.is_some_and(|core| core_affinity::set_for_current(*core))
}

fn run(options: &Options) -> Fallible<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if options.node {
        pin(options.core);
        runtime.block_on(node::run(
            options.limit,
            Duration::from_millis(options.sync_ms),
        ))?;
        return Ok(true);
    }
    let (_node, address) = start_node(options)?;
    if !pin(options.core + 1) {
        eprintln!(
            "the load could not be kept on one core: its own delays may be among the figures"
        );
    }
    let seconds = Duration::from_secs(options.seconds);
    runtime.block_on(async {
        let load = Load::connect(&address, options.connections).await?;
        // Connections, caches and the allocator are not what is measured.
        load.closed(options.limit, seconds / 4).await?;
        let peak = load.closed(options.limit, seconds).await?;
        let rate = peak.admitted_per_second();
        let most = load.open(rate * 0.8, seconds).await?;
        let over = load.open(rate * 3.0, seconds).await?;
        let report = Report { peak, most, over };
        println!("{report}");
        Ok(report.holds())
    })
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
