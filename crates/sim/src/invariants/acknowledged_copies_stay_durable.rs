//! **An acknowledged write is on W disks.** When a write is acknowledged, W different nodes have it where a power loss
//! cannot reach it; and so it stays, whatever is handed over to whom, until a later write replaces it. (A copy counts if the
//! node's state covers the write: it has it, or what replaced it.)
//!
//! Unlike the others this is looked at during the run, with the disks before it: [`at_acknowledgement`] for the one
//! write, [`ever_after`] for all. While a lost disk is being replaced nothing is demanded, except of the other checks.

use std::collections::BTreeMap;

use dynamokv::storage::State;
use dynamokv::vclock::Dot;

use super::Violation;
use crate::history::{History, Key, Moment, Write, WriteId};

const NAME: &str = "acknowledged_copies_stay_durable";

/// What the disk of each place would have after a power loss.
pub type Disks = Vec<BTreeMap<Key, State>>;

/// At the moment when the client hears of it.
///
/// # Errors
/// Fewer than W disks have it.
pub fn at_acknowledgement(
    history: &History,
    id: WriteId,
    now: Moment,
    disks: &Disks,
) -> Result<(), Violation> {
    let Some(write) = history.write(id) else {
        return Ok(());
    };
    match write.dot() {
        Some(dot) if demanded(history, write, now) => demand(
            id,
            write,
            (dot, history.copies_owed(write, now)),
            now,
            disks,
        ),
        _ => Ok(()),
    }
}

/// At any moment: all writes that nothing has replaced, and that were acknowledged since disks were lost last.
///
/// # Errors
/// One that is on fewer than W disks.
pub fn ever_after(history: &History, now: Moment, disks: &Disks) -> Result<(), Violation> {
    for key in history.keys() {
        let writes: Vec<(WriteId, &Write)> = history.writes_to(key).collect();
        for (id, write) in &writes {
            let Some(dot) = write.dot() else { continue };
            let replaced = writes
                .iter()
                .any(|(_, other)| other.possible() && other.context.covers(&dot));
            if !replaced && demanded(history, write, now) {
                let owed = history.copies_owed(write, now);
                demand(*id, write, (dot, owed), now, disks)?;
            }
        }
    }
    Ok(())
}

fn demanded(history: &History, write: &Write, now: Moment) -> bool {
    history.stable(write.invoked, now) && !history.forgettable(write, now)
}

fn demand(
    id: WriteId,
    write: &Write,
    (dot, owed): (Dot, usize),
    now: Moment,
    disks: &Disks,
) -> Result<(), Violation> {
    let has_it = |disk: &&BTreeMap<Key, State>| {
        disk.get(&write.key)
            .is_some_and(|state| state.context().covers(&dot))
    };
    let copies = disks.iter().filter(has_it).count();
    if copies >= owed {
        return Ok(());
    }
    let story = format!(
        "{id} to {} was acknowledged as {dot} with W = {}, and at {now:?} it is on {copies} disks",
        write.key, write.quorum.size
    );
    Err(Violation::of_key(NAME, write.key, story))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dynamokv::storage::Value;
    use dynamokv::vclock::{ActorId, CausalContext, Epoch, HybridTime};

    use super::*;
    use crate::history::{Quorum, WriteOutcome};

    const KEY: Key = Key(1);

    fn dot(counter: u64) -> Dot {
        Dot::new(ActorId::new(1, Epoch(1)), counter)
    }

    fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    fn acknowledged(history: &mut History, counter: u64, context: CausalContext) -> WriteId {
        let id = history.begin(Write {
            client: 1,
            key: KEY,
            body: Some("v".into()),
            context,
            quorum: Quorum {
                size: 2,
                strict: false,
            },
            invoked: at(counter),
            returned: None,
            outcome: WriteOutcome::Unknown,
        });
        history.end(id, at(counter), WriteOutcome::Acknowledged(dot(counter)));
        id
    }

    fn disks(having: usize) -> Disks {
        let value = Value::new(HybridTime(1), "v");
        let state = State::delta(dot(1), value, &CausalContext::new());
        (0..3)
            .map(|place| {
                let copy = (place < having).then(|| (KEY, state.clone()));
                copy.into_iter().collect()
            })
            .collect()
    }

    #[test]
    fn w_disks_have_what_was_acknowledged_then_and_ever_after() {
        let mut history = History::default();
        let id = acknowledged(&mut history, 1, CausalContext::new());
        for (having, holds) in [(0, false), (1, false), (2, true), (3, true)] {
            let disks = disks(having);
            let then = at_acknowledgement(&history, id, at(2), &disks);
            assert_eq!(then.is_ok(), holds, "{having}");
            let later = ever_after(&history, at(9), &disks);
            assert_eq!(later.is_ok(), holds, "{having}");
        }
    }

    #[test]
    fn what_was_replaced_may_go() {
        let mut history = History::default();
        acknowledged(&mut history, 1, CausalContext::new());
        let seen = CausalContext::from(dot(1));
        let id = acknowledged(&mut history, 2, seen);
        history.end(id, at(3), WriteOutcome::Unknown);
        assert_eq!(ever_after(&history, at(9), &disks(0)), Ok(()));
        history.end(id, at(3), WriteOutcome::Refused("full".into()));
        assert!(ever_after(&history, at(9), &disks(0)).is_err());
    }

    #[test]
    fn nothing_is_demanded_while_a_lost_disk_is_replaced_nor_of_what_came_before() {
        let mut history = History::default();
        let id = acknowledged(&mut history, 1, CausalContext::new());
        history.unsettle(at(5));
        assert_eq!(ever_after(&history, at(6), &disks(1)), Ok(()));
        assert_eq!(at_acknowledgement(&history, id, at(6), &disks(1)), Ok(()));
        history.settle(at(7));
        assert_eq!(ever_after(&history, at(9), &disks(1)), Ok(()));
        acknowledged(&mut history, 8, CausalContext::new());
        assert!(ever_after(&history, at(9), &disks(1)).is_err());
    }
}
