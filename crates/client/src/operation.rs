//! One request with its retries and its hedge, without I/O: what happened goes in, what to do next comes out.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use dynamokv_coordinator::{Answer, ErrorKind};
use dynamokv_ring::NodeId;

use crate::budget::Budget;
use crate::transport::{Cause, Failed};
use crate::{ClientConfig, Details, Error};

/// What may be done with a request whose fate is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sent again at any time.
    Read,
    /// Sent again if it is `repeatable`, or if nothing was done.
    Write { repeatable: bool },
}

/// What to do now.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Send it; tell by [`Operation::sent`] to whom, or by [`Operation::nobody_left`] that there is nobody.
    Send(Attempt),
    /// Nothing until then, unless an attempt ends before.
    Wait(Instant),
    /// It has failed.
    GiveUp(Error),
}

/// An attempt to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Whom to ask: this node, or whoever is best of those not tried yet.
    pub(crate) again_at: Option<NodeId>,
    /// How long it may take.
    pub(crate) timeout: Duration,
}

/// What an attempt was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    First,
    Again,
    Hedge,
}

/// A request under way.
pub(crate) struct Operation {
    kind: Kind,
    deadline: Instant,
    attempt_timeout: Duration,
    attempts_left: u32,
    pauses: Pauses,
    /// When to send next, and to whom; `None` while an attempt is under way.
    due: Option<(Instant, Option<NodeId>)>,
    hedge_at: Option<Instant>,
    hedging: bool,
    in_flight: u32,
    sent: u32,
    tried: Vec<NodeId>,
    /// Whether some attempt may have been carried out.
    uncertain: bool,
    over: bool,
    last: Option<Failed>,
}

impl Operation {
    /// A request that may take `timeout`, and is hedged after `hedge_after`. `seed` is for the jitter.
    pub(crate) fn new(
        kind: Kind,
        config: &ClientConfig,
        now: Instant,
        timeout: Duration,
        hedge_after: Option<Duration>,
        seed: u64,
    ) -> Self {
        Self {
            kind,
            deadline: now + timeout,
            attempt_timeout: config.attempt_timeout,
            attempts_left: config.attempts_max,
            pauses: Pauses::new(config, seed),
            due: Some((now, None)),
            hedge_at: hedge_after.map(|after| now + after),
            hedging: false,
            in_flight: 0,
            sent: 0,
            tried: Vec::new(),
            uncertain: false,
            over: false,
            last: None,
        }
    }

    /// What to do now. A hedge is paid for from `hedges`.
    pub(crate) fn step(&mut self, now: Instant, hedges: &mut Budget) -> Step {
        let left = self.deadline.saturating_duration_since(now);
        if self.over || left.is_zero() {
            return Step::GiveUp(self.verdict());
        }
        let timeout = left.min(self.attempt_timeout);
        if let Some((at, again_at)) = self.due {
            if now < at {
                return Step::Wait(at.min(self.deadline));
            }
            return Step::Send(Attempt { again_at, timeout });
        }
        if let Some(at) = self.hedge_at {
            if now < at {
                return Step::Wait(at.min(self.deadline));
            }
            self.hedge_at = None;
            if hedges.spend() {
                self.hedging = true;
                let again_at = None;
                return Step::Send(Attempt { again_at, timeout });
            }
        }
        Step::Wait(self.deadline)
    }

    /// The attempt was sent.
    pub(crate) fn sent(&mut self, node: NodeId) -> Sent {
        let sent = match (std::mem::take(&mut self.hedging), self.sent) {
            (true, _) => Sent::Hedge,
            (false, 0) => Sent::First,
            (false, _) => Sent::Again,
        };
        if sent != Sent::Hedge {
            self.attempts_left = self.attempts_left.saturating_sub(1);
        }
        self.due = None;
        self.sent += 1;
        self.in_flight += 1;
        self.tried.push(node);
        sent
    }

    /// It is sent to one node at a time.
    pub(crate) fn do_not_hedge(&mut self) {
        self.hedge_at = None;
    }

    /// Everybody was tried: after a pause it goes round again. A hedge is given up.
    pub(crate) fn nobody_left(&mut self, now: Instant) {
        if !std::mem::take(&mut self.hedging) {
            self.tried.clear();
            self.due = Some((now + self.pauses.next(), None));
        }
    }

    /// An attempt has failed. One more is paid for from `retries`, unless this one never reached a node.
    pub(crate) fn failed(
        &mut self,
        node: NodeId,
        failed: Failed,
        now: Instant,
        retries: &mut Budget,
    ) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let cause = failed.cause;
        self.uncertain |= self.kind != Kind::Read && may_be_applied(cause);
        self.last = Some(failed.at(node));
        let next = after(self.kind, cause);
        if next == Next::GiveUp {
            self.over = true;
            return;
        }
        // The hedge goes on.
        if self.in_flight > 0 {
            return;
        }
        self.hedge_at = None;
        if self.attempts_left == 0 || (cause != Cause::NotSent && !retries.spend()) {
            self.over = true;
            return;
        }
        self.due = Some(match next {
            Next::Elsewhere => (now, None),
            Next::ElsewhereLater => (now + self.pauses.next(), None),
            Next::SameLater | Next::GiveUp => (now + self.pauses.next(), Some(node)),
        });
    }

    /// The nodes that were asked since everybody was.
    pub(crate) fn tried(&self) -> &[NodeId] {
        &self.tried
    }

    /// How often it was sent.
    pub(crate) fn attempts(&self) -> u32 {
        self.sent
    }

    fn verdict(&mut self) -> Error {
        let silent = self.in_flight > 0;
        let failed = self.last.take().unwrap_or_else(|| {
            let cause = if silent { Cause::Lost } else { Cause::NotSent };
            Failed::new(cause, "nothing came within the time that the call may take")
        });
        let is_write = self.kind != Kind::Read;
        let kind = match failed.cause {
            _ if self.uncertain || (is_write && silent) => ErrorKind::Unknown,
            // A read leaves nothing to be unknown.
            Cause::NotSent | Cause::Lost | Cause::Said(ErrorKind::Unknown) => ErrorKind::NotApplied,
            Cause::Said(kind) => kind,
        };
        let answers = failed.answers.into_iter();
        let details = Details {
            message: failed.message,
            // What a later release says beyond is left out.
            answers: answers
                .filter_map(|answer| Answer::try_from(answer).ok())
                .collect(),
            attempts: self.sent,
        };
        Error::of(kind, details)
    }
}

/// Pauses between attempts: exponential, with jitter.
pub(crate) struct Pauses {
    pauses: ExponentialBackoff,
    greatest: Duration,
}

impl Pauses {
    pub(crate) fn new(config: &ClientConfig, seed: u64) -> Self {
        let builder = ExponentialBuilder::new()
            .with_min_delay(config.backoff_min)
            .with_max_delay(config.backoff_max)
            .without_max_times()
            .with_jitter()
            .with_jitter_seed(seed);
        Self {
            pauses: builder.build(),
            greatest: config.backoff_max,
        }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.pauses.next().unwrap_or(self.greatest);
        pause.min(self.greatest)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GiveUp,
    Elsewhere,
    ElsewhereLater,
    /// There the first attempt is remembered.
    SameLater,
}

fn after(kind: Kind, cause: Cause) -> Next {
    use ErrorKind::{Invalid, NotApplied, Overloaded, Precondition, Unknown};
    match (kind, cause) {
        (_, Cause::NotSent) => Next::Elsewhere,
        (_, Cause::Said(Invalid | Precondition)) => Next::GiveUp,
        (_, Cause::Said(NotApplied | Overloaded)) => Next::ElsewhereLater,
        (Kind::Write { repeatable: false }, _) => Next::GiveUp,
        (Kind::Write { repeatable: true }, Cause::Said(Unknown)) => Next::SameLater,
        (_, Cause::Lost | Cause::Said(_)) => Next::Elsewhere,
    }
}

fn may_be_applied(cause: Cause) -> bool {
    use ErrorKind::{Invalid, NotApplied, Overloaded, Precondition};
    !matches!(
        cause,
        Cause::NotSent | Cause::Said(Invalid | Precondition | NotApplied | Overloaded)
    )
}

#[cfg(test)]
mod tests;
