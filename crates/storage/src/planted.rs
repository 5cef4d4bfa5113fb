//! Bugs on purpose, for tests alone: compiled only for the simulator, which proves that its checkers catch each of them.
//!
//! The feature `planted-bugs` compiles the places where a bug can bite; none bites before it is planted, and then only
//! on the thread that planted it.
//!
//! ```
//! use dynamokv_storage::planted::{self, Bug};
//!
//! let bug: Bug = "context-ignored".parse()?;
//! planted::with(Some(bug), || assert!(planted::is(Bug::ContextIgnored)));
//! assert!(!planted::is(Bug::ContextIgnored));
//! # Ok::<_, planted::UnknownBug>(())
//! ```

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use dynamokv_vclock::CausalContext;

use crate::value::State;

/// A programmer's mistake that breaks a promise of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// A hint goes, with its last state, when it is sent and not when its target has acknowledged it.
    HintLostBeforeAck,
    /// The coordinator's own copy counts twice towards W.
    NodeCountedTwice,
    /// A put treats the client's context as empty.
    ContextIgnored,
    /// A voided position is counted on from, and a key without one takes the node's lowest epoch that no context shows.
    EpochReused,
    /// The other replicas get the value under its dot, without what the client had seen.
    DeltaWithoutContext,
    /// A read repair replaces the state of the replica that it reaches.
    RepairOverwrites,
    /// A copy that is held for another replica counts before it is synced.
    FallbackNotDurable,
    /// An exchange between owners replaces the state that it should join.
    ExchangeOverwrites,
    /// Tombstones go at first sight, from whichever owners can be reached.
    TombstoneCollectedEarly,
    /// A node that gains a partition leaves out the last key of each page.
    MoveSkipsKey,
    /// A node that gains a partition takes it for complete when its first page was asked for.
    TransferConfirmedEarly,
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

impl Bug {
    /// Every bug, in the order of the declaration.
    pub const ALL: [Self; 11] = [
        Self::HintLostBeforeAck,
        Self::NodeCountedTwice,
        Self::ContextIgnored,
        Self::EpochReused,
        Self::DeltaWithoutContext,
        Self::RepairOverwrites,
        Self::FallbackNotDurable,
        Self::ExchangeOverwrites,
        Self::TombstoneCollectedEarly,
        Self::MoveSkipsKey,
        Self::TransferConfirmedEarly,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::HintLostBeforeAck => "hint-lost-before-ack",
            Self::NodeCountedTwice => "node-counted-twice",
            Self::ContextIgnored => "context-ignored",
            Self::EpochReused => "epoch-reused",
            Self::DeltaWithoutContext => "delta-without-context",
            Self::RepairOverwrites => "repair-overwrites",
            Self::FallbackNotDurable => "fallback-not-durable",
            Self::ExchangeOverwrites => "exchange-overwrites",
            Self::TombstoneCollectedEarly => "tombstone-collected-early",
            Self::MoveSkipsKey => "move-skips-key",
            Self::TransferConfirmedEarly => "transfer-confirmed-early",
        }
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no [`Bug`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no bug is called {name:?}; known are {}", Bug::ALL.map(Bug::name).join(", "))]
pub struct UnknownBug {
    /// The text.
    pub name: String,
}

impl FromStr for Bug {
    type Err = UnknownBug;

    fn from_str(name: &str) -> Result<Self, UnknownBug> {
        Self::ALL
            .into_iter()
            .find(|bug| bug.name() == name)
            .ok_or_else(|| UnknownBug {
                name: name.to_owned(),
            })
    }
}

/// Plants `bug` on this thread in place of what was planted before, which it returns; `None` plants none.
pub fn plant(bug: Option<Bug>) -> Option<Bug> {
    PLANTED.replace(bug)
}

/// Runs `work` with `bug` planted on this thread. What was planted before is so again afterwards, also after a panic.
pub fn with<R>(bug: Option<Bug>, work: impl FnOnce() -> R) -> R {
    struct Restore(Option<Bug>);

    impl Drop for Restore {
        fn drop(&mut self) {
            plant(self.0);
        }
    }

    let _restore = Restore(plant(bug));
    work()
}

/// Whether `bug` is planted on this thread.
#[must_use]
pub fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// What a coordinator sends of `delta`: all of it, unless [`Bug::DeltaWithoutContext`] is planted.
#[must_use]
pub fn sent(delta: State) -> State {
    if !is(Bug::DeltaWithoutContext) {
        return delta;
    }
    let mut bare = State::new();
    for (dot, value) in delta.values() {
        bare.join(State::delta(*dot, value.clone(), &CausalContext::new()));
    }
    bare
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_bug_is_found_by_its_own_name_and_another_name_is_refused() {
        let names: BTreeSet<String> = Bug::ALL.map(|bug| bug.to_string()).into();
        assert_eq!(names.len(), Bug::ALL.len());
        for bug in Bug::ALL {
            assert_eq!(bug.to_string().parse(), Ok(bug));
        }
        let error = "epoch_reused".parse::<Bug>().unwrap_err().to_string();
        assert!(error.contains("epoch_reused") && error.contains("epoch-reused"));
    }

    #[test]
    fn a_bug_is_planted_on_its_thread_alone_and_gone_afterwards_even_after_a_panic() {
        let bug = Some(Bug::EpochReused);
        let outcome = std::panic::catch_unwind(|| {
            with(bug, || {
                assert!(is(Bug::EpochReused) && !is(Bug::ContextIgnored));
                let elsewhere = std::thread::spawn(|| is(Bug::EpochReused));
                assert!(!elsewhere.join().unwrap());
                with(None, || assert!(!is(Bug::EpochReused)));
                assert!(is(Bug::EpochReused));
                std::panic::resume_unwind(Box::new(()));
            });
        });
        assert!(outcome.is_err());
        assert!(!is(Bug::EpochReused));
    }
}
