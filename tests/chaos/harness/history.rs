//! What clients were told, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::dice::Dice;

/// The name of a write, and of the value that it writes: no two are alike.
pub type WriteId = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No answer, or one that says so: it may be applied or not.
    Unknown,
    Acknowledged,
    /// Answered with the promise that it was not applied.
    Refused,
}

/// One put or delete.
#[derive(Debug, Clone)]
pub struct Write {
    /// The values that the client had seen, as its context said.
    pub base: BTreeSet<WriteId>,
    pub deletes: bool,
    pub outcome: Outcome,
}

/// All that was tried with one key, and what was shown of it.
#[derive(Debug, Clone, Default)]
pub struct KeyHistory {
    pub writes: BTreeMap<WriteId, Write>,
    pub shown: BTreeSet<WriteId>,
}

#[derive(Debug, Default)]
pub struct History {
    keys: BTreeMap<String, KeyHistory>,
    last: WriteId,
}

impl History {
    /// A write is about to be sent.
    pub fn begin(&mut self, key: &str, base: BTreeSet<WriteId>, deletes: bool) -> WriteId {
        self.last += 1;
        let write = Write {
            base,
            deletes,
            outcome: Outcome::Unknown,
        };
        let history = self.keys.entry(key.to_owned()).or_default();
        history.writes.insert(self.last, write);
        self.last
    }

    pub fn end(&mut self, key: &str, id: WriteId, outcome: Outcome) {
        let write = self
            .keys
            .get_mut(key)
            .and_then(|key| key.writes.get_mut(&id));
        write.expect("it was begun").outcome = outcome;
    }

    /// A client was shown these values.
    pub fn shown(&mut self, key: &str, ids: &BTreeSet<WriteId>) {
        let history = self.keys.entry(key.to_owned()).or_default();
        history.shown.extend(ids);
    }

    pub fn keys(&self) -> &BTreeMap<String, KeyHistory> {
        &self.keys
    }
}

/// The value that a write writes: its name, and bytes that follow from it, so that a torn one is told.
pub fn body(id: WriteId) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(Dice::seeded(id).bytes(VALUE_BYTES_MAX));
    body
}

/// The write that wrote this value; `None` if none did.
pub fn writer_of(value: &[u8]) -> Option<WriteId> {
    let id = u64::from_be_bytes(*value.first_chunk()?);
    (body(id) == value).then_some(id)
}

const VALUE_BYTES_MAX: u64 = 1 << 10;
