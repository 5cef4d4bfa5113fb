//! Random histories of one perfect copy, told truly: every invariant must hold. Then one thing about
//! them is made wrong: it must be noticed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use dynamokv::storage::{State, Value, shown};
use dynamokv::vclock::{ActorId, CausalContext, Dot, Epoch, HybridTime};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::testing::OWNERS;
use super::*;
use crate::end::NodeEnd;
use crate::history::{Quorum, Read, Shown, Write, WriteId, WriteOutcome};

#[derive(Debug, Clone)]
struct Operation {
    key: Key,
    what: What,
    /// Which of the contexts that were handed out for the key so far is given, or none.
    held: Index,
    node: u64,
    fate: Fate,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Read,
    Put,
    Delete,
    /// The last put to the key once more, as a client does that got no answer.
    Retry,
}

/// What happens to a write, and what its client hears.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Acknowledged,
    AppliedUnheard,
    LostUnheard,
    Refused,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let what = prop_oneof![
        3 => Just(What::Read),
        4 => Just(What::Put),
        1 => Just(What::Delete),
        1 => Just(What::Retry),
    ];
    let fate = prop_oneof![
        6 => Just(Fate::Acknowledged),
        2 => Just(Fate::AppliedUnheard),
        1 => Just(Fate::LostUnheard),
        1 => Just(Fate::Refused),
    ];
    let operation = (0..2_u32, what, any::<Index>(), 1..4_u64, fate);
    let operation = operation.prop_map(|(key, what, held, node, fate)| Operation {
        key: Key(key),
        what,
        held,
        node,
        fate,
    });
    vec(operation, 1..60)
}

/// What one perfect copy of a key went through.
#[derive(Default)]
struct Perfect {
    state: State,
    /// The applied writes and what they changed.
    deltas: Vec<(WriteId, State)>,
    /// The contexts that clients got.
    handed_out: Vec<CausalContext>,
    last_put: Option<(Bytes, CausalContext)>,
}

#[derive(Default)]
struct Run {
    history: History,
    keys: BTreeMap<Key, Perfect>,
}

impl Run {
    fn of(operations: &[Operation]) -> Self {
        let mut run = Self::default();
        for (step, operation) in (0..).zip(operations) {
            run.step(step, operation);
        }
        run
    }

    fn step(&mut self, step: u64, operation: &Operation) {
        let perfect = self.keys.entry(operation.key).or_default();
        let held = operation.held.index(perfect.handed_out.len() + 1);
        let held = perfect.handed_out.get(held).cloned().unwrap_or_default();
        let fresh = || Bytes::from(format!("value {step}"));
        let (body, context) = match operation.what {
            What::Read => {
                let read = read(operation.key, step, &perfect.state);
                perfect.handed_out.push(read.context.clone());
                return self.history.read(read);
            }
            What::Delete => (None, held),
            What::Put => (Some(fresh()), held),
            What::Retry => {
                let (body, context) = perfect.last_put.clone().unwrap_or((fresh(), held));
                (Some(body), context)
            }
        };
        if let Some(body) = &body {
            perfect.last_put = Some((body.clone(), context.clone()));
        }
        let actor = ActorId::new(operation.node, Epoch(1));
        let dot = Dot::new(actor, perfect.state.context().highest(&actor) + 1);
        let (invoked, returned) = times(step);
        let id = self.history.begin(Write {
            client: 1,
            key: operation.key,
            body: body.clone(),
            context: context.clone(),
            quorum: MAJORITY,
            invoked,
            returned: None,
            outcome: WriteOutcome::Unknown,
        });
        if matches!(operation.fate, Fate::Acknowledged | Fate::AppliedUnheard) {
            let time = HybridTime::new(step, 0);
            let value = Value {
                time,
                body,
                content_type: None,
            };
            let delta = State::delta(dot, value, &context);
            perfect.state.join_ref(&delta);
            perfect.deltas.push((id, delta));
        }
        match operation.fate {
            Fate::Acknowledged => {
                let mut reply = context;
                reply.insert(dot);
                perfect.handed_out.push(reply);
                let outcome = WriteOutcome::Acknowledged(dot);
                self.history.end(id, returned, outcome);
            }
            Fate::Refused => {
                let outcome = WriteOutcome::Refused("busy".to_owned());
                self.history.end(id, returned, outcome);
            }
            Fate::AppliedUnheard | Fate::LostUnheard => {}
        }
    }

    /// All owners keep the perfect copy, but one keeps `odd` of one key.
    fn end(&self, odd: Option<(Key, State)>) -> End {
        let perfect = self
            .keys
            .iter()
            .filter(|(_, kept)| !kept.state.is_unknown());
        let copies: BTreeMap<Key, State> = perfect
            .map(|(key, kept)| (*key, kept.state.clone()))
            .collect();
        let node = NodeEnd {
            copies,
            ..NodeEnd::default()
        };
        let mut end = End {
            replicas: OWNERS.len(),
            nodes: OWNERS.into_iter().map(|id| (id, node.clone())).collect(),
            owners: self.keys.keys().map(|key| (*key, OWNERS.into())).collect(),
            settled_after: Some(Duration::ZERO),
            ..End::default()
        };
        if let Some((key, state)) = odd {
            let node = end.nodes.get_mut(&OWNERS[1]).unwrap();
            node.copies.insert(key, state);
        }
        end
    }

    /// The acknowledged writes that no write which may have been applied had seen.
    fn standing(&self) -> Vec<(WriteId, Key, Dot)> {
        let standing = self.history.writes().filter_map(|(id, write)| {
            let dot = write.dot()?;
            let mut others = self.history.writes_to(write.key);
            let replaced = others.any(|(_, other)| other.possible() && other.context.covers(&dot));
            (!replaced).then_some((id, write.key, dot))
        });
        standing.collect()
    }
}

fn read(key: Key, step: u64, state: &State) -> Read {
    let (invoked, returned) = times(step);
    let shown = shown(state).into_iter().map(|value| Shown {
        body: value.body.clone().unwrap(),
        dot: *state
            .values()
            .find(|(_, kept)| std::ptr::eq(*kept, value))
            .unwrap()
            .0,
    });
    Read {
        client: 2,
        key,
        quorum: MAJORITY,
        invoked,
        returned,
        shown: shown.collect(),
        context: state.context().clone(),
    }
}

fn times(step: u64) -> (Duration, Duration) {
    (
        Duration::from_secs(2 * step),
        Duration::from_secs(2 * step + 1),
    )
}

fn joined<'a>(deltas: impl IntoIterator<Item = &'a State>) -> State {
    let mut state = State::new();
    for delta in deltas {
        state.join_ref(delta);
    }
    state
}

const MAJORITY: Quorum = Quorum {
    size: 2,
    strict: true,
};

proptest! {
    #[test]
    fn a_perfect_store_breaks_no_promise(operations in operations()) {
        let run = Run::of(&operations);
        prop_assert_eq!(check(&run.history, &run.end(None)), Ok(()));
    }

    #[test]
    fn a_write_that_one_owner_lost_is_missed(operations in operations(), which in any::<Index>()) {
        let run = Run::of(&operations);
        let standing = run.standing();
        prop_assume!(!standing.is_empty());
        let (id, key, _) = standing[which.index(standing.len())];
        let kept = run.keys[&key].deltas.iter().filter(|(other, _)| *other != id);
        let end = run.end(Some((key, joined(kept.map(|(_, delta)| delta)))));
        let violation = no_acknowledged_write_lost::check(&run.history, &end).unwrap_err();
        prop_assert!(violation.story.starts_with(&format!("{id} ")), "{}", violation);
    }

    #[test]
    fn a_write_applied_without_its_context_leaves_siblings_that_are_noticed(
        operations in operations(),
        which in any::<Index>(),
    ) {
        let run = Run::of(&operations);
        let acknowledged: Vec<_> = run.history.writes().filter(|(_, write)| write.dot().is_some()).collect();
        prop_assume!(!acknowledged.is_empty());
        let (id, write) = acknowledged[which.index(acknowledged.len())];
        let perfect = &run.keys[&write.key];
        let bare = |delta: &State| {
            let (dot, value) = delta.values().next().unwrap();
            State::delta(*dot, value.clone(), &CausalContext::new())
        };
        let deltas: Vec<State> = perfect
            .deltas
            .iter()
            .map(|(other, delta)| if *other == id { bare(delta) } else { delta.clone() })
            .collect();
        let odd = joined(&deltas);
        let replaced_is_back = !odd.values().eq(perfect.state.values());
        let result = siblings_are_concurrent::check(&run.history, &run.end(Some((write.key, odd))));
        prop_assert_eq!(result.is_err(), replaced_is_back);
    }

    #[test]
    fn a_value_that_a_read_hides_but_claims_to_have_seen_is_missed(
        operations in operations(),
        which in any::<Index>(),
    ) {
        let run = Run::of(&operations);
        let standing = run.standing();
        let hideable: Vec<(usize, usize)> = run
            .history
            .reads()
            .iter()
            .enumerate()
            .flat_map(|(at, read)| (0..read.shown.len()).map(move |place| (at, place)))
            .filter(|(at, place)| {
                let read = &run.history.reads()[*at];
                let shown = read.shown[*place].dot;
                standing.iter().any(|(_, key, dot)| (*key, *dot) == (read.key, shown))
            })
            .collect();
        prop_assume!(!hideable.is_empty());
        let (at, place) = hideable[which.index(hideable.len())];
        let honest = &run.history.reads()[at];
        let mut hiding = honest.clone();
        hiding.shown.remove(place);
        let mut history = run.history.clone();
        history.read(hiding);
        let violation = no_acknowledged_write_lost::check(&history, &run.end(None)).unwrap_err();
        prop_assert!(violation.story.contains("which it does not show"), "{}", violation);
    }
}
