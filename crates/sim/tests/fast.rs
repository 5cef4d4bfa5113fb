//! The fast path: a seed repeats, promises are kept, and the seeds that once broke one do so no more.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use dynamokv_sim::{Fault, Plan, Report, run};

/// Less than `cargo sim` does by default: this runs unoptimised too.
const OPERATIONS: usize = 300;

/// Runs a seed in a thread of its own: another thread has other luck with everything that does not come from the seed.
fn elsewhere(plan: Plan, keep_trace: bool) -> Report {
    std::thread::spawn(move || run(plan, keep_trace))
        .join()
        .unwrap()
}

#[test]
fn the_same_seed_is_the_same_run_to_the_last_event() {
    let mut digests = BTreeSet::new();
    for seed in 1..=20 {
        let plan = Plan::new(seed, OPERATIONS);
        let (one, other) = (elsewhere(plan.clone(), true), elsewhere(plan.clone(), true));
        let difference = one
            .trace
            .iter()
            .zip(&other.trace)
            .find(|(one, other)| one != other);
        assert_eq!(difference, None, "{plan}");
        assert_eq!((one.digest, one.events), (other.digest, other.events));
        assert_eq!(one.violation, None, "{plan}");
        digests.insert(one.digest);
    }
    assert_eq!(digests.len(), 20, "each seed is a run of its own");
}

#[test]
fn every_fault_happens_and_work_is_done_under_it() {
    for fault in Fault::ALL {
        let mut plan = Plan::new(1, OPERATIONS);
        plan.faults = [(fault, 1)].into();
        plan = plan.without(&[]);
        plan.calm_max = std::time::Duration::from_secs(2);
        let report = elsewhere(plan, false);
        assert_eq!(report.violation, None, "{}", report.plan);
        let count = |what: &str| report.counts.get(what).copied().unwrap_or_default();
        assert!(count(&format!("fault {fault}")) > 0, "{fault}");
        assert!(count("writes acknowledged") > 50, "{fault}");
        assert!(count("reads answered") > 50, "{fault}");
    }
}

/// Seeds that once broke a promise, each with what was wrong.
#[test]
fn what_was_wrong_once_is_right() {
    let regressions = [
        // A node that was removed counted as live for ever where it was known only from before a restart.
        ("removed_node_counted_as_live", 3),
    ];
    for (name, seed) in regressions {
        // As they were found: nobody came or left then.
        let plan = Plan::new(seed, 500).without(&Fault::MEMBERSHIP);
        let report = elsewhere(plan, false);
        assert_eq!(report.violation, None, "{name}: {}", report.plan);
    }
    let with_members_that_change = [
        // A node to which not all had come yet showed the values that it had in the reply of a write.
        ("heir_shows_values", 28),
        ("heir_shows_values", 249),
        // What a node owned no longer counted as young again after each further change of the ring: handed over late, it brought
        // back what had been deleted and forgotten.
        ("strays_grow_young", 1753975213982910),
        // A copy of the disk made since the last start counted one start more than the cluster had seen, as any restart does: it brought back
        // what had been deleted and forgotten.
        ("copy_of_the_last_life", 1753975720450811),
        // A hint whose target lived but took nothing waited for it, by longer and longer pauses, until the delete was forgotten.
        ("hint_waits_too_long", 1753980960652256),
        // Numbers of heartbeats that came late counted as a whole turn of 65,536 more: a node that restarted seemed to have forgotten.
        ("heartbeats_made_up", 1753981696862974),
        ("heartbeats_made_up", 1753981732991412),
        // The one to ask for the removal of the dead node whose place another wanted was streaming from that node, and asked nobody.
        ("streams_from_the_dead", 1753982695929702),
        // The simulator's own: a node that was in no ring yet when it lost its disk came into one after, and was removed by nobody.
        ("dead_before_it_was_in_a_ring", 1753989504366769),
        // Who had met a copy of a disk before it was turned away went on believing in it: its view and the others' never agreed, and a node
        // that waited to be taken up by all waited for ever.
        ("believed_in_a_copy", 1754004883695643),
        // The simulator's own: what confirms tombstones every second was under way at the end.
        ("confirms_at_the_end", 1753982480188949),
        // The simulator's own: a node was to take the place of one that had been leaving, and nobody told it that the place was gone.
        ("place_of_nobody", 1753981216058320),
        // The simulator's own: who had said the last stage of its leave was held to read from owners that have everything, changes later.
        ("left_without_knowing", 1753968044165957),
        // The simulator's own: what went on of a process that had crashed waited for a sync that nobody would make.
        ("dead_process_waits", 1753966096536836),
    ];
    for (name, seed) in with_members_that_change {
        let report = elsewhere(Plan::new(seed, 500), false);
        assert_eq!(report.violation, None, "{name}: {}", report.plan);
    }
}
