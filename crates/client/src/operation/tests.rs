#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::Outcome;

fn causes() -> impl Strategy<Value = Cause> {
    prop::sample::select(vec![
        Cause::NotSent,
        Cause::Lost,
        Cause::Said(ErrorKind::Invalid),
        Cause::Said(ErrorKind::Precondition),
        Cause::Said(ErrorKind::NotApplied),
        Cause::Said(ErrorKind::Unknown),
        Cause::Said(ErrorKind::Overloaded),
        Cause::Said(ErrorKind::Damaged),
        Cause::Said(ErrorKind::Internal),
    ])
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![
        Kind::Read,
        Kind::Write { repeatable: true },
        Kind::Write { repeatable: false },
    ])
}

/// Whether a node that fails so may have carried the write out: the truth that the machine is judged by.
fn carried_out(cause: Cause) -> bool {
    match cause {
        Cause::Lost => true,
        Cause::NotSent => false,
        Cause::Said(kind) => matches!(
            kind,
            ErrorKind::Unknown | ErrorKind::Damaged | ErrorKind::Internal
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Any failures after any times: it ends in time, is sent no more often than allowed, does not repeat what is not safe to
    /// repeat, and says "not applied" only where that is so.
    #[test]
    fn whatever_fails_it_ends_in_time_and_tells_the_truth(
        kind in kinds(),
        failures in prop::collection::vec((causes(), 0..1_500_u64), 40),
        nodes in 1..5_u64,
        hedge_after in prop::option::of(0..300_u64),
        retries in 0..6_u32,
        hedges in 0..2_u32,
        seed in any::<u64>(),
    ) {
        let config = ClientConfig::default();
        let hedge_after = hedge_after.filter(|_| kind == Kind::Read).map(Duration::from_millis);
        let start = Instant::now();
        let timeout = Duration::from_secs(4);
        let mut operation = Operation::new(kind, &config, start, timeout, hedge_after, seed);
        let (mut retries, mut hedges) = (Budget::new(0.0, retries), Budget::new(0.0, hedges));
        let mut now = start;
        let mut failures = failures.into_iter();
        // When, where and how each attempt under way will fail.
        let mut under_way: Vec<(Instant, NodeId, Cause)> = Vec::new();
        let mut ended: Vec<Cause> = Vec::new();
        let mut sent = 0_u32;
        let error = loop {
            match operation.step(now, &mut hedges) {
                Step::GiveUp(error) => break error,
                Step::Send(attempt) => {
                    prop_assert!(now + attempt.timeout <= start + timeout);
                    prop_assert!(attempt.timeout <= config.attempt_timeout);
                    let fresh = (1..=nodes).map(NodeId).find(|node| !operation.tried().contains(node));
                    let Some(node) = attempt.again_at.or(fresh) else {
                        operation.nobody_left(now);
                        continue;
                    };
                    if kind == (Kind::Write { repeatable: false }) {
                        prop_assert!(!ended.iter().any(|cause| carried_out(*cause)), "sent again after {:?}", ended);
                    }
                    if kind != Kind::Read {
                        prop_assert!(under_way.is_empty(), "two attempts of a write at once");
                    }
                    operation.sent(node);
                    sent += 1;
                    let (cause, after) = failures.next().unwrap();
                    let after = Duration::from_millis(after).min(attempt.timeout);
                    under_way.push((now + after, node, cause));
                }
                Step::Wait(until) => {
                    prop_assert!(until > now, "waits for the past");
                    under_way.sort();
                    match under_way.first().copied() {
                        Some((at, node, cause)) if at <= until => {
                            under_way.remove(0);
                            now = now.max(at);
                            ended.push(cause);
                            operation.failed(node, Failed::new(cause, "no"), now, &mut retries);
                        }
                        _ => now = until,
                    }
                }
            }
        };
        prop_assert!(now <= start + timeout);
        prop_assert!(sent <= config.attempts_max + 1);
        let possible = kind != Kind::Read
            && (ended.iter().any(|cause| carried_out(*cause)) || !under_way.is_empty());
        prop_assert_eq!(error.outcome() == Outcome::Unknown, possible, "{:?} after {:?}", error, ended);
        prop_assert_eq!(error.details().unwrap().attempts, sent);
    }
}

impl PartialOrd for Cause {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cause {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        format!("{self:?}").cmp(&format!("{other:?}"))
    }
}

/// A request to three nodes, driven by hand.
struct Driven {
    operation: Operation,
    retries: Budget,
    hedges: Budget,
    now: Instant,
}

impl Driven {
    fn new(kind: Kind, hedge_after: Option<Duration>) -> Self {
        let (config, now) = (ClientConfig::default(), Instant::now());
        let timeout = Duration::from_secs(4);
        Self {
            operation: Operation::new(kind, &config, now, timeout, hedge_after, 7),
            retries: Budget::new(0.0, 10),
            hedges: Budget::new(0.0, 10),
            now,
        }
    }

    fn step(&mut self) -> Step {
        self.operation.step(self.now, &mut self.hedges)
    }

    /// Sends to the first node that was not tried, or to the one that must be asked; and says to whom.
    fn send(&mut self) -> NodeId {
        loop {
            match self.step() {
                Step::Wait(until) => self.now = until,
                Step::Send(attempt) => {
                    let tried: BTreeSet<NodeId> = self.operation.tried().iter().copied().collect();
                    let fresh = (1..=3).map(NodeId).find(|node| !tried.contains(node));
                    let node = attempt.again_at.or(fresh).unwrap();
                    self.operation.sent(node);
                    return node;
                }
                Step::GiveUp(error) => panic!("{error}"),
            }
        }
    }

    fn fail(&mut self, node: NodeId, cause: Cause) {
        self.operation
            .failed(node, Failed::new(cause, "no"), self.now, &mut self.retries);
    }
}

#[test]
fn who_cannot_be_reached_costs_neither_time_nor_budget() {
    let mut driven = Driven::new(Kind::Write { repeatable: false }, None);
    driven.retries = Budget::new(0.0, 0);
    let start = driven.now;
    for node in [1, 2, 3] {
        assert_eq!(driven.send(), NodeId(node));
        driven.fail(NodeId(node), Cause::NotSent);
    }
    assert_eq!(driven.now, start);
}

#[test]
fn an_unknown_write_goes_back_to_the_node_that_remembers_it() {
    let mut driven = Driven::new(Kind::Write { repeatable: true }, None);
    let start = driven.now;
    let first = driven.send();
    driven.fail(first, Cause::Said(ErrorKind::Unknown));
    assert_eq!(driven.send(), first);
    assert!(driven.now >= start + Duration::from_millis(10));
    driven.fail(first, Cause::Lost);
    assert_ne!(
        driven.send(),
        first,
        "where it does not answer, another one is asked"
    );
}

#[test]
fn a_slow_read_is_asked_for_once_more_elsewhere() {
    let mut driven = Driven::new(Kind::Read, Some(Duration::from_millis(20)));
    let start = driven.now;
    let first = driven.send();
    let second = driven.send();
    assert_ne!(first, second);
    assert_eq!(driven.now, start + Duration::from_millis(20));
    // One failing is no reason to ask a third one while the other is under way.
    driven.fail(first, Cause::Lost);
    assert!(matches!(driven.step(), Step::Wait(_)));
    driven.fail(second, Cause::Lost);
    assert_eq!(driven.send(), NodeId(3));
}

#[test]
fn without_a_budget_nothing_is_sent_again() {
    let mut driven = Driven::new(Kind::Read, Some(Duration::from_millis(20)));
    (driven.retries, driven.hedges) = (Budget::new(0.0, 0), Budget::new(0.0, 0));
    let first = driven.send();
    driven.now += Duration::from_millis(30);
    assert!(matches!(driven.step(), Step::Wait(_)), "no hedge");
    driven.fail(first, Cause::Said(ErrorKind::Overloaded));
    let Step::GiveUp(error) = driven.step() else {
        panic!("it goes on");
    };
    assert!(matches!(error, Error::Overloaded(_)), "{error}");
}
