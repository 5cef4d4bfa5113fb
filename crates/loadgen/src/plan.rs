//! What a run is to do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::keys::Pattern;
use crate::mix::{Action, Mix};
use crate::{Error, Result};

/// A run. Equal plans ask for the same keys and values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What is done.
    pub mix: Mix,
    /// To which records.
    pub pattern: Pattern,
    /// Records that are there before the run.
    pub records: u64,
    /// Bytes of each value.
    pub value: ValueSize,
    /// How fast.
    pub pace: Pace,
    /// Time before anything is counted.
    pub warm_up: Duration,
    /// Time that is counted.
    pub duration: Duration,
    /// What a write has seen of its key.
    pub contexts: Contexts,
    /// Of the dice.
    pub seed: u64,
}

/// Bytes of a value, each size of the range equally often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueSize {
    /// The least.
    pub min: usize,
    /// The most.
    pub max: usize,
}

/// When an action begins.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "loop")]
pub enum Pace {
    /// When an earlier one has ended: so many are under way at once. A slow store is asked less often, so latencies say what each of
    /// that many patient users sees, and nothing about what others would.
    Closed {
        /// Actions under way.
        in_flight: usize,
    },
    /// At a time that was fixed beforehand, whatever the store does. Latency counts from that time, so a stall shows in the latency of
    /// all that should have begun during it (no coordinated omission).
    Open {
        /// Actions a second.
        rate: f64,
        /// The times between them.
        arrivals: Arrivals,
        /// Actions under way at most; those beyond wait, and their waiting counts.
        in_flight_max: usize,
    },
}

/// The times between the beginnings of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// All the same.
    Even,
    /// Exponential: independent users.
    Poisson,
}

/// What a write or delete passes as its causal context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contexts {
    /// That of the last read or reply of the key within the run. Where there is none the key is read first, and that counts.
    Remembered,
    /// That of a read which precedes each write, and counts.
    Read,
    /// None: every write is concurrent with all that it replaces, so siblings pile up until they are refused.
    Blind,
}

impl Plan {
    /// One of the YCSB core workloads (`a`, `b`, `c`, `d`, `f`), or a pure mix (`get`, `put`, `insert`, `delete`): its mix and pattern.
    ///
    /// # Errors
    /// [`Error::Plan`] if there is no such workload; `e` is none, as keys of the replicated store have no order to scan.
    pub fn workload(name: &str) -> Result<(Mix, Pattern)> {
        let zipfian = Pattern::Zipfian {
            exponent: Pattern::YCSB_EXPONENT,
        };
        let latest = Pattern::Latest {
            exponent: Pattern::YCSB_EXPONENT,
        };
        let (weights, pattern): (&[(Action, u32)], Pattern) = match name {
            "a" => (&[(Action::Read, 50), (Action::Update, 50)], zipfian),
            "b" => (&[(Action::Read, 95), (Action::Update, 5)], zipfian),
            "c" => (&[(Action::Read, 100)], zipfian),
            "d" => (&[(Action::Read, 95), (Action::Insert, 5)], latest),
            "f" => (
                &[(Action::Read, 50), (Action::ReadModifyWrite, 50)],
                zipfian,
            ),
            "get" => (&[(Action::Read, 1)], Pattern::Uniform),
            "put" => (&[(Action::Update, 1)], Pattern::Uniform),
            "insert" => (&[(Action::Insert, 1)], Pattern::Uniform),
            "delete" => (&[(Action::Delete, 1)], Pattern::Sequential),
            other => {
                return Err(Error::plan(
                    "workload",
                    format!(
                        "{other:?} is none; known are a, b, c, d, f, get, put, insert and delete"
                    ),
                ));
            }
        };
        Ok((Mix::new(weights)?, pattern))
    }

    /// When the last action begins, after the start.
    pub(crate) fn end(&self) -> Duration {
        self.warm_up + self.duration
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Plan`] names the field and its limit.
    pub fn validate(&self) -> Result<()> {
        self.pattern.validate()?;
        Mix::new(self.mix.weights.clone())?;
        let wrong = |field, reason: String| Err(Error::plan(field, reason));
        let inserts = self
            .mix
            .weights
            .iter()
            .all(|(action, weight)| *action == Action::Insert || *weight == 0);
        if self.records == 0 && !inserts {
            return wrong(
                "records",
                "is 0, but must be at least 1 for what reads or changes records".into(),
            );
        }
        if self.value.min > self.value.max {
            return wrong(
                "value",
                format!("{} to {} bytes is no range", self.value.min, self.value.max),
            );
        }
        if self.duration.is_zero() {
            return wrong("duration", "is 0, but must be more".into());
        }
        match self.pace {
            Pace::Closed { in_flight }
            | Pace::Open {
                in_flight_max: in_flight,
                ..
            } if !(1..=IN_FLIGHT_MAX).contains(&in_flight) => wrong(
                "in-flight",
                format!("is {in_flight}, but must be in 1..={IN_FLIGHT_MAX}"),
            ),
            Pace::Open { rate, .. } if !(RATE_MIN..=RATE_MAX).contains(&rate) => wrong(
                "rate",
                format!("is {rate}, but must be in {RATE_MIN}..={RATE_MAX} a second"),
            ),
            _ => Ok(()),
        }
    }
}

const IN_FLIGHT_MAX: usize = 100_000;
const RATE_MIN: f64 = 0.001;
const RATE_MAX: f64 = 10_000_000.0;
