//! The shortest workload and the fewest faults that still break the same promise, where that is cheap to find.

use crate::plan::{Fault, Plan};
use crate::run::Report;

/// Makes a plan that breaks a promise smaller, as long as `run` shows that it still breaks the same one. Greedy, and
/// bounded by some dozens of runs; what it finds may not be the least.
///
/// Gives the report of the smallest plan found; `failed` itself where nothing smaller fails.
pub fn shrink(failed: Report, run: impl Fn(Plan) -> Report) -> Report {
    let mut search = Search {
        broken: failed
            .violation
            .as_ref()
            .map(|violation| violation.invariant),
        best: failed,
        run,
        runs_left: RUNS_MAX,
    };
    if search.broken.is_none() {
        return search.best;
    }
    while search.round() {}
    search.best
}

struct Search<R> {
    broken: Option<&'static str>,
    best: Report,
    run: R,
    runs_left: usize,
}

impl<R: Fn(Plan) -> Report> Search<R> {
    /// Tries to take away a little of everything; whether something could be taken.
    fn round(&mut self) -> bool {
        let mut smaller = false;
        for part in [2, 4, 8, 16] {
            while self.attempt(|plan| plan.operations -= plan.operations.div_ceil(part)) {
                smaller = true;
            }
        }
        let faults: Vec<Fault> = self.best.plan.faults.keys().copied().collect();
        for fault in faults {
            smaller |= self.attempt(|plan| *plan = plan.clone().without(&[fault]));
        }
        smaller |= self.attempt(|plan| plan.clients = plan.clients.div_ceil(2));
        smaller |= self.attempt(|plan| plan.keys = plan.keys.div_ceil(2));
        smaller
    }

    fn attempt(&mut self, change: impl Fn(&mut Plan)) -> bool {
        let mut plan = self.best.plan.clone();
        change(&mut plan);
        let same = plan.arguments() == self.best.plan.arguments();
        if same || plan.operations == 0 || self.runs_left == 0 {
            return false;
        }
        self.runs_left -= 1;
        let report = (self.run)(plan);
        let fails = report
            .violation
            .as_ref()
            .is_some_and(|violation| Some(violation.invariant) == self.broken);
        if fails {
            self.best = report;
        }
        fails
    }
}

const RUNS_MAX: usize = 60;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use crate::invariants::Violation;

    /// Breaks something where there are enough operations and the fault is among the faults.
    fn run(plan: Plan) -> Report {
        let breaks = plan.operations >= 37 && plan.faults.contains_key(&Fault::Crash);
        let violation = breaks.then(|| Violation {
            invariant: "bounded",
            key: None,
            story: String::new(),
        });
        Report {
            plan,
            violation,
            digest: 0,
            events: 0,
            virtual_time: Duration::ZERO,
            counts: Default::default(),
            trace: Vec::new(),
        }
    }

    #[test]
    fn what_is_not_needed_to_fail_is_taken_away() {
        let faults = [Fault::Loss, Fault::Crash, Fault::Delay];
        let has_them = |plan: &Plan| faults.iter().all(|fault| plan.faults.contains_key(fault));
        let plans = (1..100).map(|seed| Plan::new(seed, 500));
        let plan = plans.into_iter().find(has_them).unwrap();
        let shrunk = shrink(run(plan), run).plan;
        assert!((37..45).contains(&shrunk.operations), "{shrunk}");
        assert_eq!(
            shrunk.faults.keys().collect::<Vec<_>>(),
            [&Fault::Crash],
            "{shrunk}"
        );
        assert_eq!((shrunk.clients, shrunk.keys), (1, 1));
        assert!(run(shrunk).violation.is_some());
    }

    #[test]
    fn a_run_that_kept_every_promise_is_left_as_it_is() {
        let plan = Plan::new(1, 10);
        assert_eq!(
            shrink(run(plan.clone()), run).plan.arguments(),
            plan.arguments()
        );
    }
}
