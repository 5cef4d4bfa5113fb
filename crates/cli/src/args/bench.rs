//! The options of `dynamokv bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use dynamokv_loadgen::{Arrivals, Contexts, Pace, Pattern, Plan, ValueSize};

use super::data::Quorum;
use crate::error::{Error, Result};
use crate::node::Connect;

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// YCSB's a, b, c, d or f, or only one action: get, put, insert or delete; one after another of several with commas
    #[arg(
        default_value = "a",
        value_delimiter = ',',
        value_name = "WORKLOAD,..."
    )]
    workloads: Vec<String>,
    /// Records that are there before the run; those that are missing are written first
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    pub(crate) records: u64,
    /// Bytes of each value, or MIN..MAX
    #[arg(long, value_name = "BYTES", default_value = "1024", value_parser = value_size)]
    pub(crate) value: ValueSize,
    /// How often which record is asked for [default: that of the workload]
    #[arg(long, value_enum)]
    pattern: Option<Popularity>,
    /// The exponent of zipfian and latest
    #[arg(long, value_name = "NUMBER", default_value_t = Pattern::YCSB_EXPONENT)]
    exponent: f64,
    /// Closed loop: so many requests under way; a run for each of several with commas
    #[arg(
        long,
        value_name = "NUMBER,...",
        value_delimiter = ',',
        default_value = "16",
        conflicts_with = "rate"
    )]
    in_flight: Vec<usize>,
    /// Open loop: so many requests a second, whatever the cluster does; a run for each of several with commas
    #[arg(long, value_name = "NUMBER,...", value_delimiter = ',')]
    rate: Vec<f64>,
    /// Open loop: the times between requests
    #[arg(long, value_enum, default_value_t = Rhythm::Poisson)]
    arrivals: Rhythm,
    /// Open loop: requests under way at most; further ones wait, and their waiting counts
    #[arg(long, value_name = "NUMBER", default_value_t = 4_096)]
    in_flight_max: usize,
    /// Seconds that are counted, of each run
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    duration: f64,
    /// Seconds before that, of each run
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    warm_up: f64,
    /// How requests travel
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: Mode,
    /// What a write has seen of its key
    #[arg(long, value_enum, default_value_t = Seen::Remembered)]
    contexts: Seen,
    /// Of the dice: equal seeds ask for the same keys and values
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Do not write the records that are missing
    #[arg(long)]
    pub(crate) no_fill: bool,
    #[command(flatten)]
    pub(crate) quorum: Quorum,
    /// Processes of nodes on this machine whose CPU time is counted, by their ids
    #[arg(long, value_name = "PID,...", value_delimiter = ',')]
    pub(crate) watch_pids: Vec<u32>,
    /// File to keep the results in, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Kept results to compare with
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,
    /// File to write a page with latency curves to, as HTML
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

/// How often which record is asked for.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Popularity {
    /// Each equally often
    Uniform,
    /// A few very often, spread over the key space
    Zipfian,
    /// The newest very often
    Latest,
    /// Each once, in order; then the run ends
    Sequential,
}

/// The times between requests of an open loop.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Rhythm {
    /// All the same
    Even,
    /// Exponential: independent users
    Poisson,
}

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Mode {
    /// Each as a call of its own
    #[default]
    Unary,
    /// Many at once in the messages of long-lived streams
    Pipelined,
}

/// What a write has seen of its key.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Seen {
    /// What the last reply or read of the key has; the key is read first if there was none
    Remembered,
    /// What a read before each write has; the read counts
    Read,
    /// Nothing: siblings pile up until they are refused
    Blind,
}

impl BenchArgs {
    /// The runs with their names.
    pub(crate) fn plans(&self) -> Result<Vec<(String, Plan)>> {
        let of_each = self.workloads.iter().map(|workload| self.of(workload));
        Ok(of_each.collect::<Result<Vec<_>>>()?.concat())
    }

    /// The runs of one workload.
    fn of(&self, workload: &str) -> Result<Vec<(String, Plan)>> {
        let wrong = |error: dynamokv_loadgen::Error| Error::Usage(error.to_string());
        let (mix, usual) = Plan::workload(workload).map_err(wrong)?;
        let pattern = self
            .pattern
            .map_or(usual, |pattern| self.popularity(pattern));
        let plan = |pace| -> Result<Plan> {
            Ok(Plan {
                mix: mix.clone(),
                pattern,
                records: self.records,
                value: self.value,
                pace,
                warm_up: seconds("warm-up", self.warm_up)?,
                duration: seconds("duration", self.duration)?,
                contexts: match self.contexts {
                    Seen::Remembered => Contexts::Remembered,
                    Seen::Read => Contexts::Read,
                    Seen::Blind => Contexts::Blind,
                },
                seed: self.seed,
            })
        };
        let plans: Result<Vec<(String, Plan)>> = self
            .paces()
            .map(|(name, pace)| Ok((format!("{workload}, {name}"), plan(pace)?)))
            .collect();
        let plans = plans?;
        for (_, plan) in &plans {
            plan.validate().map_err(wrong)?;
        }
        Ok(plans)
    }

    /// Requests that may be under way at once in any of the runs.
    pub(crate) fn under_way_max(&self) -> usize {
        let closed = self.in_flight.iter().copied().max();
        let open = (!self.rate.is_empty()).then_some(self.in_flight_max);
        closed.max(open).unwrap_or(1).max(FILL_IN_FLIGHT)
    }

    fn paces(&self) -> impl Iterator<Item = (String, Pace)> {
        let open = self.rate.iter().map(|rate| {
            let pace = Pace::Open {
                rate: *rate,
                arrivals: match self.arrivals {
                    Rhythm::Even => Arrivals::Even,
                    Rhythm::Poisson => Arrivals::Poisson,
                },
                in_flight_max: self.in_flight_max,
            };
            (format!("{rate} a second"), pace)
        });
        let closed = self.in_flight.iter().map(|in_flight| {
            let pace = Pace::Closed {
                in_flight: *in_flight,
            };
            (format!("{in_flight} in flight"), pace)
        });
        let is_open = !self.rate.is_empty();
        open.chain(closed.filter(move |_| !is_open))
    }

    fn popularity(&self, pattern: Popularity) -> Pattern {
        let exponent = self.exponent;
        match pattern {
            Popularity::Uniform => Pattern::Uniform,
            Popularity::Zipfian => Pattern::Zipfian { exponent },
            Popularity::Latest => Pattern::Latest { exponent },
            Popularity::Sequential => Pattern::Sequential,
        }
    }
}

fn seconds(field: &str, value: f64) -> Result<Duration> {
    let limited = Some(value).filter(|value| *value <= SECONDS_MAX);
    let time = limited.and_then(|value| Duration::try_from_secs_f64(value).ok());
    time.ok_or_else(|| {
        Error::Usage(format!(
            "{field}: is {value}, but must be in 0..={SECONDS_MAX} seconds"
        ))
    })
}

fn value_size(text: &str) -> Result<ValueSize, String> {
    let number = |text: &str| -> Result<usize, String> {
        let bytes = text.parse().map_err(|error| format!("{text:?}: {error}"))?;
        match bytes {
            0..=VALUE_BYTES_MAX => Ok(bytes),
            _ => Err(format!("is {bytes}, but must be in 0..={VALUE_BYTES_MAX}")),
        }
    };
    let (min, max) = match text.split_once("..") {
        Some((min, max)) => (number(min)?, number(max)?),
        None => (number(text)?, number(text)?),
    };
    Ok(ValueSize { min, max })
}

/// Records that are written at once before the runs.
pub(crate) const FILL_IN_FLIGHT: usize = 64;
const SECONDS_MAX: f64 = 86_400.0;
const VALUE_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_or_ranges() {
        assert_eq!(value_size("7"), Ok(ValueSize { min: 7, max: 7 }));
        assert_eq!(value_size("10..20"), Ok(ValueSize { min: 10, max: 20 }));
        for wrong in ["", "a", "1..", "-1", "99999999999"] {
            assert!(value_size(wrong).is_err(), "{wrong:?}");
        }
    }
}
