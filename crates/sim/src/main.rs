//! Runs seeds: one to look at, or many to search.
#![forbid(unsafe_code)]

mod sum;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use dynamokv_sim::{Fault, Plan, Report, run, shrink, wire};
use parking_lot::Mutex;

use crate::sum::Sum;

/// Runs the DynamoKV cluster in virtual time, from a seed, under faults, and checks what it promises.
#[derive(Parser)]
#[command(name = "sim")]
struct Options {
    /// The one seed to run, or the first of many.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds to run.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Run further seeds until so many seconds have passed.
    #[arg(long, conflicts_with = "seeds")]
    seconds: Option<u64>,
    /// Begin at a seed that the time of day gives.
    #[arg(long, conflicts_with = "seed")]
    fresh: bool,
    /// Operations of a run.
    #[arg(long, default_value_t = 500)]
    operations: usize,
    /// Clients, where not as the seed decides.
    #[arg(long)]
    clients: Option<usize>,
    /// Keys, where not as the seed decides.
    #[arg(long)]
    keys: Option<u32>,
    /// Faults to leave out.
    #[arg(long, value_delimiter = ',')]
    without: Vec<Fault>,
    /// Take the full path: gRPC in turmoil's network, with the faults that it can make.
    #[arg(long)]
    wire: bool,
    /// Threads, each with a seed of its own at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Print every event of a single seed.
    #[arg(long)]
    trace: bool,
    /// Plant this bug into the nodes.
    #[cfg(feature = "planted-bugs")]
    #[arg(long)]
    planted: Option<dynamokv::storage::planted::Bug>,
    /// Go on after a failure.
    #[arg(long)]
    keep_going: bool,
}

impl Options {
    fn plan(&self, seed: u64) -> Plan {
        let mut plan = Plan::new(seed, self.operations).without(&self.without);
        plan.clients = self.clients.unwrap_or(plan.clients).max(1);
        plan.keys = self.keys.unwrap_or(plan.keys).max(1);
        plan
    }

    fn run(&self, plan: Plan, keep_trace: bool) -> Report {
        let path = if self.wire { wire::run } else { run };
        #[cfg(feature = "planted-bugs")]
        return dynamokv::storage::planted::with(self.planted, || path(plan, keep_trace));
        #[cfg(not(feature = "planted-bugs"))]
        path(plan, keep_trace)
    }

    /// The command that repeats a run.
    fn again(&self, plan: &Plan) -> String {
        let path = if self.wire { " --wire" } else { "" };
        format!("cargo sim {}{path} --trace", plan.arguments())
    }
}

fn main() -> ExitCode {
    let mut options = Options::parse();
    if options.fresh {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        options.seed = since.as_nanos() as u64 >> 10;
    }
    // What the nodes log, for who asks for it by RUST_LOG; without times, for theirs are virtual.
    let level = std::env::var("RUST_LOG").unwrap_or_else(|_| "off".to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .without_time()
        .with_writer(std::io::stderr)
        .init();
    if options.seeds == 1 && options.seconds.is_none() {
        one(&options)
    } else {
        many(&options)
    }
}

fn one(options: &Options) -> ExitCode {
    let report = options.run(options.plan(options.seed), options.trace);
    for line in &report.trace {
        println!("{line}");
    }
    println!("{}", report.plan);
    println!("{} events, digest {:016x}", report.events, report.digest);
    for (what, count) in &report.counts {
        println!("{count:>10} {what}");
    }
    match report.violation {
        None => {
            println!("every promise was kept");
            ExitCode::SUCCESS
        }
        Some(violation) => {
            println!("BROKEN {violation}");
            ExitCode::FAILURE
        }
    }
}

fn many(options: &Options) -> ExitCode {
    let began = Instant::now();
    let next = AtomicU64::new(options.seed);
    let stop = AtomicBool::new(false);
    let sum = Mutex::new(Sum::default());
    let more = |seed: u64| match options.seconds {
        Some(seconds) => began.elapsed() < Duration::from_secs(seconds),
        None => seed < options.seed.saturating_add(options.seeds),
    };
    println!("from seed {}", options.seed);
    std::thread::scope(|threads| {
        for _ in 0..options.jobs.max(1) {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) || !more(seed) {
                        return;
                    }
                    let report = options.run(options.plan(seed), false);
                    if report.violation.is_some() && !options.keep_going {
                        stop.store(true, Ordering::Relaxed);
                    }
                    if let Some(violation) = &report.violation {
                        println!("BROKEN {}\n  {violation}", report.plan);
                        println!("  again: {}", options.again(&report.plan));
                        let least = shrink(report.clone(), |plan| options.run(plan, false));
                        println!("  least: {}", options.again(&least.plan));
                    }
                    sum.lock().add(report);
                }
            });
        }
    });
    let sum = sum.into_inner();
    sum.print(began.elapsed());
    if sum.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
