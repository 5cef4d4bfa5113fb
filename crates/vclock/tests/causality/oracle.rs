//! What is true by definition, kept in plain sets without any compression.

use std::collections::{BTreeMap, BTreeSet};

use dynamokv_vclock::{ActorId, CausalContext, Dot, Epoch, Siblings};

pub(crate) type Dots = BTreeSet<Dot>;

/// One write: what its client had seen, and the value.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) seen: Dots,
    pub(crate) value: u32,
}

/// All writes that a replica has heard of. Joining is the union of two such sets, so its laws need
/// no proof.
#[derive(Clone, Debug, Default)]
pub(crate) struct History(BTreeMap<Dot, Event>);

impl History {
    pub(crate) fn learn(&mut self, dot: Dot, event: &Event) {
        self.0.entry(dot).or_insert_with(|| event.clone());
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for (dot, event) in &other.0 {
            self.learn(*dot, event);
        }
    }

    pub(crate) fn contains(&self, dot: &Dot) -> bool {
        self.0.contains_key(dot)
    }

    /// The writes that no other write has seen.
    pub(crate) fn living(&self) -> BTreeMap<Dot, u32> {
        let superseded: Dots = self
            .0
            .values()
            .flat_map(|event| &event.seen)
            .copied()
            .collect();
        let living = self.0.iter().filter(|(dot, _)| !superseded.contains(dot));
        living.map(|(dot, event)| (*dot, event.value)).collect()
    }

    /// All writes heard of, themselves or through a client's context.
    pub(crate) fn dots(&self) -> Dots {
        let seen = self.0.values().flat_map(|event| &event.seen);
        self.0.keys().chain(seen).copied().collect()
    }

    /// Panics unless `state` is what this history makes of a key.
    pub(crate) fn check(&self, state: &Siblings<u32>) {
        assert_eq!(values(state), self.living());
        assert_eq!(dots(state.context()), self.dots());
    }
}

pub(crate) fn dot(node: u64, counter: u64) -> Dot {
    Dot::new(ActorId::new(node, Epoch(0)), counter)
}

pub(crate) fn values(state: &Siblings<u32>) -> BTreeMap<Dot, u32> {
    state.values().map(|(dot, value)| (*dot, *value)).collect()
}

/// The dots of a context one by one. Panics unless the context is compact.
pub(crate) fn dots(context: &CausalContext) -> Dots {
    let contiguous = context.vector().iter();
    let mut dots: Dots = contiguous
        .flat_map(|(actor, n)| (1..=n).map(move |c| Dot::new(actor, c)))
        .collect();
    for gap in context.gaps() {
        assert!(
            gap.counter > context.vector().get(&gap.actor) + 1,
            "{gap} is not a gap in {context}"
        );
        assert!(dots.insert(gap));
    }
    dots
}
