//! What becomes of siblings when they are read.

use crate::{NewValue, Value};

/// Makes one value of several. What it makes is shown to the reader; it is stored when the reader writes it back.
///
/// It should give the same for the same values in any order, and for what it made before: else two clients that merge at the same
/// time make siblings again.
pub trait Resolver: Send + Sync + 'static {
    /// One value in place of these, two or more; `None` keeps them.
    fn resolve(&self, siblings: &[Value]) -> Option<NewValue>;
}

/// Keeps all siblings: the application merges. The default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeepSiblings;

impl Resolver for KeepSiblings {
    fn resolve(&self, _: &[Value]) -> Option<NewValue> {
        None
    }
}

/// Takes the last writer, by hybrid logical time; of equal times the greater bytes. **The other writes are given up**: for values
/// that are replaced as a whole, where any of the concurrent ones will do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LastWriter;

impl Resolver for LastWriter {
    fn resolve(&self, siblings: &[Value]) -> Option<NewValue> {
        let last = siblings
            .iter()
            .max_by_key(|value| (value.time, &value.bytes, &value.content_type));
        last.cloned().map(NewValue::from)
    }
}

/// The user's function.
impl<F: Fn(&[Value]) -> Option<NewValue> + Send + Sync + 'static> Resolver for F {
    fn resolve(&self, siblings: &[Value]) -> Option<NewValue> {
        self(siblings)
    }
}

/// What a reader is shown: the values, or the one that the resolver made of them, under the latest of their times.
pub(crate) fn shown(resolver: &dyn Resolver, values: Vec<Value>) -> Vec<Value> {
    if values.len() < 2 {
        return values;
    }
    let Some(resolved) = resolver.resolve(&values) else {
        return values;
    };
    let latest = values.into_iter().max_by_key(|value| value.time);
    let (time, clock) = latest.map_or_else(Default::default, |value| (value.time, value.clock));
    vec![Value {
        bytes: resolved.bytes,
        content_type: resolved.content_type,
        time,
        clock,
    }]
}

#[cfg(test)]
mod tests {
    use dynamokv_vclock::HybridTime;
    use proptest::prelude::*;

    use super::*;

    fn value(time: u64, bytes: Vec<u8>) -> Value {
        Value {
            bytes: bytes.into(),
            content_type: None,
            time: HybridTime(time),
            clock: String::new(),
        }
    }

    fn values() -> impl Strategy<Value = Vec<Value>> {
        let value = (0..4_u64, prop::collection::vec(any::<u8>(), 0..2))
            .prop_map(|(time, bytes)| value(time, bytes));
        prop::collection::vec(value, 0..6)
    }

    proptest! {
        #[test]
        fn the_last_writer_is_the_same_in_any_order(values in values(), turn in 0..6_usize) {
            let mut turned = values.clone();
            turned.rotate_left(turn % values.len().max(1));
            let (shown, again) = (shown(&LastWriter, values.clone()), shown(&LastWriter, turned));
            prop_assert_eq!(&shown, &again);
            prop_assert_eq!(shown.len(), values.len().min(1));
            for last in shown {
                prop_assert!(values.iter().all(|value| (value.time, &value.bytes) <= (last.time, &last.bytes)));
            }
        }

        #[test]
        fn kept_siblings_are_shown_as_they_are(values in values()) {
            prop_assert_eq!(shown(&KeepSiblings, values.clone()), values);
        }
    }

    #[test]
    fn a_function_merges_only_where_there_is_something_to_merge() {
        let all = |siblings: &[Value]| {
            let bodies: Vec<&[u8]> = siblings.iter().map(|value| value.bytes.as_ref()).collect();
            Some(NewValue::new(bodies.concat()))
        };
        let merged = shown(&all, vec![value(7, b"a".to_vec()), value(3, b"b".to_vec())]);
        assert_eq!(merged, [value(7, b"ab".to_vec())]);
        let single = vec![value(1, b"a".to_vec())];
        assert_eq!(shown(&all, single.clone()), single);
    }
}
