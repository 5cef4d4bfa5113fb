//! "Two writes are never taken for one", which all else stands on.
//!
//! No two acknowledged writes of a key have the same dot. And during the run a [`Ledger`] is shown
//! every value that travels or is stored: under one dot of a key it is always the same value, to the
//! last byte, time and content type included.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use dynamokv::storage::Value;
use dynamokv::vclock::{Dot, HybridTime};
use xxhash_rust::xxh3::Xxh3;

use super::view::{Attempt, View};
use super::{Violation, story};
use crate::end::End;
use crate::history::{History, Key};

pub(super) const NAME: &str = "dots_are_issued_once";

pub(super) fn check(history: &History, end: &End) -> Result<(), Violation> {
    for (key, view) in View::of_each_key(history, end) {
        let mut issued: BTreeMap<Dot, Attempt<'_>> = BTreeMap::new();
        for (attempt, dot) in view.acknowledged() {
            if let Some(first) = issued.insert(dot, attempt) {
                let story = format!("{dot} was issued for {first} and again for {attempt}");
                return Err(Violation::of_key(NAME, key, story));
            }
        }
    }
    Ok(())
}

/// Remembers what each dot of each key stands for, as long as the run lasts.
#[derive(Debug, Default)]
pub struct Ledger {
    known: BTreeMap<(Key, Dot), Known>,
}

impl Ledger {
    /// Notes that `value` stands under `dot`. O(log dots), and one pass over the value.
    ///
    /// # Errors
    /// A violation if another value stood there before.
    pub fn see(&mut self, key: Key, dot: Dot, value: &Value) -> Result<(), Violation> {
        let known = Known::of(value);
        match self.known.entry((key, dot)) {
            Entry::Vacant(place) => {
                place.insert(known);
                Ok(())
            }
            Entry::Occupied(first) if first.get().fingerprint == known.fingerprint => Ok(()),
            Entry::Occupied(first) => {
                let story = format!(
                    "{dot} of {key} stood for {}, and now for {}: {}",
                    first.get().words(),
                    known.words(),
                    story::value(value)
                );
                Err(Violation::of_key(NAME, key, story))
            }
        }
    }
}

/// A value, but for its bytes.
#[derive(Debug)]
struct Known {
    fingerprint: u64,
    time: HybridTime,
    /// The length of the body; `None` for a tombstone.
    length: Option<usize>,
}

impl Known {
    fn of(value: &Value) -> Self {
        let mut hasher = Xxh3::new();
        hasher.update(&value.time.0.to_le_bytes());
        let content_type = value.content_type.as_ref().map(|text| text.as_bytes());
        for part in [content_type, value.body.as_deref()] {
            let length = part.map_or(u64::MAX, |bytes| bytes.len() as u64);
            hasher.update(&length.to_le_bytes());
            hasher.update(part.unwrap_or_default());
        }
        Self {
            fingerprint: hasher.digest(),
            time: value.time,
            length: value.body.as_ref().map(|body| body.len()),
        }
    }

    fn words(&self) -> String {
        let what = match self.length {
            Some(length) => format!("{length} bytes"),
            None => "a tombstone".to_owned(),
        };
        format!("{what} of {} (xxh3 {:016x})", self.time, self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{KEY, Scene, dot, story, value};
    use super::*;

    #[test]
    fn two_acknowledged_writes_have_two_dots() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.put("milk", &[], dot(1, 2));
        scene.refused_put("eggs", &[]);
        scene.unknown_put("eggs", &[]);
        assert_eq!(check(&scene.history, &scene.end), Ok(()));
        scene.delete(&[], dot(1, 1));
        let story = story(check(&scene.history, &scene.end));
        assert!(
            story.starts_with("0000000000000001.1@1 was issued for w0 (client 1 put \"tea\""),
            "{story}"
        );
        assert!(
            story.contains("and again for w4 (client 1 deleted key-7"),
            "{story}"
        );
    }

    #[test]
    fn a_ledger_knows_a_value_again_under_its_own_key_and_dot() {
        let mut ledger = Ledger::default();
        let (tea, milk) = (value(Some("tea")), value(Some("milk")));
        for _ in 0..2 {
            assert_eq!(ledger.see(KEY, dot(1, 1), &tea), Ok(()));
            assert_eq!(ledger.see(KEY, dot(1, 2), &milk), Ok(()));
            assert_eq!(ledger.see(KEY, dot(2, 1), &milk), Ok(()));
            assert_eq!(ledger.see(Key(8), dot(1, 1), &milk), Ok(()));
        }
    }

    #[test]
    fn a_ledger_refuses_whatever_differs_and_stays_as_it_was() {
        let tea = value(Some("tea"));
        let others = [
            value(Some("milk")),
            value(Some("tee")),
            value(Some("")),
            value(None),
            Value {
                time: HybridTime::new(1, 1),
                ..tea.clone()
            },
            Value {
                content_type: Some("".into()),
                ..tea.clone()
            },
            Value {
                content_type: Some("tea".into()),
                ..value(None)
            },
        ];
        let all: Vec<&Value> = std::iter::once(&tea).chain(&others).collect();
        for first in &all {
            for second in all.iter().filter(|second| *second != first) {
                let mut ledger = Ledger::default();
                assert_eq!(ledger.see(KEY, dot(1, 1), first), Ok(()));
                let refused = ledger.see(KEY, dot(1, 1), second);
                assert!(story(refused).contains("0000000000000001.1@1 of key-7 stood for"));
                assert_eq!(ledger.see(KEY, dot(1, 1), first), Ok(()));
            }
        }
    }
}
