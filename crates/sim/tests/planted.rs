//! The checkers can fail: each planted bug is caught by the seed that a search has found first.
#![cfg(feature = "planted-bugs")]

use dynamokv::storage::planted::{self, Bug};
use dynamokv_sim::{Plan, run};

/// What `cargo sim --seeds 200 --planted <bug>` finds first, and which promise it sees broken.
const CAUGHT: [(Bug, u64, &str); 7] = [
    (
        Bug::HintLostBeforeAck,
        1,
        "acknowledged_copies_stay_durable",
    ),
    (Bug::NodeCountedTwice, 1, "acknowledged_copies_stay_durable"),
    (Bug::ContextIgnored, 1, "deleted_stays_deleted"),
    (Bug::EpochReused, 37, "dots_are_issued_once"),
    (Bug::DeltaWithoutContext, 1, "siblings_are_concurrent"),
    (Bug::RepairOverwrites, 5, "acknowledged_copies_stay_durable"),
    (
        Bug::FallbackNotDurable,
        2,
        "acknowledged_copies_stay_durable",
    ),
];

#[test]
fn each_planted_bug_is_caught_and_only_with_the_bug() {
    for (bug, seed, invariant) in CAUGHT {
        let report = planted::with(Some(bug), || run(Plan::new(seed, 500), false));
        let caught = report.violation.map(|violation| violation.invariant);
        assert_eq!(caught, Some(invariant), "{bug} with seed {seed}");
        let report = run(Plan::new(seed, 500), false);
        assert_eq!(report.violation, None, "without {bug}: seed {seed}");
    }
    assert!(
        Bug::ALL
            .iter()
            .all(|bug| CAUGHT.iter().any(|(caught, ..)| caught == bug)),
        "every bug is looked for"
    );
}
