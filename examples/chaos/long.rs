//! Round after round.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::harness::accident::Accident;
use crate::harness::run::{Report, run};
use crate::support::dice::{Dice, seed_of_now};

/// Accidents to clusters of real node processes under load. Build the example `node` first.
#[derive(Debug, Parser)]
pub struct Options {
    /// Begin no further round after so many minutes; one round is always made.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Where the choices follow from; drawn when it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Only these accidents, in turn; all of them when none is given.
    #[arg(long)]
    scenario: Vec<Accident>,
    /// How long a fault lasts, in seconds; where it takes the time that it needs, how long the load goes on before it.
    #[arg(long, default_value_t = 30)]
    fault_seconds: u64,
    /// Instead of accidents: let about so many hints pile up for a node that is away, and measure their delivery.
    #[arg(long)]
    pub hints: Option<usize>,
    /// Where a picture of that is written.
    #[arg(long, requires = "hints")]
    pub svg: Option<PathBuf>,
}

async fn run_all(options: &Options) -> Vec<Report> {
    let accidents = match options.scenario.as_slice() {
        [] => Accident::ALL.as_slice(),
        chosen => chosen,
    };
    let until = Instant::now() + Duration::from_secs_f64(options.minutes * 60.0);
    let mut seed = options.seed.unwrap_or_else(seed_of_now);
    let mut reports = Vec::new();
    for accident in accidents.iter().cycle() {
        println!(
            "round {}: --scenario {} --seed {seed}",
            reports.len() + 1,
            accident.name()
        );
        let mut dice = Dice::seeded(seed);
        seed = dice.next();
        let lasts = Duration::from_secs(options.fault_seconds);
        let report = run(*accident, lasts, dice).await;
        println!("  {report}");
        reports.push(report);
        if Instant::now() >= until {
            break;
        }
    }
    reports
}

pub async fn report(options: Options) {
    let reports = run_all(&options).await;
    println!(
        "\n| accident | rounds | writes acknowledged | refused | unknown | reads | longest way to rest |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for accident in Accident::ALL {
        let of: Vec<&Report> = reports
            .iter()
            .filter(|report| report.accident == accident)
            .collect();
        let sum =
            |count: fn(&Report) -> usize| of.iter().map(|report| count(report)).sum::<usize>();
        if let Some(longest) = of.iter().map(|report| report.rest).max() {
            println!(
                "| {} | {} | {} | {} | {} | {} | {:.1} s |",
                accident.name(),
                of.len(),
                sum(|report| report.counts.acknowledged),
                sum(|report| report.counts.refused),
                sum(|report| report.counts.unknown),
                sum(|report| report.counts.reads),
                longest.as_secs_f64(),
            );
        }
    }
}
