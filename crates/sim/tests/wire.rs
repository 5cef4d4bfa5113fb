//! The full gRPC path: every promise is kept, and a seed repeats to the last event.

use std::sync::Arc;

use dynamokv_sim::{Plan, Report, wire};

fn run(seed: u64) -> Report {
    wire::run(Plan::new(seed, OPERATIONS), false)
}

#[test]
fn promises_are_kept_over_grpc() {
    for seed in SEEDS {
        let report = run(seed);
        assert_eq!(report.violation, None, "{}", report.plan);
    }
}

const OPERATIONS: usize = 100;
const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;
