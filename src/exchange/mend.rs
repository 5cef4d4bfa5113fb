//! Mending partitions that differ: down the trees, then by lists of hashes, page by page, in both directions.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use dynamokv_antientropy::{
    Answer, Descent, Difference, ITEMS_MAX, Item, Listing, Parent, Prefix, Question, Ranges,
    Verdict, verdicts,
};
use dynamokv_coordinator::Membership;
use dynamokv_handoff::Entry;
use dynamokv_ring::{PartitionId, Token, TokenRange};
use dynamokv_storage::{ObjectStore, StateHash, WriteSeq};
use tokio::time::Instant;

use super::ledger::Moved;
use super::peer::{Peer, unfit};
use super::{Pair, Rounds, join, takes_writes};
use crate::core::Core;
use crate::transport::Transport;

/// A page of objects, in either direction.
const PAGE_BYTES: usize = 1 << 20;

/// One listing reads and lists so much at most.
const LISTED_ITEMS: usize = ITEMS_MAX / 4;
const LISTED_BYTES: usize = 1 << 20;

/// Compares some partitions that differ, to the end, and mends them.
pub(super) async fn group<T: Transport>(
    peer: &Peer<'_, T>,
    partitions: &[(PartitionId, Prefix)],
    rounds: &Rounds,
) -> Result<(), crate::Error> {
    let core = peer.core;
    // Another peer may have brought it since the round began.
    let partitions = still_differing(peer, partitions).await?;
    let prefixes = partitions.iter().map(|(_, prefix)| *prefix);
    let mut descent = Descent::new(&core.trees, prefixes);
    while let Some(asked) = descent.ask(&core.trees) {
        let (asked, sums) = peer.sums(asked).await?;
        descent.answered(&core.trees, &asked, &sums)?;
    }
    let unknown = descent.has_unknown();
    let mut left = descent.into_ranges();
    let differing = left.clone();
    let (mut mended, mut newest) = (false, None);
    while !left.is_empty() {
        turn(rounds).await;
        let (listing, end) = list(&core.store, &left)?;
        let question = Question::List(listing);
        let Answer::Difference(difference) = peer.ask(&question).await? else {
            return Err(unfit());
        };
        let rest = left.behind(difference.until.map_or(end, |until| until.min(end)));
        // Who leads nowhere must not keep this node from the others.
        if rest == left {
            return Err(unfit());
        }
        let (moved, joined) = settle(peer, difference).await?;
        newest = newest.max(joined);
        rounds.pace.lock().correct(PAGE_BYTES as u64, moved.bytes());
        core.ledger.moved(peer.id, moved);
        mended |= !moved.is_nothing();
        left = rest;
    }
    // One wait for all pages: nobody relies on them before they are compared.
    if let Some(newest) = newest {
        core.store.settled(newest).await?;
    }
    if !mended && !unknown {
        // No key differs, so a leaf does not say what is on the disk; or what differed has come meanwhile.
        differing.iter().for_each(|range| core.trees.suspect(range));
    }
    if unknown {
        return Ok(());
    }
    let mut refill = rounds.refill.lock();
    for (partition, _) in partitions {
        let pair = Pair {
            partition,
            peer: peer.id,
        };
        core.ledger.compared(pair, Instant::now());
        refill.compared(core, pair);
    }
    Ok(())
}

async fn still_differing<T: Transport>(
    peer: &Peer<'_, T>,
    partitions: &[(PartitionId, Prefix)],
) -> Result<Vec<(PartitionId, Prefix)>, crate::Error> {
    let asked = partitions.iter().map(|(_, prefix)| Parent::itself(*prefix));
    let (asked, sums) = peer.sums(asked.collect()).await?;
    let verdicts = verdicts(&peer.core.trees, &asked, &sums)?;
    let differing = partitions.iter().zip(verdicts);
    let differing = differing.filter(|(_, verdict)| *verdict == Verdict::Differs);
    Ok(differing.map(|(place, _)| *place).collect())
}

/// Waits until another page may be moved.
async fn turn(rounds: &Rounds) {
    loop {
        let now = Instant::now().into_std();
        let free_at = {
            let mut pace = rounds.pace.lock();
            let free_at = pace.free_at(now);
            if free_at <= now {
                pace.reserve(PAGE_BYTES as u64, now);
            }
            free_at
        };
        if free_at <= now {
            return;
        }
        tokio::time::sleep_until(free_at.into()).await;
    }
}

/// All that is here of the first ranges, as far as a listing goes, and where it ends.
fn list(store: &ObjectStore, left: &Ranges) -> Result<(Listing, Token), crate::Error> {
    let moment = store.moment();
    let mut items: Vec<Item> = Vec::new();
    let (mut bytes, mut full, mut end) = (0, false, Token::MIN);
    for range in left.iter().take(LISTED_ITEMS) {
        moment.walk(range, |walked| {
            let token = walked.key.token();
            let passed = items.last().is_some_and(|last| last.token < token);
            if passed && (items.len() >= LISTED_ITEMS || bytes >= LISTED_BYTES) {
                full = true;
                return ControlFlow::Break(());
            }
            bytes += walked.bytes;
            items.push(Item {
                token,
                hash: walked.hash.0,
            });
            ControlFlow::Continue(())
        })?;
        if full {
            end = items.last().map_or(range.last, |last| last.token);
            break;
        }
        end = range.last;
    }
    // Keys of one token come in the order of their names.
    items.sort();
    Ok((Listing::new(left.up_to(end), items, PAGE_BYTES)?, end))
}

/// Joins what the peer has, and gives it what it lacks. The number of the last write here.
async fn settle<T: Transport>(
    peer: &Peer<'_, T>,
    difference: Difference<Entry>,
) -> Result<(Moved, Option<WriteSeq>), crate::Error> {
    let Difference {
        entries, wanted, ..
    } = difference;
    let core = peer.core;
    let mut moved = Moved::default();
    for entry in &entries {
        moved.pulled(entry.bytes());
    }
    let newest = join(core, &entries).await?;
    let known = entries
        .iter()
        .map(|entry| StateHash::of(&entry.key, &entry.state))
        .collect();
    drop(entries);
    let mut wanted = wanted.into_iter();
    loop {
        let (page, more) = lacked(core, peer, &mut wanted, &known)?;
        for entry in &page {
            moved.pushed(entry.bytes());
        }
        if !page.is_empty() {
            match peer.ask(&Question::Push(page)).await? {
                Answer::Taken => {}
                _ => return Err(unfit()),
            }
        }
        if !more {
            return Ok((moved, newest));
        }
    }
}

/// A page of what the peer lacks, but for what it has itself sent; whether there may be more.
fn lacked<T: Transport>(
    core: &Core<T>,
    peer: &Peer<'_, T>,
    wanted: &mut impl Iterator<Item = Token>,
    known: &BTreeSet<StateHash>,
) -> Result<(Vec<Entry>, bool), crate::Error> {
    let view = core.cluster.view();
    let moment = core.store.moment();
    let (mut page, mut bytes) = (Vec::new(), 0);
    for token in wanted {
        if !takes_writes(&view, peer.id, token) {
            continue;
        }
        let only = TokenRange {
            first: token,
            last: token,
        };
        moment.walk(only, |walked| {
            if !known.contains(&walked.hash) {
                bytes += walked.bytes;
                page.push(Entry {
                    key: walked.key,
                    state: walked.state,
                });
            }
            ControlFlow::Continue(())
        })?;
        if bytes >= PAGE_BYTES {
            return Ok((page, true));
        }
    }
    Ok((page, false))
}
