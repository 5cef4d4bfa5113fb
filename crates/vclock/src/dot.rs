//! One write event.

use std::fmt;
use std::str::FromStr;

use crate::actor::read_back;
use crate::{Actor, ActorId, Error, varint};

/// The name of one write: the `counter`-th of `actor`. Dots order by actor, then by counter.
///
/// Counters start at 1. A dot with counter 0 stands for no event at all: every clock covers it,
/// none keeps it. (Almeida, Baquero et al., "Scalable and Accurate Causality Tracking for
/// Eventually Consistent Stores", 2014.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot<A = ActorId> {
    /// Who wrote.
    pub actor: A,
    /// The how-many-th write of this actor to the key, from 1.
    pub counter: u64,
}

impl<A> Dot<A> {
    /// The `counter`-th write of `actor`.
    pub const fn new(actor: A, counter: u64) -> Self {
        Self { actor, counter }
    }
}

impl<A: Actor> Dot<A> {
    /// Raises the counter to `counter` at least. Says whether that was news.
    pub(crate) fn raise(&mut self, counter: u64) -> bool {
        let news = self.counter < counter;
        self.counter = self.counter.max(counter);
        news
    }

    /// Appends `self` relative to `previous`, a lesser dot.
    pub(crate) fn encode_after(&self, previous: Option<&Self>, out: &mut Vec<u8>) {
        self.actor.encode_after(previous.map(|p| &p.actor), out);
        varint::put(out, self.counter - base(&self.actor, previous));
    }

    /// Reads a dot that is greater than `previous`.
    pub(crate) fn decode_after(previous: Option<&Self>, input: &mut &[u8]) -> Result<Self, Error> {
        let actor = A::decode_after(previous.map(|p| &p.actor), input)?;
        if previous.is_some_and(|p| actor < p.actor) {
            return Err(Error::NotCanonical {
                field: "actor",
                rule: "actors ascend",
            });
        }
        let step = varint::take(input, COUNTER)?;
        if step == 0 {
            return Err(Error::NotCanonical {
                field: COUNTER,
                rule: "counters start at 1 and ascend",
            });
        }
        let counter = base(&actor, previous)
            .checked_add(step)
            .ok_or(Error::NotCanonical {
                field: COUNTER,
                rule: "counters fit 64 bits",
            })?;
        Ok(Self { actor, counter })
    }
}

impl<A: fmt::Display> fmt::Display for Dot<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.actor, self.counter)
    }
}

/// Reads what `Display` shows.
impl FromStr for Dot {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = || {
            let (actor, counter) = text.split_once('@')?;
            Some(Dot::new(actor.parse().ok()?, counter.parse().ok()?))
        };
        let form = "<node, 16 hexadecimal digits>.<epoch, hexadecimal>@<counter>";
        read_back(text, parts(), "dot", form)
    }
}

/// The counter that the next one is written relative to.
fn base<A: Eq>(actor: &A, previous: Option<&Dot<A>>) -> u64 {
    previous
        .filter(|p| p.actor == *actor)
        .map_or(0, |p| p.counter)
}

const COUNTER: &str = "counter";
