//! Writes that carry an idempotency key, remembered for a while: whoever sends one again gets the same write, not another.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dynamokv_storage::{State, Value};
use dynamokv_vclock::{Dot, HybridTime};
use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3;

use crate::PutRequest;

/// Names a write that may be sent more than once: a hash of keyspace, key and idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WriteId(u128);

/// Where the first attempt leaves what it did. It is locked while that is decided, so that of two attempts at once
/// the second one finds what the first one did.
pub(crate) type Slot = Arc<Mutex<Option<Done>>>;

/// What was done for a write: enough to make the same delta again from the same request, and small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Done {
    dot: Dot,
    time: HybridTime,
    /// A hash of what was to be written.
    content: u128,
}

impl Done {
    pub(crate) fn new(request: &PutRequest, dot: Dot, time: HybridTime) -> Self {
        Self {
            dot,
            time,
            content: content(request),
        }
    }

    /// The delta of the first attempt; `None` if this request is to write something else.
    pub(crate) fn delta(self, request: &PutRequest) -> Option<State> {
        let value = Value {
            time: self.time,
            body: request.value.clone(),
            content_type: request.content_type.clone(),
        };
        (self.content == content(request)).then(|| State::delta(self.dot, value, &request.context))
    }
}

/// The writes of the last while, the oldest of which go first where there are too many.
#[derive(Debug)]
pub(crate) struct Recent {
    window: Duration,
    records_max: usize,
    oldest_first: VecDeque<(Instant, WriteId)>,
    slots: BTreeMap<WriteId, Slot>,
}

impl Recent {
    pub(crate) fn new(window: Duration, records_max: usize) -> Self {
        Self {
            window,
            records_max: records_max.max(1),
            oldest_first: VecDeque::new(),
            slots: BTreeMap::new(),
        }
    }

    /// The slot of this write, empty if it was not seen within the window. O(log records).
    pub(crate) fn slot(&mut self, id: WriteId, now: Instant) -> Slot {
        while let Some((since, oldest)) = self.oldest_first.front() {
            if now.saturating_duration_since(*since) < self.window {
                break;
            }
            self.slots.remove(oldest);
            self.oldest_first.pop_front();
        }
        if let Some(slot) = self.slots.get(&id) {
            return Arc::clone(slot);
        }
        if self.slots.len() >= self.records_max
            && let Some((_, oldest)) = self.oldest_first.pop_front()
        {
            self.slots.remove(&oldest);
        }
        self.oldest_first.push_back((now, id));
        Arc::clone(self.slots.entry(id).or_default())
    }
}

/// The name of the write, if it has an idempotency key.
pub(crate) fn id_of(request: &PutRequest) -> Option<WriteId> {
    let idempotency_key = request.idempotency_key.as_ref()?;
    let keyspace = request.key.keyspace().as_str().as_bytes();
    Some(WriteId(hash(&[
        keyspace,
        request.key.key(),
        idempotency_key,
    ])))
}

fn content(request: &PutRequest) -> u128 {
    let mut context = Vec::new();
    request.context.encode(&mut context);
    let kind = [
        u8::from(request.value.is_some()),
        u8::from(request.content_type.is_some()),
    ];
    hash(&[
        &kind,
        request.value.as_deref().unwrap_or_default(),
        request
            .content_type
            .as_deref()
            .unwrap_or_default()
            .as_bytes(),
        &context,
    ])
}

fn hash(parts: &[&[u8]]) -> u128 {
    let mut hash = Xxh3::new();
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.digest128()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn done(counter: u64) -> Done {
        Done {
            dot: Dot::new(
                dynamokv_vclock::ActorId::new(1, dynamokv_vclock::Epoch(1)),
                counter,
            ),
            time: HybridTime(counter),
            content: counter.into(),
        }
    }

    proptest! {
        /// Against a plain list of all that was seen: what is remembered is what came within the window and was not pushed
        /// out by newer ones.
        #[test]
        fn remembers_the_newest_within_the_window(
            steps in prop::collection::vec((0..12_u128, 0..30_u64), 0..200),
            records_max in 1..8_usize,
        ) {
            let window = Duration::from_secs(60);
            let start = Instant::now();
            let mut recent = Recent::new(window, records_max);
            let mut oracle: Vec<(u64, u128, u64)> = Vec::new();
            let (mut now, mut counter) = (0, 0);
            for (id, pause) in steps {
                now += pause;
                counter += 1;
                oracle.retain(|(since, ..)| now - since < 60);
                let known = oracle.iter().find(|(_, known, _)| *known == id).map(|known| known.2);
                let slot = recent.slot(WriteId(id), start + Duration::from_secs(now));
                let mut slot = slot.lock();
                prop_assert_eq!(*slot, known.map(done));
                if known.is_none() {
                    *slot = Some(done(counter));
                    if oracle.len() == records_max {
                        oracle.remove(0);
                    }
                    oracle.push((now, id, counter));
                }
                prop_assert_eq!(recent.slots.len(), oracle.len());
                prop_assert_eq!(recent.oldest_first.len(), oracle.len());
            }
        }
    }
}
