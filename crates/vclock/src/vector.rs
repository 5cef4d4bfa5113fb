//! Version vectors: how far each actor's writes are known, without holes.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::inline::InlineVec;
use crate::wire::{self, Format};
use crate::{Actor, ActorId, Dot, Error, sorted};

/// For each actor the counter up to which **all** its dots are known.
///
/// Entries are sorted by actor; up to four live inline, without heap. `PartialOrd` is the causal
/// order: `Less` = happened before, `None` = concurrent. (Parker et al. 1983; Fidge and Mattern
/// 1988.)
///
/// ```
/// use dynamokv_vclock::{Dot, VersionVector};
///
/// let (mut a, mut b) = (VersionVector::new(), VersionVector::new());
/// a.advance(Dot::new(1_u64, 1));
/// b.advance(Dot::new(2, 1));
/// assert_eq!(a.partial_cmp(&b), None); // concurrent
/// b.merge(&a);
/// assert!(a < b);
/// ```
#[derive(Clone, Debug)]
pub struct VersionVector<A = ActorId> {
    /// Sorted by actor, one entry an actor, no counter 0.
    entries: InlineVec<Dot<A>, INLINE>,
}

impl<A: Actor> VersionVector<A> {
    /// Knows nothing.
    pub const fn new() -> Self {
        Self {
            entries: InlineVec::new(),
        }
    }

    /// The counter up to which `actor` is known, 0 if not at all. O(log actors).
    pub fn get(&self, actor: &A) -> u64 {
        self.find(actor).map_or(0, |at| self.entries[at].counter)
    }

    /// Whether `dot` is known. O(log actors).
    pub fn covers(&self, dot: &Dot<A>) -> bool {
        dot.counter <= self.get(&dot.actor)
    }

    /// The dot after the last known one of `actor`; `None` once its 64-bit counter is used up.
    pub fn next_dot(&self, actor: A) -> Option<Dot<A>> {
        self.get(&actor)
            .checked_add(1)
            .map(|counter| Dot { actor, counter })
    }

    /// Names the next event of `actor` and learns it; `None`, and nothing changes, once the 64-bit
    /// counter is used up. O(actors) for a new actor, O(log actors) otherwise.
    ///
    /// This is the whole of issuing where an actor never forgets; see [`issue`](crate::issue) for
    /// those that may.
    pub fn increment(&mut self, actor: A) -> Option<Dot<A>> {
        match self.find(&actor) {
            Ok(at) => {
                let entry = &mut self.entries[at];
                entry.counter = entry.counter.checked_add(1)?;
                Some(*entry)
            }
            Err(at) => {
                let first = Dot::new(actor, 1);
                self.entries.insert(at, first);
                Some(first)
            }
        }
    }

    /// Learns **all** dots of `dot.actor` up to `dot`. Says whether that was news. O(actors) for a
    /// new actor, O(log actors) otherwise.
    pub fn advance(&mut self, dot: Dot<A>) -> bool {
        match self.find(&dot.actor) {
            Ok(at) => self.entries[at].raise(dot.counter),
            Err(_) if dot.counter == 0 => false,
            Err(at) => {
                self.entries.insert(at, dot);
                true
            }
        }
    }

    /// Learns all that `other` knows: the entrywise maximum. Says whether that was news. O(actors
    /// of both); allocates only if actors are new.
    pub fn merge(&mut self, other: &Self) -> bool {
        let (mut raised, mut at) = (false, 0);
        // Mostly both know the same actors.
        for (own, theirs) in self.entries.iter_mut().zip(other.tips()) {
            if own.actor != theirs.actor {
                break;
            }
            raised |= own.raise(theirs.counter);
            at += 1;
        }
        if at < other.len() {
            return self.merge_from(at, other, raised);
        }
        raised
    }

    /// Actors and their counters, ascending by actor.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (A, u64)> + '_ {
        self.entries
            .iter()
            .map(|entry| (entry.actor, entry.counter))
    }

    /// How many actors are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends the canonical form: equal vectors give equal bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        Format::Vector.put(out);
        self.encode_body(out);
    }

    /// Reads what [`VersionVector::encode`] wrote, to the last byte.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::UnknownFormat`], [`Error::NotCanonical`] or
    /// [`Error::TrailingBytes`].
    pub fn decode(mut input: &[u8]) -> Result<Self, Error> {
        Format::Vector.take(&mut input)?;
        let vector = Self::decode_body(&mut input)?;
        wire::finish(input, Format::Vector)?;
        Ok(vector)
    }

    pub(crate) fn encode_body(&self, out: &mut Vec<u8>) {
        wire::put_dots(&self.entries, out);
    }

    pub(crate) fn decode_body(input: &mut &[u8]) -> Result<Self, Error> {
        let count = wire::take_count(input)?;
        let mut vector = Self {
            entries: InlineVec::with_capacity(wire::justified(count, input)),
        };
        for _ in 0..count {
            vector.push(Dot::decode_after(vector.tips().last(), input)?)?;
        }
        Ok(vector)
    }

    /// Appends the entry of a greater actor than all before.
    pub(crate) fn push(&mut self, entry: Dot<A>) -> Result<(), Error> {
        let ascends = self
            .tips()
            .last()
            .is_none_or(|last| last.actor < entry.actor);
        let rule = match (ascends, entry.counter) {
            (false, _) => "actors ascend, one entry an actor",
            (true, 0) => "counters start at 1",
            (true, _) => {
                self.entries.push(entry);
                return Ok(());
            }
        };
        Err(Error::NotCanonical {
            field: Format::Vector.name(),
            rule,
        })
    }

    /// Learns those of the ascending `dots` that follow at once on what is known of their actor,
    /// which must have an entry. O(actors + dots).
    pub(crate) fn follow<'a>(&mut self, dots: impl Iterator<Item = &'a Dot<A>>)
    where
        A: 'a,
    {
        let mut at = 0;
        let entries = &mut *self.entries;
        for dot in dots {
            while entries.get(at).is_some_and(|entry| entry.actor < dot.actor) {
                at += 1;
            }
            if let Some(entry) = entries.get_mut(at)
                && entry.actor == dot.actor
                && entry.counter.checked_add(1) == Some(dot.counter)
            {
                entry.counter = dot.counter;
            }
        }
    }

    /// The entries as dots: the last known one of each actor.
    pub(crate) fn tips(&self) -> &[Dot<A>] {
        &self.entries
    }

    fn find(&self, actor: &A) -> Result<usize, usize> {
        let entries = self.tips();
        let at = if entries.len() <= INLINE {
            entries
                .iter()
                .take_while(|entry| entry.actor < *actor)
                .count()
        } else {
            entries.partition_point(|entry| entry.actor < *actor)
        };
        match entries.get(at) {
            Some(entry) if entry.actor == *actor => Ok(at),
            _ => Err(at),
        }
    }

    /// [`VersionVector::merge`] for any actors, from entry `at` on in both; before it one was
    /// `raised` or not.
    #[inline(never)]
    fn merge_from(&mut self, mut at: usize, other: &Self, mut raised: bool) -> bool {
        let mut missing = 0;
        let mine = &mut *self.entries;
        for theirs in &other.tips()[at..] {
            while mine.get(at).is_some_and(|own| own.actor < theirs.actor) {
                at += 1;
            }
            match mine.get_mut(at) {
                Some(own) if own.actor == theirs.actor => raised |= own.raise(theirs.counter),
                _ => missing += 1,
            }
        }
        if missing > 0 {
            self.adopt(other, missing);
        }
        raised || missing > 0
    }

    /// The causal order of any actors, from entry `at` on in both; before it one had `more` or
    /// `less`. Stops at the first sign of concurrency.
    #[inline(never)]
    fn compare_from(
        &self,
        at: usize,
        other: &Self,
        mut more: bool,
        mut less: bool,
    ) -> Option<Ordering> {
        let (mut mine, mut theirs) = (&self.tips()[at..], &other.tips()[at..]);
        while let ([a, mine_rest @ ..], [b, theirs_rest @ ..]) = (mine, theirs) {
            match a.actor.cmp(&b.actor) {
                Ordering::Less => (more, mine) = (true, mine_rest),
                Ordering::Greater => (less, theirs) = (true, theirs_rest),
                Ordering::Equal => {
                    more |= a.counter > b.counter;
                    less |= a.counter < b.counter;
                    (mine, theirs) = (mine_rest, theirs_rest);
                }
            }
            if more && less {
                return None;
            }
        }
        causal_order(more || !mine.is_empty(), less || !theirs.is_empty())
    }

    /// Takes over the `missing` actors that only `other` knows.
    fn adopt(&mut self, other: &Self, missing: usize) {
        let Some(&filler) = other.tips().first() else {
            return;
        };
        let known = self.entries.len();
        self.entries.grow(missing, filler);
        let theirs = other.tips().iter().rev();
        sorted::interleave(&mut self.entries, known, theirs, |a, b| {
            a.actor.cmp(&b.actor)
        });
    }
}

impl<A: Actor> Default for VersionVector<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Actor> PartialEq for VersionVector<A> {
    fn eq(&self, other: &Self) -> bool {
        self.tips() == other.tips()
    }
}

impl<A: Actor> Eq for VersionVector<A> {}

impl<A: Actor> Hash for VersionVector<A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tips().hash(state);
    }
}

impl<A: Actor> PartialOrd for VersionVector<A> {
    /// The causal order. O(actors of both).
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let (mine, theirs) = (self.tips(), other.tips());
        let (mut more, mut less, mut at) = (false, false, 0);
        // Mostly both know the same actors.
        for (a, b) in mine.iter().zip(theirs) {
            if a.actor != b.actor {
                break;
            }
            more |= a.counter > b.counter;
            less |= a.counter < b.counter;
            at += 1;
        }
        if at < mine.len() || at < theirs.len() {
            return self.compare_from(at, other, more, less);
        }
        causal_order(more, less)
    }
}

impl<A: Actor> FromIterator<Dot<A>> for VersionVector<A> {
    /// Each dot stands for all dots of its actor up to it.
    fn from_iter<I: IntoIterator<Item = Dot<A>>>(dots: I) -> Self {
        let mut vector = Self::new();
        for dot in dots {
            vector.advance(dot);
        }
        vector
    }
}

impl<A: Actor + fmt::Display> fmt::Display for VersionVector<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, entry) in self.tips().iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{entry}")?;
        }
        f.write_str("}")
    }
}

/// The order of two sets, from whether each has something that the other lacks.
pub(crate) fn causal_order(more: bool, less: bool) -> Option<Ordering> {
    match (more, less) {
        (false, false) => Some(Ordering::Equal),
        (true, false) => Some(Ordering::Greater),
        (false, true) => Some(Ordering::Less),
        (true, true) => None,
    }
}

/// Replicas of one key are few: most clocks fit without heap.
const INLINE: usize = 4;
