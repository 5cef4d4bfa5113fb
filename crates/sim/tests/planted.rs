//! The checkers can fail: each planted bug is caught by the seed that a search has found first.
#![cfg(feature = "planted-bugs")]

use dynamokv::storage::planted::{self, Bug};
use dynamokv_sim::{Plan, run};

/// Seeds that a search has found, the first ones of each bug: see docs/testing.md.
const CATCHING: [(Bug, [u64; 3]); 7] = [
    (Bug::HintLostBeforeAck, [1, 2, 3]),
    (Bug::NodeCountedTwice, [1, 2, 3]),
    (Bug::ContextIgnored, [1, 2, 3]),
    (Bug::EpochReused, [10, 15, 64]),
    (Bug::DeltaWithoutContext, [1, 2, 3]),
    (Bug::RepairOverwrites, [2, 3, 5]),
    (Bug::FallbackNotDurable, [2, 7, 10]),
];

/// Whether a run of the seed breaks a promise.
fn broken(seed: u64, bug: Option<Bug>) -> bool {
    let report = planted::with(bug, || run(Plan::new(seed, 500), false));
    report.violation.is_some()
}

#[test]
fn each_planted_bug_is_caught_and_only_with_the_bug() {
    for (bug, seeds) in CATCHING {
        // A change of the nodes changes every run: one that happens not to meet the bug any more is no reason to search anew.
        let catches = seeds.iter().find(|seed| broken(**seed, Some(bug)));
        assert!(catches.is_some(), "{bug} is not caught: search anew");
        for seed in seeds {
            assert!(!broken(seed, None), "seed {seed} without {bug}");
        }
    }
    assert!(
        Bug::ALL
            .iter()
            .all(|bug| CATCHING.iter().any(|(caught, _)| caught == bug)),
        "every bug is looked for"
    );
}
