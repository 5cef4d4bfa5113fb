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
            hybrid_time: value.time.0,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dynamokv_vclock::{ActorId, Dot, Epoch, HybridTime};

    use super::*;

    fn state(values: impl IntoIterator<Item = Value>) -> State {
        let mut state = State::new();
        for (node, value) in (1..).zip(values) {
            let dot = Dot::new(ActorId::new(node, Epoch(1)), 1);
            state.join(State::delta(dot, value, &CausalContext::new()));
        }
        state
    }

    #[test]
    fn deletes_are_hidden_and_identical_values_shown_once_under_the_newest_clock() {
        let at = |millis| HybridTime::new(millis, 0);
        let state = state([
            Value::new(at(1), "a"),
            Value::tombstone(at(9)),
            Value::new(at(2), "a"),
            Value {
                content_type: Some("text/plain".into()),
                ..Value::new(at(3), "b")
            },
        ]);
        let shown = values(&state);
        let summary: Vec<_> = shown
            .iter()
            .map(|v| (v.value.as_ref(), v.time_ms, v.clock.as_str()))
            .collect();
        assert_eq!(
            summary,
            [
                (b"a".as_slice(), 2, "0000000000000003.1@1"),
                (b"b".as_slice(), 3, "0000000000000004.1@1")
            ]
        );
        assert_eq!(shown[1].content_type.as_deref(), Some("text/plain"));
    }

    #[test]
    fn a_local_copy_tells_the_unknown_from_the_deleted() {
        let key = ObjectKey::new("default", "k").unwrap();
        let unknown = local_copy(&key, &ReplicaState::default());
        assert_eq!(
            unknown,
            pb::ReadLocalResponse {
                clock: unknown.clock.clone(),
                ..Default::default()
            }
        );
        let deleted = ReplicaState {
            state: state([Value::tombstone(HybridTime(1))]),
            marked: true,
        };
        let deleted = local_copy(&key, &deleted);
        assert!(deleted.values.is_empty() && deleted.marked);
        assert_eq!((deleted.siblings, deleted.state_hash.len()), (1, 32));
        assert!(!deleted.context.is_empty());
    }
}
