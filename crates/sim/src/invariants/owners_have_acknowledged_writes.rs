//! **Whoever is read from has what was acknowledged.** At any time W owners of each ring that some node reads from have every write
//! that was acknowledged strictly with W copies, or what replaced it, where a power loss cannot reach it. So no ring is read before
//! its owners have everything: a transfer that leaves something out, or is taken for complete too early, shows here before
//! anybody misses anything.
//!
//! Sloppy writes may be with fallbacks; `acknowledged_copies_stay_durable` sees to those. While a lost disk is made up for nothing
//! is demanded.

use std::collections::{BTreeMap, BTreeSet};

use dynamokv::ring::NodeId;
use dynamokv::storage::State;

use super::Violation;
use crate::history::{History, Key, Moment, Write, WriteId};

const NAME: &str = "owners_have_acknowledged_writes";

/// What each node's disk would have after a power loss.
pub type NodeDisks = BTreeMap<NodeId, BTreeMap<Key, State>>;

/// Looks at all writes that nothing has replaced; `owners` gives those of a key in each ring that is read from.
///
/// # Errors
/// A write that fewer than W of the owners have.
pub fn check(
    history: &History,
    now: Moment,
    disks: &NodeDisks,
    owners: impl Fn(Key) -> Vec<BTreeSet<NodeId>>,
) -> Result<(), Violation> {
    for key in history.keys() {
        let writes: Vec<(WriteId, &Write)> = history.writes_to(key).collect();
        let replaced = |write: &Write| {
            let seen = |other: &Write| write.dot().is_some_and(|dot| other.context.covers(&dot));
            writes
                .iter()
                .any(|(_, other)| other.possible() && seen(other))
        };
        let rings = owners(key);
        for (id, write) in &writes {
            let Some(dot) = write.dot().filter(|_| write.quorum.strict) else {
                continue;
            };
            if !history.stable(write.invoked, now)
                || replaced(write)
                || history.forgettable(write, now)
            {
                continue;
            }
            for owners in &rings {
                let has_it = |node: &&NodeId| {
                    let copy = disks.get(node).and_then(|disk| disk.get(&key));
                    copy.is_some_and(|state| state.context().covers(&dot))
                };
                let copies = owners.iter().filter(has_it).count();
                if copies < write.quorum.size.min(owners.len()) {
                    let story = format!(
                        "{id} to {key} was acknowledged as {dot} with W = {}, and at {now:?} {copies} of its owners {owners:?} have it",
                        write.quorum.size
                    );
                    return Err(Violation::of_key(NAME, key, story));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dynamokv::storage::Value;
    use dynamokv::vclock::{ActorId, CausalContext, Dot, Epoch, HybridTime};

    use super::*;
    use crate::history::{Quorum, WriteOutcome};

    const KEY: Key = Key(1);

    fn dot() -> Dot {
        Dot::new(ActorId::new(1, Epoch(1)), 1)
    }

    fn acknowledged(strict: bool) -> History {
        let mut history = History::default();
        let at = Duration::from_secs(1);
        let id = history.begin(Write {
            client: 1,
            key: KEY,
            body: Some("v".into()),
            context: CausalContext::new(),
            quorum: Quorum { size: 2, strict },
            invoked: at,
            returned: None,
            outcome: WriteOutcome::Unknown,
        });
        history.end(id, at, WriteOutcome::Acknowledged(dot()));
        history
    }

    /// Whether it holds where these nodes have the write and those own it, in two rings.
    fn holds(history: &History, having: &[u64], owners: [&[u64]; 2]) -> bool {
        let value = Value::new(HybridTime(1), "v");
        let state = State::delta(dot(), value, &CausalContext::new());
        let copy = |id: &u64| (NodeId(*id), BTreeMap::from([(KEY, state.clone())]));
        let disks = having.iter().map(copy).collect();
        let rings = owners.map(|ids| ids.iter().copied().map(NodeId).collect());
        let now = Duration::from_secs(5);
        check(history, now, &disks, |_| rings.to_vec()).is_ok()
    }

    #[test]
    fn each_ring_that_is_read_has_w_owners_with_the_write() {
        let history = acknowledged(true);
        let rings: [&[u64]; 2] = [&[1, 2, 3], &[3, 4, 5]];
        assert!(!holds(&history, &[1, 2, 3], rings), "one of the second");
        assert!(holds(&history, &[2, 3, 4], rings));
        assert!(holds(&history, &[1, 2], [&[1, 2], &[1, 2]]));
        assert!(
            !holds(&history, &[1, 7], [&[1, 2], &[1, 2]]),
            "not an owner"
        );
    }

    #[test]
    fn nothing_is_demanded_of_sloppy_writes_nor_while_a_disk_is_made_up_for() {
        let rings: [&[u64]; 2] = [&[1, 2], &[1, 2]];
        assert!(holds(&acknowledged(false), &[], rings));
        let mut history = acknowledged(true);
        history.unsettle(Duration::from_secs(2));
        assert!(holds(&history, &[], rings));
    }

    #[test]
    fn what_was_replaced_may_go() {
        let mut history = acknowledged(true);
        history.begin(Write {
            client: 1,
            key: KEY,
            body: None,
            context: CausalContext::from(dot()),
            quorum: Quorum {
                size: 2,
                strict: true,
            },
            invoked: Duration::from_secs(2),
            returned: None,
            outcome: WriteOutcome::Unknown,
        });
        assert!(holds(&history, &[], [&[1, 2], &[1, 2]]));
    }
}
