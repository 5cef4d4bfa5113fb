//! States as people and clients see them.

use bytes::Bytes;
use dynamokv_coordinator::ReplicaState;
use dynamokv_storage::{ObjectKey, State, StateHash, Value, shown};
use dynamokv_vclock::{CausalContext, ContextToken};

use crate::convert::saturating_u32;
use crate::pb;

/// The values of a state as a reader is shown them: deletes beside live values are hidden, identical values are
/// shown once, under the newest clock. O(values * log values).
pub fn values(state: &State) -> Vec<pb::Value> {
    // `shown` keeps the order of the dots, so one walk finds each value's dot again.
    let mut dotted = state.values();
    let show = |value: &Value| {
        let (dot, value) =
            dotted.find(|(_, candidate)| std::ptr::eq::<Value>(*candidate, value))?;
        Some(pb::Value {
            value: value.body.clone().unwrap_or_default(),
            content_type: value.content_type.as_ref().map(ToString::to_string),
            time_ms: value.time.millis(),
            clock: dot.to_string(),
        })
    };
    shown(state).into_iter().filter_map(show).collect()
}

/// A node's own copy as the answer to [`ReadLocal`](crate::AdminService::read_local).
pub fn local_copy(key: &ObjectKey, copy: &ReplicaState) -> pb::ReadLocalResponse {
    let state = &copy.state;
    let known = !state.context().is_empty();
    pb::ReadLocalResponse {
        values: values(state),
        context: seal(state.context(), key),
        siblings: saturating_u32(state.len()),
        clock: state.context().to_string(),
        marked: copy.marked,
        state_hash: if known {
            StateHash::of(key, state).to_string()
        } else {
            String::new()
        },
    }
}

pub(crate) fn seal(context: &CausalContext, key: &ObjectKey) -> Bytes {
    ContextToken::seal(context, key.keyspace().as_str().as_bytes(), key.key()).into()
}
