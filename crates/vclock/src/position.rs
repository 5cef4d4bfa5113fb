//! Where a node stands in issuing dots for one key, and when it must not go on from there.

use crate::{ActorId, CausalContext, Dot, Epoch};

/// The last dot that a node issued for one key. It is kept beside the key's replicated state, in
/// the same atomic write, and is **never** replicated.
///
/// It is a promise: "in this epoch I issued nothing for this key beyond this counter". Whoever
/// keeps it must drop ("void") it whenever the promise may be broken:
/// - at any start after an unclean stop, whatever the durability mode: a dot may have left before
///   its write was durable;
/// - when a local write failed or could not be synced while its dot may have left;
/// - when the store was restored from a copy;
/// - when [`Position::survives`] says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Position {
    /// The epoch in which the node issues for this key.
    pub epoch: Epoch,
    /// The counter issued last.
    pub counter: u64,
}

impl Position {
    /// Whether `node` may keep this position when `incoming` is joined to a state whose context is
    /// `before`. An own dot that the node does not know proves that it forgot something: who knows
    /// what else it issued.
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

/// Issues a dot for a write to one key at `node`, and the position to store with it. Call it under
/// the key's lock, and store the position in the same atomic write as the state.
///
/// `known` is the context of the node's own state for the key, `client` the one that the writer
/// passed. The node counts on in its `position`'s epoch unless it has none, or a context shows an
/// own dot that it does not account for: one that `client` covers and `known` does not, or one of
/// the position's epoch beyond its counter. Then the dot is the first of a fresh epoch.
///
/// An own dot of *another* epoch that `known` covers is no reason: after a restore epochs need not
/// ascend, and treating a greater one as suspicious would take a fresh epoch at every write.
///
/// `fresh` draws an epoch that it never returned before, as [`EpochLease`](crate::EpochLease) does.
/// It is asked again while a context shows the epoch as used already (a forged context, or random
/// bits that met), so at most once more than the contexts have actors.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NODE: u64 = 1;

    fn dot(node: u64, epoch: u64, counter: u64) -> Dot {
        Dot::new(ActorId::new(node, Epoch(epoch)), counter)
    }

    /// Issues with epochs drawn from 100 on; `known` and `client` are given as dots.
    fn issued(position: Option<(u64, u64)>, known: &[Dot], client: &[Dot]) -> Dot {
        let position = position.map(|(epoch, counter)| Position {
            epoch: Epoch(epoch),
            counter,
        });
        let context = |dots: &[Dot]| dots.iter().copied().collect();
        let mut draws = (100..).map(Epoch);
        let (dot, position) = issue(NODE, position, &context(known), &context(client), || {
            draws.next().ok_or(())
        })
        .unwrap();
        assert_eq!(position.dot(NODE), dot);
        dot
    }

    #[test]
    fn a_position_is_counted_on_while_all_own_dots_are_accounted_for() {
        let known = [dot(1, 5, 1), dot(1, 5, 2), dot(1, 9, 1), dot(2, 5, 1)];
        let foreign = [dot(1, 5, 2), dot(1, 9, 1), dot(2, 5, 7), dot(0, 5, 1)];
        assert_eq!(issued(Some((5, 2)), &known, &[]), dot(1, 5, 3));
        assert_eq!(issued(Some((5, 2)), &known, &foreign), dot(1, 5, 3));
        assert_eq!(
            issued(Some((5, 8)), &known, &known),
            dot(1, 5, 9),
            "a dot that was lost is not issued again"
        );
    }

    #[test]
    fn a_fresh_epoch_is_taken_where_something_may_be_forgotten() {
        let known = [dot(1, 5, 1), dot(1, 5, 2)];
        assert_eq!(issued(None, &[], &[]), dot(1, 100, 1));
        assert_eq!(issued(None, &known, &known), dot(1, 100, 1));
        assert_eq!(
            issued(Some((5, 1)), &known, &[]),
            dot(1, 100, 1),
            "the state is ahead of the position"
        );
        assert_eq!(
            issued(Some((5, 2)), &known, &[dot(1, 5, 3)]),
            dot(1, 100, 1),
            "the client is ahead of the state"
        );
        assert_eq!(
            issued(Some((5, 2)), &known, &[dot(1, 4, 1)]),
            dot(1, 100, 1),
            "in any epoch"
        );
        assert_eq!(
            issued(Some((5, u64::MAX)), &[], &[]),
            dot(1, 100, 1),
            "no counter is left"
        );
    }

    #[test]
    fn an_epoch_that_a_context_shows_as_used_is_not_taken() {
        for used in [1, u64::MAX] {
            let shown = [dot(1, 100, used)];
            assert_eq!(issued(None, &shown, &[]), dot(1, 101, 1));
            assert_eq!(issued(None, &[], &shown), dot(1, 101, 1));
        }
        assert_eq!(
            issued(None, &[dot(2, 100, 1)], &[]),
            dot(1, 100, 1),
            "another node's epochs are its own"
        );
    }

    #[test]
    fn nothing_is_issued_without_an_epoch() {
        let nothing = CausalContext::new();
        assert_eq!(
            issue(NODE, None, &nothing, &nothing, || Err("used up")),
            Err("used up")
        );
    }

    #[test]
    fn a_position_survives_what_holds_no_unknown_own_dot() {
        let position = Position {
            epoch: Epoch(5),
            counter: 2,
        };
        let known = CausalContext::from_iter([dot(1, 5, 1), dot(1, 5, 2)]);
        let survives =
            |incoming: Dot| position.survives(NODE, &known, &CausalContext::from(incoming));
        assert!(survives(dot(1, 5, 2)) && survives(dot(2, 5, 3)));
        assert!(!survives(dot(1, 5, 3)) && !survives(dot(1, 4, 1)) && !survives(dot(1, 6, 1)));
    }

    /// Knowing a later own dot as a gap is not knowing the earlier ones.
    #[test]
    fn an_own_dot_hidden_behind_a_gap_is_noticed() {
        let known = [dot(1, 5, 2)];
        let client = [dot(1, 5, 1), dot(1, 5, 2)];
        assert_eq!(issued(Some((5, 2)), &known, &client), dot(1, 100, 1));
    }
}
