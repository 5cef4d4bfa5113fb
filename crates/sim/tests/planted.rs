//! The checkers can fail: each planted bug is caught by the seed that a search has found first.
#![cfg(feature = "planted-bugs")]

use dynamokv::storage::planted::{self, Bug};
use dynamokv_sim::{Fault, Plan, run};

/// Seeds that a search has found, the first ones of each bug: see docs/testing.md.
const CATCHING: [(Bug, [u64; 3]); 11] = [
    (Bug::HintLostBeforeAck, [1, 2, 3]),
    (Bug::NodeCountedTwice, [1, 2, 3]),
    (Bug::ContextIgnored, [1, 2, 3]),
    (Bug::EpochReused, [10, 15, 64]),
    (Bug::DeltaWithoutContext, [1, 2, 3]),
    (Bug::RepairOverwrites, [2, 3, 5]),
    (Bug::FallbackNotDurable, [2, 7, 10]),
    (Bug::ExchangeOverwrites, [1, 2, 3]),
    (Bug::TombstoneCollectedEarly, [4, 10, 60]),
    (Bug::MoveSkipsKey, [10, 13, 24]),
    (Bug::TransferConfirmedEarly, [11, 13, 18]),
];

/// The bugs that were found where members change, for some bite nowhere else. The others were found where they do not.
const OF_CHANGES: [Bug; 3] = [
    Bug::MoveSkipsKey,
    Bug::TransferConfirmedEarly,
    Bug::TombstoneCollectedEarly,
];

/// Whether a run of the seed breaks a promise.
fn broken(plan: &Plan, bug: Option<Bug>) -> bool {
    let report = planted::with(bug, || run(plan.clone(), false));
    report.violation.is_some()
}

fn plan(seed: u64, bug: Bug) -> Plan {
    let plan = Plan::new(seed, 500);
    if OF_CHANGES.contains(&bug) {
        plan
    } else {
        plan.without(&Fault::MEMBERSHIP)
    }
}

#[test]
fn each_planted_bug_is_caught_and_only_with_the_bug() {
    for (bug, seeds) in CATCHING {
        // A change of the nodes changes every run: one that happens not to meet the bug any more is no reason to search anew.
        let catches = seeds
            .iter()
            .find(|seed| broken(&plan(**seed, bug), Some(bug)));
        assert!(catches.is_some(), "{bug} is not caught: search anew");
        for seed in seeds {
            assert!(!broken(&plan(seed, bug), None), "seed {seed} without {bug}");
        }
    }
    assert!(
        Bug::ALL
            .iter()
            .all(|bug| CATCHING.iter().any(|(caught, _)| caught == bug)),
        "every bug is looked for"
    );
}
