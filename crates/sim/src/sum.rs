//! What many runs come to.

use std::collections::BTreeMap;
use std::time::Duration;

use dynamokv_sim::Report;

#[derive(Default)]
pub(crate) struct Sum {
    seeds: u64,
    events: u64,
    virtual_time: Duration,
    counts: BTreeMap<String, u64>,
    /// The seeds that broke each promise.
    broken: BTreeMap<&'static str, Vec<u64>>,
}

impl Sum {
    pub(crate) fn add(&mut self, report: Report) {
        self.seeds += 1;
        self.events += report.events;
        self.virtual_time += report.virtual_time;
        for (what, count) in report.counts {
            let greatest = what.starts_with("most ");
            let sum = self.counts.entry(what).or_default();
            *sum = if greatest {
                count.max(*sum)
            } else {
                *sum + count
            };
        }
        if let Some(violation) = report.violation {
            let seeds = self.broken.entry(violation.invariant).or_default();
            seeds.push(report.plan.seed);
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }

    pub(crate) fn print(&self, took: Duration) {
        let took = took.as_secs_f64();
        println!(
            "{} seeds in {took:.0} s ({:.0} a minute), {:.1} virtual hours, {} events",
            self.seeds,
            self.seeds as f64 * 60.0 / took,
            self.virtual_time.as_secs_f64() / 3_600.0,
            self.events
        );
        for (what, count) in &self.counts {
            println!("{count:>12} {what}");
        }
        for (promise, seeds) in &self.broken {
            println!("{promise}: {} seeds, {seeds:?}", seeds.len());
        }
        if self.is_clean() {
            println!("every promise was kept");
        }
    }
}
