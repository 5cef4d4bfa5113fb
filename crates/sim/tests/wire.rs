//! The full gRPC path keeps every promise, and a seed repeats to the last event.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use dynamokv_sim::{Plan, Report, wire};

fn run(seed: u64) -> Report {
    wire::run(Plan::new(seed, OPERATIONS), true)
}

#[test]
fn promises_are_kept_over_grpc_and_a_seed_repeats() {
    let mut digests = BTreeSet::new();
    for seed in SEEDS {
        // Another thread has other luck with everything that does not come from the seed.
        let elsewhere = std::thread::spawn(move || run(seed));
        let (report, again) = (run(seed), elsewhere.join().unwrap());
        assert_eq!(report.violation, None, "{}", report.plan);
        let difference = report
            .trace
            .iter()
            .zip(&again.trace)
            .find(|(one, other)| one != other);
        assert_eq!(difference, None, "{}", report.plan);
        assert_eq!(report.digest, again.digest, "{}", report.plan);
        assert!(report.counts.get("writes acknowledged") > Some(&0));
        digests.insert(report.digest);
    }
    assert_eq!(
        digests.len(),
        SEEDS.count(),
        "each seed is a run of its own"
    );
}

const OPERATIONS: usize = 150;
const SEEDS: std::ops::RangeInclusive<u64> = 5..=10;
