//! Causal contexts: exact sets of dots, written as a version vector and the dots beyond it.

use std::cmp::Ordering;
use std::fmt;

use crate::vector::causal_order;
use crate::wire::{self, Format};
use crate::{Actor, ActorId, Dot, Error, VersionVector};

/// A set of dots: what a client has seen, or what a replica knows of a key.
///
/// It is a version vector plus **gaps**: dots further on than the first unknown one of their actor.
/// It is always compact: a gap that becomes contiguous moves into the vector, so equal sets are
/// equal values and equal bytes. `PartialOrd` is the subset order; `None` = concurrent. (Malkhi and
/// Terry, "Concise Version Vectors in WinFS", 2005.)
///
/// ```
/// use dynamokv_vclock::{CausalContext, Dot};
///
/// let mut seen = CausalContext::from(Dot::new(7_u64, 3));
/// assert_eq!(seen.gaps().count(), 1);
/// seen.insert(Dot::new(7, 1));
/// seen.insert(Dot::new(7, 2));
/// assert_eq!((seen.gaps().count(), seen.vector().get(&7)), (0, 3));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CausalContext<A: Actor = ActorId> {
    vector: VersionVector<A>,
    /// Sorted; each at least two beyond the vector's counter for its actor.
    gaps: Vec<Dot<A>>,
}

impl<A: Actor> CausalContext<A> {
    /// The empty set: nothing was seen.
    pub const fn new() -> Self {
        Self {
            vector: VersionVector::new(),
            gaps: Vec::new(),
        }
    }

    /// Whether `dot` is in the set. O(log entries).
    pub fn covers(&self, dot: &Dot<A>) -> bool {
        self.vector.covers(dot) || self.gaps.binary_search(dot).is_ok()
    }

    /// Adds one dot. Says whether it was new. O(entries) where the lists grow or a gap closes,
    /// O(log entries) otherwise.
    pub fn insert(&mut self, dot: Dot<A>) -> bool {
        if self.vector.covers(&dot) {
            return false;
        }
        if self.vector.next_dot(dot.actor) == Some(dot) {
            self.vector.advance(dot);
            if !self.gaps.is_empty() {
                self.compact();
            }
            return true;
        }
        match self.gaps.binary_search(&dot) {
            Ok(_) => false,
            Err(at) => {
                self.gaps.insert(at, dot);
                true
            }
        }
    }

    /// Adds all dots of `other`: the union. Says whether one was new. O(entries of both) without
    /// gaps, O(entries x log) with; allocates only if something grows.
    pub fn merge(&mut self, other: &Self) -> bool {
        let advanced = self.vector.merge(&other.vector);
        let known = self.gaps.len();
        for gap in &other.gaps {
            let is_new = !self.vector.covers(gap) && self.gaps[..known].binary_search(gap).is_err();
            if is_new {
                self.gaps.push(*gap);
            }
        }
        let grown = self.gaps.len() > known;
        if grown {
            self.gaps.sort(); // two sorted runs: linear
        }
        if (advanced || grown) && !self.gaps.is_empty() {
            self.compact();
        }
        advanced || grown
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.vector.is_empty() && self.gaps.is_empty()
    }

    /// The number of entries, gaps included: a measure of its size in memory and on the wire, not
    /// of the dots in it.
    pub fn len(&self) -> usize {
        self.vector.len() + self.gaps.len()
    }

    /// The contiguous part.
    pub fn vector(&self) -> &VersionVector<A> {
        &self.vector
    }

    /// The dots beyond the contiguous part, ascending.
    pub fn gaps(&self) -> impl ExactSizeIterator<Item = Dot<A>> + '_ {
        self.gaps.iter().copied()
    }

    /// The greatest counter seen of `actor`, gaps included; 0 if none. O(log entries).
    pub fn highest(&self, actor: &A) -> u64 {
        let end = self.gaps.partition_point(|gap| gap.actor <= *actor);
        match self.gaps[..end].last() {
            Some(gap) if gap.actor == *actor => gap.counter,
            _ => self.vector.get(actor),
        }
    }

    /// Every actor of which a dot was seen, ascending.
    pub fn actors(&self) -> impl Iterator<Item = A> + '_ {
        let (mut tips, mut gaps) = (self.vector.tips(), &self.gaps[..]);
        std::iter::from_fn(move || {
            let next = [tips.first(), gaps.first()]
                .into_iter()
                .flatten()
                .map(|dot| dot.actor)
                .min()?;
            for list in [&mut tips, &mut gaps] {
                while let Some((_, rest)) =
                    list.split_first().filter(|(first, _)| first.actor == next)
                {
                    *list = rest;
                }
            }
            Some(next)
        })
    }

    /// Appends the canonical form: equal sets give equal bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        Format::Context.put(out);
        self.encode_body(out);
    }

    /// Reads what [`CausalContext::encode`] wrote, to the last byte.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::UnknownFormat`], [`Error::NotCanonical`] or
    /// [`Error::TrailingBytes`].
    pub fn decode(mut input: &[u8]) -> Result<Self, Error> {
        Format::Context.take(&mut input)?;
        let context = Self::decode_body(&mut input)?;
        wire::finish(input, Format::Context)?;
        Ok(context)
    }

    pub(crate) fn encode_body(&self, out: &mut Vec<u8>) {
        self.vector.encode_body(out);
        wire::put_dots(&self.gaps, out);
    }

    pub(crate) fn decode_body(input: &mut &[u8]) -> Result<Self, Error> {
        let vector = VersionVector::decode_body(input)?;
        let count = wire::take_count(input)?;
        let mut gaps = Vec::with_capacity(wire::justified(count, input));
        for _ in 0..count {
            let gap = Dot::decode_after(gaps.last(), input)?;
            if !is_gap(&gap, &vector) {
                return Err(Error::NotCanonical {
                    field: Format::Context.name(),
                    rule: "contiguous dots are in the vector",
                });
            }
            gaps.push(gap);
        }
        Ok(Self { vector, gaps })
    }

    /// Moves gaps that have become contiguous into the vector. They ascend, so one pass closes
    /// whole runs.
    fn compact(&mut self) {
        let vector = &mut self.vector;
        self.gaps.retain(|gap| {
            let keep = is_gap(gap, vector);
            if !keep {
                vector.advance(*gap);
            }
            keep
        });
    }
}

impl CausalContext {
    /// Whether `other` has a dot of `node`, in any epoch, that `self` lacks. O(own entries x log
    /// entries).
    pub fn lacks_dots_of(&self, node: u64, other: &Self) -> bool {
        // Compact sets: all dots up to a tip are known only if the vector covers it, not if it is a
        // gap.
        own_dots(node, other.vector.tips()).any(|tip| !self.vector.covers(tip))
            || own_dots(node, &other.gaps).any(|gap| !self.covers(gap))
    }
}

impl<A: Actor> Default for CausalContext<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Actor> PartialOrd for CausalContext<A> {
    /// The subset order. O(entries of both) without gaps.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let vectors = self.vector.partial_cmp(&other.vector);
        let exceeds = |a: &Self, b: &Self| a.gaps.iter().any(|gap| !b.covers(gap));
        let more = matches!(vectors, None | Some(Ordering::Greater)) || exceeds(self, other);
        let less = matches!(vectors, None | Some(Ordering::Less)) || exceeds(other, self);
        causal_order(more, less)
    }
}

impl<A: Actor> From<Dot<A>> for CausalContext<A> {
    /// The set of this one dot.
    fn from(dot: Dot<A>) -> Self {
        Self::from_iter([dot])
    }
}

impl<A: Actor> From<VersionVector<A>> for CausalContext<A> {
    fn from(vector: VersionVector<A>) -> Self {
        Self {
            vector,
            gaps: Vec::new(),
        }
    }
}

impl<A: Actor> FromIterator<Dot<A>> for CausalContext<A> {
    fn from_iter<I: IntoIterator<Item = Dot<A>>>(dots: I) -> Self {
        let mut context = Self::new();
        context.extend(dots);
        context
    }
}

impl<A: Actor> Extend<Dot<A>> for CausalContext<A> {
    fn extend<I: IntoIterator<Item = Dot<A>>>(&mut self, dots: I) {
        for dot in dots {
            self.insert(dot);
        }
    }
}

impl<A: Actor + fmt::Display> fmt::Display for CausalContext<A> {
    /// The vector, then each gap after a `+`: `{a@3, b@1} + b@4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.vector)?;
        self.gaps.iter().try_for_each(|gap| write!(f, " + {gap}"))
    }
}

/// The part of an ascending list that is about `node`, in all its epochs.
fn own_dots(node: u64, dots: &[Dot]) -> impl Iterator<Item = &Dot> {
    let first = dots.partition_point(|dot| dot.actor.node < node);
    dots[first..]
        .iter()
        .take_while(move |dot| dot.actor.node == node)
}

/// Whether `dot` is unknown to `vector` and not the next one either.
fn is_gap<A: Actor>(dot: &Dot<A>, vector: &VersionVector<A>) -> bool {
    dot.counter.saturating_sub(vector.get(&dot.actor)) > 1
}
