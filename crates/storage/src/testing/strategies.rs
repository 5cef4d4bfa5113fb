//! Random states that can occur: built by joining deltas.

use std::sync::Arc;

use dynamokv_vclock::{ActorId, CausalContext, Dot, Epoch, HybridTime};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::value::{State, Value};

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let content_type = proptest::option::of("[a-z/]{0,8}").prop_map(|text| text.map(Arc::from));
    let body = proptest::option::of(vec(any::<u8>(), 0..24));
    (any::<u64>(), body, content_type).prop_map(|(time, body, content_type)| Value {
        time: HybridTime(time),
        body: body.map(Into::into),
        content_type,
    })
}

/// Writes by actors 1..=3 with random contexts; different values never share a dot.
pub(crate) fn state() -> impl Strategy<Value = State> {
    vec((1u64..4, vec((1u64..4, 1u64..6), 0..3), value()), 0..6).prop_map(|writes| {
        let mut state = State::new();
        for (nth, (node, seen, value)) in writes.into_iter().enumerate() {
            let actor = |node| ActorId::new(node, Epoch(0));
            let client: CausalContext = seen
                .into_iter()
                .map(|(node, counter)| Dot::new(actor(node), counter))
                .collect();
            // Leaves gaps, and is beyond every counter that a context may have seen.
            let dot = Dot::new(actor(node), 6 + 2 * nth as u64);
            state.join(State::delta(dot, value, &client));
        }
        state
    })
}
