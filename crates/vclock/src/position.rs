//! Where a node stands in issuing dots for one key, and when it must not go on from there.

use crate::{ActorId, CausalContext, Dot, Epoch};

/// The last dot that a node issued for one key. It is kept beside the key's replicated state, in the same atomic write, and is
/// **never** replicated.
///
/// It is a promise: "in this epoch I issued nothing for this key beyond this counter". Whoever keeps it must drop ("void") it
/// whenever the promise may be broken:
/// - at any start after an unclean stop, whatever the durability mode: a dot may have left before its write was durable;
/// - when a local write failed or could not be synced while its dot may have left;
/// - when the store was restored from a copy;
/// - when [`Position::survives`] says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The epoch in which the node issues for this key.
    pub epoch: Epoch,
    /// The counter issued last.
    pub counter: u64,
}

impl Position {
    /// Whether `node` may keep this position when `incoming` is joined to a state whose context is `before`. An own dot that the
    /// node does not know proves that it forgot something: who knows what else it issued.
    pub fn survives(self, node: u64, before: &CausalContext, incoming: &CausalContext) -> bool {
        !before.lacks_dots_of(node, incoming)
    }

    /// The dot issued last, by `node`.
    pub const fn dot(self, node: u64) -> Dot {
        Dot::new(ActorId::new(node, self.epoch), self.counter)
    }

    /// Whether `node` may count on from here, judged by its state and the writing client's context.
    fn holds(self, node: u64, known: &CausalContext, client: &CausalContext) -> bool {
        self.survives(node, known, client)
            && known.highest(&ActorId::new(node, self.epoch)) <= self.counter
    }

    fn next(self) -> Option<Self> {
        self.counter
            .checked_add(1)
            .map(|counter| Self { counter, ..self })
    }
}

/// Issues a dot for a write to one key at `node`, and the position to store with it. Call it under the key's lock, and store the
/// position in the same atomic write as the state.
///
/// `known` is the context of the node's own state for the key, `client` the one that the writer passed. The node counts on in its
/// `position`'s epoch unless it has none, or a context shows an own dot that it does not account for: one that `client` covers and
/// `known` does not, or one of the position's epoch beyond its counter. Then the dot is the first of a fresh epoch.
///
/// An own dot of *another* epoch that `known` covers is no reason: after a restore epochs need not ascend, and
/// treating a greater one as suspicious would take a fresh epoch at every write.
///
/// `fresh` draws an epoch that it never returned before, as [`EpochLease`](crate::EpochLease) does. It is asked again while a context
/// shows the epoch as used already (a forged context, or random bits that met), so at most once more than the contexts have actors.
///
/// # Errors
/// Only what `fresh` returns; nothing was issued then.
///
/// ```
/// use dynamokv_vclock::{CausalContext, Epoch, issue};
///
/// let nothing = CausalContext::new();
/// let fresh = || Ok::<_, std::convert::Infallible>(Epoch(40));
/// let (first, position) = issue(1, None, &nothing, &nothing, fresh)?;
/// assert_eq!((first.actor.epoch, first.counter), (Epoch(40), 1));
///
/// let known = CausalContext::from(first);
/// let (second, _) = issue(1, Some(position), &known, &known, fresh)?;
/// assert_eq!((second.actor, second.counter), (first.actor, 2));
/// # Ok::<_, std::convert::Infallible>(())
/// ```
pub fn issue<E>(
    node: u64,
    position: Option<Position>,
    known: &CausalContext,
    client: &CausalContext,
    mut fresh: impl FnMut() -> Result<Epoch, E>,
) -> Result<(Dot, Position), E> {
    let counted_on = position
        .filter(|position| position.holds(node, known, client))
        .and_then(Position::next);
    let issued = match counted_on {
        Some(position) => position,
        None => loop {
            let epoch = fresh()?;
            let actor = ActorId::new(node, epoch);
            if known.highest(&actor) == 0 && client.highest(&actor) == 0 {
                break Position { epoch, counter: 1 };
            }
        },
    };
    Ok((issued.dot(node), issued))
}
