//! Sibling sets: what a replica holds of one key.

use crate::context::Cover;
use crate::sorted::Walk;
use crate::wire::{self, Format};
use crate::{Actor, ActorId, CausalContext, Dot, Error, varint};

/// The concurrent values of a key, each under the dot of the write that made it, and the context of
/// all writes known.
///
/// A value lives until a write is joined whose context covers its dot. So [`Siblings::join`] needs
/// no tombstones of its own: a dot that the context covers and that has no value was superseded. It
/// is a dotted causal container, the optimised OR-set of Bieniusa et al. (2012) with the deltas of
/// Almeida et al. ("Delta State Replicated Data Types", 2018).
///
/// Two states that hold **different** values under one dot cannot be joined meaningfully;
/// [`issue`](crate::issue) exists so that this never happens.
///
/// ```
/// use dynamokv_vclock::{CausalContext, Dot, Siblings};
///
/// let mut replica = Siblings::new();
/// let nothing_seen = CausalContext::new();
/// replica.join(Siblings::delta(Dot::new(1_u64, 1), "milk", &nothing_seen));
/// replica.join(Siblings::delta(Dot::new(2, 1), "eggs", &nothing_seen));
/// assert_eq!(replica.len(), 2); // concurrent: both are kept
///
/// let seen = replica.context().clone();
/// replica.join(Siblings::delta(Dot::new(1, 2), "milk, eggs", &seen));
/// assert_eq!(replica.values().map(|(_, v)| *v).collect::<Vec<_>>(), ["milk, eggs"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Siblings<V, A: Actor = ActorId> {
    context: CausalContext<A>,
    /// Sorted by dot; each dot is covered by `context`.
    values: Vec<(Dot<A>, V)>,
}

impl<V, A: Actor> Siblings<V, A> {
    /// A key that was never written.
    pub const fn new() -> Self {
        Self {
            context: CausalContext::new(),
            values: Vec::new(),
        }
    }

    /// What one write changes: its value, and a context of what the client had seen plus the write
    /// itself. Joined to any replica, in any order and however often, it has the effect of the
    /// write.
    ///
    /// `dot` must be fresh: not covered by `client`, and never used for another value (see
    /// [`issue`](crate::issue)).
    pub fn delta(dot: Dot<A>, value: V, client: &CausalContext<A>) -> Self {
        let mut context = client.clone();
        context.insert(dot);
        Self {
            context,
            values: vec![(dot, value)],
        }
    }

    /// All writes known, those with a living value and those superseded.
    pub fn context(&self) -> &CausalContext<A> {
        &self.context
    }

    /// The living values, ascending by dot.
    pub fn values(&self) -> impl ExactSizeIterator<Item = (&Dot<A>, &V)> + '_ {
        self.values.iter().map(|(dot, value)| (dot, value))
    }

    /// How many values live.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether no value lives.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether no write is known at all.
    pub fn is_unknown(&self) -> bool {
        self.context.is_empty()
    }

    /// Learns all that `other` knows. A value stays if both sides have it or if the other side's
    /// context does not cover it; the contexts are united. Commutative, associative, idempotent.
    /// Says whether anything changed.
    ///
    /// O(entries + values) of both sides; allocates only if something grows.
    pub fn join(&mut self, other: Self) -> bool {
        let superseded = self.drop_superseded(&other);
        let mut incoming = other.values;
        let mut known = self.context.cover();
        incoming.retain(|(dot, _)| !known.covers(dot));
        self.take_in(incoming, &other.context) || superseded
    }

    /// [`Siblings::join`] by reference: clones only the values that are new here.
    pub fn join_ref(&mut self, other: &Self) -> bool
    where
        V: Clone,
    {
        let superseded = self.drop_superseded(other);
        let mut known = self.context.cover();
        let incoming = other.values.iter().filter(|(dot, _)| !known.covers(dot));
        let incoming = incoming.cloned().collect();
        self.take_in(incoming, &other.context) || superseded
    }

    /// The least that brings `replica` up to this state, which is to include all that `replica` knows: what a repair sends.
    /// Values that both hold stay out. Joined to any other replica it says nothing but the truth, as every part of a state.
    ///
    /// Where the contexts differ in a way that few dots cannot say, this whole state. O(entries + values) of both.
    pub fn missing_in(&self, replica: &Self) -> Self
    where
        V: Clone,
    {
        let held = |dot: &Dot<A>| replica.context.covers(dot);
        let mut context = self
            .context
            .without(self.values.iter().map(|(dot, _)| *dot).filter(held));
        let values: Vec<_> = self
            .values
            .iter()
            .filter(|(dot, _)| !held(dot))
            .cloned()
            .collect();
        for (dot, _) in &values {
            context.insert(*dot);
        }
        let superseded =
            |dot: &&Dot<A>| self.values.binary_search_by_key(dot, |(at, _)| at).is_err();
        for dot in replica.values.iter().map(|(dot, _)| dot).filter(superseded) {
            context.insert(*dot);
        }
        let mut reached = replica.context.clone();
        reached.merge(&context);
        if reached == self.context {
            Self { context, values }
        } else {
            self.clone()
        }
    }

    /// The same set with each value replaced.
    pub fn map<W>(self, mut change: impl FnMut(&Dot<A>, V) -> W) -> Siblings<W, A> {
        let values = self
            .values
            .into_iter()
            .map(|(dot, value)| (dot, change(&dot, value)))
            .collect();
        Siblings {
            context: self.context,
            values,
        }
    }

    /// Takes the set apart: the context, and the values ascending by dot.
    pub fn into_parts(self) -> (CausalContext<A>, Vec<(Dot<A>, V)>) {
        (self.context, self.values)
    }

    /// Appends the canonical form. Equal states give equal bytes if `put_value` gives equal bytes
    /// for equal values.
    pub fn encode_with(&self, out: &mut Vec<u8>, mut put_value: impl FnMut(&V, &mut Vec<u8>)) {
        Format::Siblings.put(out);
        self.context.encode_body(out);
        varint::put(out, self.values.len() as u64);
        let mut previous = None;
        for (dot, value) in &self.values {
            dot.encode_after(previous, out);
            put_value(value, out);
            previous = Some(dot);
        }
    }

    /// Takes what [`Siblings::encode_with`] wrote off the front of `input`. `take_value` must read
    /// exactly what its counterpart wrote.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::UnknownFormat`] or [`Error::NotCanonical`], or what
    /// `take_value` returns.
    pub fn decode_with<E: From<Error>>(
        input: &mut &[u8],
        mut take_value: impl FnMut(&mut &[u8]) -> Result<V, E>,
    ) -> Result<Self, E> {
        Format::Siblings.take(input)?;
        let context = CausalContext::decode_body(input)?;
        let count = wire::take_count(input)?;
        let mut values: Vec<(Dot<A>, V)> = Vec::new();
        let mut cover = context.cover();
        for _ in 0..count {
            let dot = Dot::decode_after(values.last().map(|(dot, _)| dot), input)?;
            covered(&mut cover, &dot)?;
            values.push((dot, take_value(input)?));
        }
        Ok(Self { context, values })
    }

    /// The set of a context and values, if they are written as they must be.
    #[cfg(feature = "serde")]
    pub(crate) fn from_parts(
        context: CausalContext<A>,
        values: Vec<(Dot<A>, V)>,
    ) -> Result<Self, Error> {
        if !values.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(Error::NotCanonical {
                field: Format::Siblings.name(),
                rule: "values ascend by dot",
            });
        }
        let mut cover = context.cover();
        values
            .iter()
            .try_for_each(|(dot, _)| covered(&mut cover, dot))?;
        Ok(Self { context, values })
    }

    /// Drops the values that `other` has seen and no longer holds.
    fn drop_superseded(&mut self, other: &Self) -> bool {
        let before = self.values.len();
        let (mut seen, mut held) = (other.context.cover(), Walk::new(&other.values));
        self.values.retain(|(dot, _)| {
            !seen.covers(dot)
                || held
                    .seek(|(at, _)| at < dot)
                    .is_some_and(|(at, _)| at == dot)
        });
        self.values.len() < before
    }

    /// Takes in values that the own context does not cover, and the context that they came with.
    fn take_in(&mut self, incoming: Vec<(Dot<A>, V)>, context: &CausalContext<A>) -> bool {
        if self.values.is_empty() {
            self.values = incoming;
        } else if !incoming.is_empty() {
            self.values.extend(incoming);
            self.values.sort_by_key(|(dot, _)| *dot); // two sorted runs: linear
        }
        self.context.merge(context) // news if a value was: its dot was not covered
    }
}

impl<V, A: Actor> Default for Siblings<V, A> {
    fn default() -> Self {
        Self::new()
    }
}

fn covered<A: Actor>(context: &mut Cover<'_, A>, dot: &Dot<A>) -> Result<(), Error> {
    if context.covers(dot) {
        Ok(())
    } else {
        Err(Error::NotCanonical {
            field: Format::Siblings.name(),
            rule: "the context covers every value",
        })
    }
}
