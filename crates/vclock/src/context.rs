//! Causal contexts: exact sets of dots, written as a version vector and the dots beyond it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::inline::InlineVec;
use crate::sorted::{self, Walk};
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
#[derive(Clone, Debug)]
pub struct CausalContext<A: Actor = ActorId> {
    vector: VersionVector<A>,
    /// Sorted; each at least two beyond the vector's counter for its actor.
    gaps: InlineVec<Dot<A>, INLINE_GAPS>,
}

impl<A: Actor> CausalContext<A> {
    /// The empty set: nothing was seen.
    pub const fn new() -> Self {
        Self {
            vector: VersionVector::new(),
            gaps: InlineVec::new(),
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

    /// Adds all dots of `other`: the union. Says whether one was new. O(entries of both); allocates
    /// only if the list of actors or of gaps grows.
    pub fn merge(&mut self, other: &Self) -> bool {
        let advanced = self.vector.merge(&other.vector);
        if self.gaps.is_empty() && other.gaps.is_empty() {
            return advanced;
        }
        self.merge_gaps(other, advanced)
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

    /// A subset that has none of `dots`, which ascend: of each actor all that comes before the first of its `dots`, and the gaps.
    pub(crate) fn without(&self, dots: impl Iterator<Item = Dot<A>>) -> Self {
        let mut left_out: Vec<Dot<A>> = dots.collect();
        let first_of = |left_out: &[Dot<A>], actor: &A| {
            let at = left_out.partition_point(|dot| dot.actor < *actor);
            left_out
                .get(at)
                .filter(|dot| dot.actor == *actor)
                .map(|dot| dot.counter)
        };
        let mut subset = Self::new();
        for (actor, counter) in self.vector.iter() {
            let before =
                first_of(&left_out, &actor).map_or(counter, |first| counter.min(first - 1));
            if before > 0 {
                subset.vector.advance(Dot::new(actor, before));
            }
        }
        left_out.dedup();
        for gap in self.gaps() {
            if left_out.binary_search(&gap).is_err() {
                subset.insert(gap);
            }
        }
        subset
    }

    /// Answers for dots that ascend what [`CausalContext::covers`] answers for one: all of them in
    /// O(entries + dots).
    pub(crate) fn cover(&self) -> Cover<'_, A> {
        Cover {
            tips: Walk::new(self.vector.tips()),
            gaps: Walk::new(&self.gaps),
        }
    }

    pub(crate) fn encode_body(&self, out: &mut Vec<u8>) {
        self.vector.encode_body(out);
        wire::put_dots(&self.gaps, out);
    }

    pub(crate) fn decode_body(input: &mut &[u8]) -> Result<Self, Error> {
        let vector = VersionVector::decode_body(input)?;
        let count = wire::take_count(input)?;
        let mut gaps = InlineVec::with_capacity(wire::justified(count, input));
        for _ in 0..count {
            gaps.push(Dot::decode_after(gaps.last(), input)?);
        }
        Self::from_parts(vector, gaps)
    }

    /// The context of a vector and the dots beyond it, if they are written as they must be.
    pub(crate) fn from_parts(
        vector: VersionVector<A>,
        gaps: InlineVec<Dot<A>, INLINE_GAPS>,
    ) -> Result<Self, Error> {
        let mut tips = Walk::new(vector.tips());
        let rule = if !gaps.is_sorted_by(|a, b| a < b) {
            "gaps ascend"
        } else if !gaps.iter().all(|gap| is_gap(gap, &mut tips)) {
            "contiguous dots are in the vector"
        } else {
            return Ok(Self { vector, gaps });
        };
        Err(Error::NotCanonical {
            field: Format::Context.name(),
            rule,
        })
    }

    /// The gaps' part of [`CausalContext::merge`], after the vectors'.
    fn merge_gaps(&mut self, other: &Self, advanced: bool) -> bool {
        let grown = self.missing_gaps(other) > 0;
        if !(advanced || grown) {
            return false;
        }
        self.vector.follow(sorted::merged(&self.gaps, &other.gaps));
        self.drop_covered();
        // Only those count as new that did not go into the vector.
        let (known, missing) = (self.gaps.len(), self.missing_gaps(other));
        if let Some(&filler) = other.gaps.first().filter(|_| missing > 0) {
            self.gaps.grow(missing, filler);
            let beyond = other
                .gaps
                .iter()
                .rev()
                .filter(|gap| !self.vector.covers(gap));
            sorted::interleave(&mut self.gaps, known, beyond, Ord::cmp);
        }
        true
    }

    fn missing_gaps(&self, other: &Self) -> usize {
        let mut cover = self.cover();
        other.gaps.iter().filter(|gap| !cover.covers(gap)).count()
    }

    /// Moves gaps that have become contiguous into the vector.
    fn compact(&mut self) {
        self.vector.follow(self.gaps.iter());
        self.drop_covered();
    }

    fn drop_covered(&mut self) {
        let mut tips = Walk::new(self.vector.tips());
        self.gaps.retain(|gap| is_gap(gap, &mut tips));
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

/// Asks a context about dots that ascend. See [`CausalContext::cover`].
pub(crate) struct Cover<'a, A> {
    tips: Walk<'a, Dot<A>>,
    gaps: Walk<'a, Dot<A>>,
}

impl<A: Actor> Cover<'_, A> {
    pub(crate) fn covers(&mut self, dot: &Dot<A>) -> bool {
        dot.counter <= tip_of(&dot.actor, &mut self.tips)
            || self.gaps.seek(|gap| gap < dot) == Some(dot)
    }
}

impl<A: Actor> Default for CausalContext<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Actor> PartialEq for CausalContext<A> {
    fn eq(&self, other: &Self) -> bool {
        self.vector == other.vector && *self.gaps == *other.gaps
    }
}

impl<A: Actor> Eq for CausalContext<A> {}

impl<A: Actor> Hash for CausalContext<A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.vector.hash(state);
        self.gaps.hash(state);
    }
}

impl<A: Actor> PartialOrd for CausalContext<A> {
    /// The subset order. O(entries of both).
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let vectors = self.vector.partial_cmp(&other.vector);
        if self.gaps.is_empty() && other.gaps.is_empty() {
            return vectors;
        }
        let exceeds = |a: &Self, b: &Self| {
            let mut cover = b.cover();
            a.gaps.iter().any(|gap| !cover.covers(gap))
        };
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
            gaps: InlineVec::new(),
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

/// Whether `dot` is beyond the tip of its actor, and not the next one either.
fn is_gap<A: Actor>(dot: &Dot<A>, tips: &mut Walk<'_, Dot<A>>) -> bool {
    dot.counter.saturating_sub(tip_of(&dot.actor, tips)) > 1
}

/// The counter up to which `actor` is known, 0 if not at all.
fn tip_of<A: Actor>(actor: &A, tips: &mut Walk<'_, Dot<A>>) -> u64 {
    match tips.seek(|tip| tip.actor < *actor) {
        Some(tip) if tip.actor == *actor => tip.counter,
        _ => 0,
    }
}

/// Most contexts have no gap; a write that has not seen the one before it makes one.
pub(crate) const INLINE_GAPS: usize = 1;
