//! Runs seeds: one to look at, or many to search.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use dynamokv_sim::{Fault, Plan, Report, run, wire};
use parking_lot::Mutex;

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
    /// Go on after a failure.
    #[arg(long)]
    keep_going: bool,
}

impl Options {
    fn plan(&self, seed: u64) -> Plan {
        let mut plan = Plan::new(seed, self.operations);
        plan.clients = self.clients.unwrap_or(plan.clients).max(1);
        plan.keys = self.keys.unwrap_or(plan.keys).max(1);
        plan.faults.retain(|fault, _| !self.without.contains(fault));
        plan
    }

    fn run(&self, seed: u64, trace: bool) -> Report {
        let plan = self.plan(seed);
        if self.wire {
            wire::run(plan, trace)
        } else {
            run(plan, trace)
        }
    }

    /// The command that repeats a run.
    fn again(&self, report: &Report) -> String {
        let path = if self.wire { " --wire" } else { "" };
        format!("cargo sim {}{path} --trace", report.plan.arguments())
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    // What the nodes log, for who asks for it by RUST_LOG; without times, for theirs are virtual.
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(
            std::env::var("RUST_LOG").unwrap_or_else(|_| "off".to_owned()),
        ))
        .without_time()
        .with_writer(std::io::stderr)
        .init();
    if options.seeds == 1 && options.seconds.is_none() {
        return one(&options);
    }
    many(&options)
}

fn one(options: &Options) -> ExitCode {
    let report = options.run(options.seed, options.trace);
    for line in &report.trace {
        println!("{line}");
    }
    println!("{}", report.plan);
    println!("events {}, digest {:016x}", report.events, report.digest);
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

/// What many runs come to.
#[derive(Default)]
struct Sum {
    seeds: u64,
    events: u64,
    virtual_time: Duration,
    counts: BTreeMap<String, u64>,
    failed: Vec<(u64, String)>,
}

impl Sum {
    fn add(&mut self, report: Report, options: &Options) {
        self.seeds += 1;
        self.events += report.events;
        self.virtual_time += report.virtual_time;
        for (what, count) in &report.counts {
            let sum = self.counts.entry(what.clone()).or_default();
            if what.starts_with("most ") {
                *sum = (*sum).max(*count);
            } else {
                *sum += *count;
            }
        }
        if let Some(violation) = &report.violation {
            let command = options.again(&report);
            println!("BROKEN {}\n  {violation}\n  again: {command}", report.plan);
            self.failed.push((report.plan.seed, violation.to_string()));
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
    std::thread::scope(|threads| {
        for _ in 0..options.jobs.max(1) {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) || !more(seed) {
                        return;
                    }
                    let report = options.run(seed, false);
                    if report.violation.is_some() && !options.keep_going {
                        stop.store(true, Ordering::Relaxed);
                    }
                    sum.lock().add(report, options);
                }
            });
        }
    });
    let sum = sum.into_inner();
    let took = began.elapsed().as_secs_f64();
    println!(
        "{} seeds in {took:.0} s ({:.0} a minute), {:.1} virtual hours, {} events",
        sum.seeds,
        sum.seeds as f64 * 60.0 / took,
        sum.virtual_time.as_secs_f64() / 3_600.0,
        sum.events
    );
    for (what, count) in &sum.counts {
        println!("{count:>12} {what}");
    }
    if sum.failed.is_empty() {
        println!("every promise was kept");
        return ExitCode::SUCCESS;
    }
    let mut by_invariant: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (seed, story) in &sum.failed {
        let invariant = story.split(':').next().unwrap_or(story);
        by_invariant.entry(invariant).or_default().push(*seed);
    }
    for (invariant, seeds) in by_invariant {
        println!("{invariant}: {} seeds, {seeds:?}", seeds.len());
    }
    ExitCode::FAILURE
}
