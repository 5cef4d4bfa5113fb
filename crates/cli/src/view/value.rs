//! What keys hold, and what became of writes.

use std::fmt::Write as _;

use dynamokv_client::{Context, Value, Versions, Written};
use serde::Serialize;

use super::counted;
use crate::content::{Content, to_base64};
use crate::output::{Ink, Mood, View};

/// The values of a key.
#[derive(Debug, Serialize)]
pub(crate) struct Read {
    keyspace: String,
    key: Content,
    values: Vec<Shown>,
    /// Concurrent writes behind the values, hidden deletes and identical values included.
    siblings: u32,
    /// To be passed on with the next put or delete.
    context: String,
    coordinator: String,
}

#[derive(Debug, Serialize)]
struct Shown {
    value: Content,
    content_type: Option<String>,
    time_ms: u64,
    clock: String,
}

impl Read {
    pub(crate) fn new(keyspace: &str, key: &str, versions: Versions) -> Self {
        let shown = |value: Value| Shown {
            value: Content::of(&value.bytes),
            content_type: value.content_type,
            time_ms: value.time.millis(),
            clock: value.clock,
        };
        Self {
            keyspace: keyspace.to_owned(),
            key: Content::of(key.as_bytes()),
            values: versions.values.into_iter().map(shown).collect(),
            siblings: versions.siblings,
            context: to_base64(versions.context.as_bytes()),
            coordinator: versions.coordinator.to_string(),
        }
    }
}

impl View for Read {
    fn human(&self, ink: Ink) -> String {
        if let [only] = self.values.as_slice() {
            return match &only.value {
                Content::Text(text) => format!("{text}\n"),
                Content::Base64(text) => {
                    let advice = "not UTF-8, so as base64; --raw writes the bytes";
                    format!("{text}\n{}\n", ink.paint(Mood::Dim, advice))
                }
            };
        }
        let many = counted(self.values.len() as u64, "value", "values");
        let line = format!("{many}, written concurrently; the next put replaces them all");
        let mut text = ink.paint(Mood::Warn, &line) + "\n";
        for (number, shown) in (1..).zip(&self.values) {
            let _ = writeln!(
                text,
                "{number}  {}  {}",
                shown.value.on_one_line(),
                ink.paint(
                    Mood::Dim,
                    &format!("({}, at {} ms)", shown.clock, shown.time_ms)
                )
            );
        }
        text
    }
}

/// The keys of a keyspace.
#[derive(Debug, Serialize)]
pub(crate) struct Keys {
    keyspace: String,
    keys: Vec<Content>,
}

impl Keys {
    pub(crate) fn new(keyspace: &str, keys: Vec<Content>) -> Self {
        Self {
            keyspace: keyspace.to_owned(),
            keys,
        }
    }
}

impl View for Keys {
    fn human(&self, _: Ink) -> String {
        self.keys
            .iter()
            .map(|key| key.on_one_line() + "\n")
            .collect()
    }
}

/// What became of a put or delete.
#[derive(Debug, Serialize)]
pub(crate) struct Wrote {
    keyspace: String,
    key: Content,
    what: &'static str,
    /// The values that it replaced, as far as they were read; unset if nothing was read.
    replaced: Option<usize>,
    context: String,
    coordinator: String,
    copies: usize,
}

impl Wrote {
    pub(crate) fn new(
        what: &'static str,
        keyspace: &str,
        key: &str,
        replaced: Option<usize>,
        written: &Written,
    ) -> Self {
        use dynamokv_client::AnswerKind::{Holder, Replica};
        let copies = written
            .answers
            .iter()
            .filter(|answer| matches!(answer.kind, Replica | Holder { .. }));
        Self {
            keyspace: keyspace.to_owned(),
            key: Content::of(key.as_bytes()),
            what,
            replaced,
            context: context(&written.context),
            coordinator: written.coordinator.to_string(),
            copies: copies.count(),
        }
    }
}

fn context(context: &Context) -> String {
    to_base64(context.as_bytes())
}

impl View for Wrote {
    fn human(&self, ink: Ink) -> String {
        let copies = counted(self.copies as u64, "copy", "copies");
        let mut text = format!(
            "{}, {copies}, coordinated by {}\n",
            self.what, self.coordinator
        );
        if let Some(replaced @ 2..) = self.replaced {
            let line = format!("{replaced} concurrent values were replaced\n");
            text.push_str(&ink.paint(Mood::Warn, &line));
        }
        text
    }
}

#[cfg(test)]
impl Read {
    /// A key with such values.
    pub(super) fn example(values: &[&[u8]]) -> Self {
        let shown = |(at, value): (u64, &&[u8])| Shown {
            value: Content::of(value),
            content_type: Some("text/plain".to_owned()),
            time_ms: 1_763_900_000_000 + at,
            clock: format!("8e01c6d9f2a35b70.{at}@1"),
        };
        Self {
            keyspace: "default".to_owned(),
            key: Content::of(b"cart"),
            values: (1..).zip(values).map(shown).collect(),
            siblings: values.len().try_into().unwrap_or(u32::MAX),
            context: to_base64(b"opaque"),
            coordinator: "8e01c6d9f2a35b70".to_owned(),
        }
    }
}

#[cfg(test)]
impl Wrote {
    /// A write that replaced two values.
    pub(super) fn example() -> Self {
        Self {
            keyspace: "default".to_owned(),
            key: Content::of(b"cart"),
            what: "written",
            replaced: Some(2),
            context: to_base64(b"opaque"),
            coordinator: "8e01c6d9f2a35b70".to_owned(),
            copies: 2,
        }
    }
}
