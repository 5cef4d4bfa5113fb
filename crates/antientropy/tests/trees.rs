//! The trees beside a plain map.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use dynamokv_antientropy::{Forest, Prefix, SAVED_PARTS, Sight};
use dynamokv_ring::{Token, TokenRange};
use proptest::collection::vec;
use proptest::prelude::*;

/// Tokens that lie close together here and far apart there, so that buckets of all sizes come about.
fn token() -> impl Strategy<Value = Token> {
    prop_oneof![
        any::<u64>(),
        (0..4_u64, 0..2_000_u64).prop_map(|(bucket, n)| bucket << 52 | n << 41),
    ]
    .prop_map(Token)
}

fn prefix() -> impl Strategy<Value = Prefix> {
    (token(), 0..=Prefix::LENGTH_MAX).prop_map(|(token, length)| Prefix::of(token, length))
}

/// What happens to a store, and to the trees over it.
#[derive(Debug, Clone)]
enum Op {
    Set(Token, u128),
    Drop(Token),
    Clear(TokenRange),
    /// Begins to count what is due, and ends it after so many further operations.
    Count {
        run: usize,
        expected: u64,
        after: usize,
    },
    Scrub {
        bucket: usize,
        after: usize,
    },
    /// Something changed on disk that nobody told of.
    Rot(Token, u128),
}

fn op() -> impl Strategy<Value = Op> {
    let range = (token(), token()).prop_map(|(a, b)| TokenRange {
        first: a.min(b),
        last: a.max(b),
    });
    prop_oneof![
        20 => (token(), any::<u128>()).prop_map(|(token, hash)| Op::Set(token, hash)),
        5 => token().prop_map(Op::Drop),
        1 => range.prop_map(Op::Clear),
        3 => (1..5_000_usize, 0..3_000_u64, 0..6_usize)
            .prop_map(|(run, expected, after)| Op::Count { run, expected, after }),
        2 => (0..5_usize, 0..6_usize).prop_map(|(bucket, after)| Op::Scrub { bucket, after }),
        1 => (token(), any::<u128>()).prop_map(|(token, hash)| Op::Rot(token, hash)),
    ]
}

type Disk = BTreeMap<Token, u128>;

fn naive(disk: &Disk, prefix: Prefix) -> u128 {
    let range = prefix.range();
    disk.range(range.first..=range.last)
        .fold(0, |sum, (_, hash)| sum ^ hash)
}

fn apply(forest: &Forest, disk: &mut Disk, op: &Op) {
    match op {
        Op::Set(token, hash) => {
            let old = disk.insert(*token, *hash);
            forest.change(*token, old, Some(*hash));
        }
        Op::Drop(token) => {
            let old = disk.remove(token);
            forest.change(*token, old, None);
        }
        Op::Clear(range) => {
            disk.retain(|token, _| !range.contains(*token));
            forest.clear(*range);
        }
        Op::Rot(token, hash) => {
            disk.insert(*token, *hash);
        }
        Op::Count { .. } | Op::Scrub { .. } => {}
    }
}

/// Runs all operations, those of a count's duration between its snapshot and its end.
fn run(forest: &Forest, disk: &mut Disk, ops: &[Op]) {
    let mut ops = ops.iter();
    while let Some(op) = ops.next() {
        let (buckets, expected, after) = match op {
            Op::Count {
                run,
                expected,
                after,
            } => match forest.due(*run) {
                Some(due) => (due, *expected, *after),
                None => continue,
            },
            Op::Scrub { bucket, after } => (*bucket..bucket + 1, 0, *after),
            other => {
                apply(forest, disk, other);
                continue;
            }
        };
        let range = forest.range_of(&buckets);
        let mut recount = forest.begin_recount(buckets, expected);
        let snapshot = disk.clone();
        for meanwhile in ops.by_ref().take(after) {
            apply(forest, disk, meanwhile);
        }
        for (token, hash) in snapshot.range(range.first..=range.last) {
            recount.add(*token, *hash);
        }
        recount.finish();
    }
}

/// Counts everything that is due, with nothing in between.
fn settle(forest: &Forest, disk: &Disk) {
    for _ in 0..20_000 {
        let Some(due) = forest.due(4_096) else { return };
        count(forest, disk, due);
    }
    panic!("something is due for ever");
}

fn count(forest: &Forest, disk: &Disk, buckets: std::ops::Range<usize>) {
    let range = forest.range_of(&buckets);
    let mut recount = forest.begin_recount(buckets, 0);
    for (token, hash) in disk.range(range.first..=range.last) {
        recount.add(*token, *hash);
    }
    recount.finish();
}

fn agrees(forest: &Forest, disk: &Disk, prefix: Prefix) -> Result<(), TestCaseError> {
    match forest.see(prefix) {
        Sight::Sum(sum) => prop_assert_eq!(sum, naive(disk, prefix), "{}", prefix),
        Sight::TooFine => prop_assert!(prefix.length() > forest.finest(prefix.first())),
        Sight::NotReady => prop_assert!(false, "{} is not ready", prefix),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever is written between the snapshot of a count and its end, and however often it is counted: in the end every sum
    /// is that of the disk; and what says that it is ready is right at any time, unless the disk was changed behind its back.
    #[test]
    fn counts_are_right_whatever_is_written_meanwhile(
        ready in any::<bool>(),
        before in vec((token(), any::<u128>()), 0..300),
        ops in vec(op(), 0..300),
        floor in prop_oneof![Just(0_u8), 0..=20_u8],
        looked_at in vec(prefix(), 20),
    ) {
        let mut disk = Disk::new();
        if !ready {
            disk.extend(before);
        }
        let forest = Forest::new(ready);
        forest.reach(floor);
        run(&forest, &mut disk, &ops);
        if !ops.iter().any(|op| matches!(op, Op::Rot(..))) {
            for prefix in &looked_at {
                if let Sight::Sum(sum) = forest.see(*prefix) {
                    prop_assert_eq!(sum, naive(&disk, *prefix), "{}", prefix);
                }
            }
        }
        // A full scrub puts right what has rotted.
        for first in (0..forest.buckets()).step_by(512) {
            count(&forest, &disk, first..first + 512);
        }
        settle(&forest, &disk);
        prop_assert!(forest.is_ready());
        prop_assert_eq!(forest.ready_share(), (forest.buckets(), forest.buckets()));
        for prefix in looked_at {
            agrees(&forest, &disk, prefix)?;
        }
        prop_assert_eq!(forest.keys(Prefix::ROOT), disk.len() as u64);
        prop_assert!(forest.finest(Token(0)) >= floor.max(12));

        // What is saved is loaded as it was; and cut off anywhere it is refused.
        let loaded = Forest::new(false);
        for part in 0..SAVED_PARTS {
            let saved = forest.save(part).unwrap();
            prop_assert!(loaded.load(part, &saved[..saved.len() - 1]).is_err());
            loaded.load(part, &saved).unwrap();
        }
        for prefix in disk.keys().map(|token| Prefix::of(*token, 24)) {
            prop_assert_eq!(loaded.see(prefix), forest.see(prefix));
            prop_assert_eq!(loaded.keys(prefix), forest.keys(prefix));
        }
        prop_assert_eq!(loaded.see(Prefix::ROOT), forest.see(Prefix::ROOT));
    }

    #[test]
    fn prefixes_split_a_range_without_gaps_and_are_found_again(prefix in prefix(), further in 0..8_u8) {
        let length = (prefix.length() + further).min(Prefix::LENGTH_MAX);
        let parts: Vec<TokenRange> = prefix.split(length).map(Prefix::range).collect();
        prop_assert_eq!(parts.first().unwrap().first, prefix.range().first);
        prop_assert_eq!(parts.last().unwrap().last, prefix.range().last);
        for pair in parts.windows(2) {
            prop_assert_eq!(pair[0].last.0 + 1, pair[1].first.0);
        }
        prop_assert_eq!(Prefix::covering(prefix.range()), Some(prefix));
        prop_assert_eq!(Prefix::new(prefix.first(), prefix.length()), Ok(prefix));
        if length < 24 {
            prop_assert!(Prefix::new(Token(prefix.first().0 | 1), length).is_err());
        }
    }
}

#[test]
fn changes_from_many_threads_add_up_while_buckets_are_counted() {
    use std::sync::Mutex;
    const KEYS: u64 = 20_000;
    let forest = Forest::new(false);
    // A lock for each key's changes, and one for the moment of a snapshot, as a store has them.
    let disk = Mutex::new(Disk::new());
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (forest, disk) = (&forest, &disk);
            scope.spawn(move || {
                for n in 0..KEYS {
                    let token = Token((n % 5_000).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                    let hash = u128::from(n) << 64 | u128::from(thread);
                    let mut disk = disk.lock().unwrap();
                    let old = disk.insert(token, hash);
                    forest.change(token, old, Some(hash));
                }
            });
        }
        scope.spawn(|| {
            for round in 0..200_usize {
                let at = round * 20;
                let range = forest.range_of(&(at..at + 20));
                let (mut recount, snapshot) = {
                    let disk = disk.lock().unwrap();
                    (forest.begin_recount(at..at + 20, 4), disk.clone())
                };
                for (token, hash) in snapshot.range(range.first..=range.last) {
                    recount.add(*token, *hash);
                }
                recount.finish();
            }
        });
    });
    let disk = disk.into_inner().unwrap();
    settle(&forest, &disk);
    for prefix in Prefix::ROOT.split(14) {
        if let Sight::Sum(sum) = forest.see(prefix) {
            assert_eq!(sum, naive(&disk, prefix));
        }
    }
    assert_eq!(
        forest.see(Prefix::ROOT),
        Sight::Sum(naive(&disk, Prefix::ROOT))
    );
}

#[test]
fn leaves_follow_the_keys_at_a_few_bytes_a_key() {
    let forest = Forest::new(true);
    let mut disk = Disk::new();
    for n in 0..400_000_u64 {
        let token = Token(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        disk.insert(token, u128::from(n));
        forest.change(token, None, Some(u128::from(n)));
    }
    settle(&forest, &disk);
    let (leaves, bytes) = forest.leaves();
    assert!(
        (400_000 / 32..=400_000 / 4).contains(&leaves),
        "{leaves} leaves"
    );
    assert!(bytes < 400_000 * 4 + (512 << 10), "{bytes} bytes");
}
