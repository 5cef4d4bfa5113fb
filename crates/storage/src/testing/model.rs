use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::suite::all;
use super::{Disk, FAMILIES};
use crate::engine::{Batch, Engine, Op};

/// Runs `cases` random sequences of batches, snapshots, syncs, reopenings and power losses on an engine and on a
/// plain map. The cases are the same at each run.
///
/// # Panics
/// With the shortest sequence found on which the two differ.
pub fn engine_model<D: Disk>(cases: u32, new_disk: impl FnMut() -> D) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, deterministic_rng());
    let new_disk = std::cell::RefCell::new(new_disk);
    let outcome = runner.run(&vec(step(), 1..40), |steps| {
        let mut disk = (*new_disk.borrow_mut())();
        run(&mut disk, steps);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(Batch),
    WriteUnderSnapshot(Batch),
    Sync,
    Reopen,
    LosePower,
}

type Content = BTreeMap<(usize, Bytes), Bytes>;

fn run(disk: &mut dyn Disk, steps: Vec<Step>) {
    let mut engine = disk.open();
    // What a power loss may leave: each entry is one batch further; the first is durable, the last is visible.
    let mut history = vec![Content::new()];
    for step in steps {
        match step {
            Step::Write(batch) => write(engine.as_ref(), &mut history, batch),
            Step::WriteUnderSnapshot(batch) => {
                let before = visible(&history).clone();
                let snapshot = engine.snapshot();
                write(engine.as_ref(), &mut history, batch);
                assert_eq!(
                    content(|family| all(snapshot.as_ref(), family)),
                    before,
                    "a snapshot changed"
                );
            }
            Step::Sync => {
                engine.sync().unwrap();
                history.drain(..history.len() - 1);
            }
            Step::Reopen => {
                drop(engine);
                engine = disk.open();
            }
            Step::LosePower => {
                drop(engine);
                disk.lose_power();
                engine = disk.open();
                let found = content(|family| all(engine.snapshot().as_ref(), family));
                let kept = history.iter().rposition(|content| *content == found);
                history.truncate(
                    kept.expect("a power loss leaves the synced batches and perhaps more") + 1,
                );
            }
        }
        let snapshot = engine.snapshot();
        assert_eq!(
            &content(|family| all(snapshot.as_ref(), family)),
            visible(&history)
        );
        for (family, name) in FAMILIES.iter().enumerate() {
            for key in 0..KEYS {
                let key = key_bytes(key);
                let expected = visible(&history).get(&(family, key.clone()));
                assert_eq!(engine.get(name, &key).unwrap().as_ref(), expected);
                assert_eq!(snapshot.get(name, &key).unwrap().as_ref(), expected);
            }
        }
    }
}

fn visible(history: &[Content]) -> &Content {
    history.last().expect("never empty")
}

fn write(engine: &dyn Engine, history: &mut Vec<Content>, batch: Batch) {
    let mut content = visible(history).clone();
    for op in batch.ops() {
        let family = FAMILIES
            .iter()
            .position(|family| family == op.family())
            .unwrap();
        match op {
            Op::Put { key, value, .. } => {
                content.insert((family, key.clone()), value.clone());
            }
            Op::Delete { key, .. } => {
                content.remove(&(family, key.clone()));
            }
            Op::DeleteRange { start, end, .. } => {
                content.retain(|(of, key), _| *of != family || key < start || key >= end);
            }
        }
    }
    engine.write(batch).unwrap();
    history.push(content);
}

fn content(mut entries: impl FnMut(&crate::Family) -> Vec<(Bytes, Bytes)>) -> Content {
    let mut content = Content::new();
    for (family, name) in FAMILIES.iter().enumerate() {
        let found = entries(name);
        assert!(found.is_sorted_by(|(a, _), (b, _)| a < b), "keys ascend");
        content.extend(found.into_iter().map(|(key, value)| ((family, key), value)));
    }
    content
}

const KEYS: u8 = 12;

fn key_bytes(key: u8) -> Bytes {
    vec![b'k'; usize::from(key % 3)]
        .into_iter()
        .chain([key])
        .collect()
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => batch().prop_map(Step::Write),
        2 => batch().prop_map(Step::WriteUnderSnapshot),
        2 => Just(Step::Sync),
        1 => Just(Step::Reopen),
        1 => Just(Step::LosePower),
    ]
}

fn batch() -> impl Strategy<Value = Batch> {
    vec(
        (0..FAMILIES.len(), 0..KEYS, 0..KEYS, 0u8..8, any::<u8>()),
        0..6,
    )
    .prop_map(|ops| {
        let mut batch = Batch::new();
        for (family, key, end, kind, value) in ops {
            let family = &FAMILIES[family];
            match kind {
                0 | 1 => batch.delete(family, key_bytes(key)),
                2 => batch.delete_range(family, key_bytes(key), key_bytes(end)),
                _ => batch.put(family, key_bytes(key), vec![value; usize::from(value % 5)]),
            };
        }
        batch
    })
}

fn deterministic_rng() -> proptest::test_runner::TestRng {
    proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha)
}
