//! The keys of a keyspace: of each partition what as many owners have as a read asks.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use dynamokv_coordinator::{
    Answer, AnswerKind, Error, FORGOTTEN, GetRequest, Membership, Options, Refusal, ReplicaError,
    View,
};
use dynamokv_ring::{NodeId, PartitionId};
use dynamokv_rpc::{KeyPage, KeyScan, KeyState, KeyStates, KeysRequest};
use dynamokv_storage::{Keyspace, ObjectKey, StateHash, shown};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::core::Core;
use crate::transport::Transport;

/// A page of the keys that exist, in the order of the tokens. What `quorum` owners agree on is taken from them; for the rest
/// the key is read.
///
/// # Errors
/// [`Error::Unreadable`] where too few owners of a partition answer.
pub(super) async fn list<T: Transport>(
    core: &Core<T>,
    quorum: NonZeroUsize,
    request: KeysRequest,
) -> Result<KeyPage, Error> {
    let view = core.cluster.view();
    if !view.has_member(core.me) {
        return Err(Error::NotMember);
    }
    let limit = request.limit.max(1);
    let listing = Listing {
        core,
        view: &view,
        quorum,
        keyspace: request.keyspace,
    };
    let mut page = KeyPage::default();
    let mut after = request.after;
    let first = after
        .as_ref()
        .map_or(0, |key| view.read_ring().partition_of(key.token()).0);
    let (mut partition, partitions) = (first, view.read_ring().partitions());
    // Wider from step to step where there is little in each.
    let mut width = 1;
    while partition < partitions {
        let end = partitions.min(partition.saturating_add(width));
        let steps = (partition..end).map(PartitionId).map(|step| {
            let after = after.take();
            listing.part(step, after, limit)
        });
        let parts: Vec<KeyPage> = stream::iter(Vec::from_iter(steps))
            .buffered(AT_ONCE_MAX)
            .try_collect()
            .await?;
        for part in parts {
            partition += 1;
            page.keys.extend(part.keys);
            // The rest of a page that was cut comes before the next partition.
            if part.next.is_some() {
                page.next = part.next;
                return Ok(page);
            }
            if page.keys.len() >= limit && partition < partitions {
                page.next = page.keys.last().cloned();
                return Ok(page);
            }
        }
        width = (width * 2).min(WIDTH_MAX);
    }
    Ok(page)
}

/// What this node has of a partition that it owns.
///
/// # Errors
/// A [`Refusal`] where it owns no complete copy, or a failure of the store.
pub(super) fn scan<T: Transport>(
    core: &Core<T>,
    view: &View,
    scan: &KeyScan,
) -> Result<KeyStates, ReplicaError> {
    let range = view.current.range_of(scan.partition);
    let known = scan.partition.0 < view.current.partitions();
    if !known || !view.answers(range.first) {
        return Err(Refusal::NotOwner.into());
    }
    if view.forgotten.contains(&scan.partition) {
        return Err(ReplicaError::Failed(FORGOTTEN.to_owned()));
    }
    let items = scan.limit.clamp(1, SCAN_ITEMS_MAX);
    let page = core
        .store
        .scan(range, scan.after.as_ref(), items, SCAN_BYTES_MAX)
        .map_err(|error| ReplicaError::Failed(error.to_string()))?;
    // A damaged copy is none: whoever has another one tells of it.
    let ours = page
        .entries
        .into_iter()
        .filter(|(key, _)| *key.keyspace() == scan.keyspace);
    let state = |(key, state)| KeyState {
        hash: StateHash::of(&key, &state),
        live: !shown(&state).is_empty(),
        key,
    };
    Ok(KeyStates {
        keys: ours.map(state).collect(),
        next: page.next,
    })
}

struct Listing<'a, T> {
    core: &'a Core<T>,
    view: &'a Arc<View>,
    quorum: NonZeroUsize,
    keyspace: Keyspace,
}

impl<T: Transport> Listing<'_, T> {
    async fn part(
        &self,
        partition: PartitionId,
        after: Option<ObjectKey>,
        limit: usize,
    ) -> Result<KeyPage, Error> {
        let scan = KeyScan {
            keyspace: self.keyspace.clone(),
            partition,
            after,
            limit,
        };
        let answers = self.ask(&scan).await?;
        let quorum = answers.len();
        let merged = Merged::of(answers);
        let doubtful: BTreeSet<ObjectKey> = merged.doubtful(quorum).cloned().collect();
        let read = doubtful.into_iter().map(|key| self.read(key));
        let read: BTreeMap<ObjectKey, bool> = stream::iter(read)
            .buffered(AT_ONCE_MAX)
            .try_collect()
            .await?;
        let live = |(key, seen): (ObjectKey, Seen)| {
            let live = read.get(&key).copied().unwrap_or(seen.live);
            live.then_some(key)
        };
        Ok(KeyPage {
            keys: merged.keys.into_iter().filter_map(live).collect(),
            next: merged.next,
        })
    }

    /// The answers of a quorum of owners: this node first, then those believed alive.
    async fn ask(&self, scan: &KeyScan) -> Result<Vec<KeyStates>, Error> {
        let mut owners = self.view.read_ring().owners_of(scan.partition).to_vec();
        owners.sort_by_key(|owner| (*owner != self.core.me, !self.view.live.contains(owner)));
        let needed = self.quorum.get().min(owners.len());
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        let mut owners = owners.into_iter();
        while answers.len() < needed {
            let wanted = needed - answers.len();
            let asked: Vec<NodeId> = owners.by_ref().take(wanted).collect();
            if asked.is_empty() {
                return Err(Error::Unreadable {
                    needed,
                    answers: failures,
                });
            }
            let told = join_all(asked.iter().map(|owner| self.ask_one(*owner, scan))).await;
            for (node, told) in asked.into_iter().zip(told) {
                match told {
                    Ok(states) => answers.push(states),
                    Err(error) => failures.push(Answer {
                        node,
                        kind: AnswerKind::Failed(error.to_string()),
                    }),
                }
            }
        }
        Ok(answers)
    }

    async fn ask_one(&self, owner: NodeId, scan: &KeyScan) -> Result<KeyStates, ReplicaError> {
        if owner == self.core.me {
            return self::scan(self.core, self.view, scan);
        }
        let fence = self.view.fence;
        let transport = &self.core.transport;
        let answer = transport.fetch_keys(owner, fence, scan, ASK_TIMEOUT).await;
        self.core.report(owner, &answer);
        answer
    }

    async fn read(&self, key: ObjectKey) -> Result<(ObjectKey, bool), Error> {
        let request = GetRequest {
            key: key.clone(),
            options: Options::default(),
        };
        let reply = self.core.coordinator.get(request).await?;
        Ok((key, !shown(&reply.state).is_empty()))
    }
}

/// What the owners of a partition have, as far as all of them have told.
struct Merged {
    keys: BTreeMap<ObjectKey, Seen>,
    next: Option<ObjectKey>,
}

/// One key as they have it.
struct Seen {
    owners: usize,
    hash: StateHash,
    equal: bool,
    live: bool,
}

impl Merged {
    fn of(answers: Vec<KeyStates>) -> Self {
        let next = answers
            .iter()
            .filter_map(|told| told.next.as_ref())
            .min()
            .cloned();
        let mut keys: BTreeMap<ObjectKey, Seen> = BTreeMap::new();
        for KeyState { key, hash, live } in answers.into_iter().flat_map(|told| told.keys) {
            if next.as_ref().is_some_and(|next| key > *next) {
                continue;
            }
            let seen = keys.entry(key).or_insert(Seen {
                owners: 0,
                hash,
                equal: true,
                live,
            });
            seen.owners += 1;
            seen.equal &= seen.hash == hash;
        }
        Self { keys, next }
    }

    /// The keys that not all of them have in the same state.
    fn doubtful(&self, owners: usize) -> impl Iterator<Item = &ObjectKey> {
        let doubtful = move |(_, seen): &(&ObjectKey, &Seen)| seen.owners < owners || !seen.equal;
        self.keys.iter().filter(doubtful).map(|(key, _)| key)
    }
}

const AT_ONCE_MAX: usize = 16;
const WIDTH_MAX: u32 = 64;
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// What one question reads at most, keys of other keyspaces included.
const SCAN_ITEMS_MAX: usize = 4_096;
const SCAN_BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn key(name: u8) -> ObjectKey {
        ObjectKey::new("default", vec![name]).unwrap()
    }

    /// One owner's page beyond a key.
    fn told(
        copy: &BTreeMap<ObjectKey, (u128, bool)>,
        after: Option<&ObjectKey>,
        size: usize,
    ) -> KeyStates {
        let beyond: Vec<KeyState> = copy
            .iter()
            .filter(|(key, _)| Some(*key) > after)
            .map(|(key, (hash, live))| KeyState {
                key: key.clone(),
                hash: StateHash(*hash),
                live: *live,
            })
            .collect();
        let next = beyond
            .get(size.wrapping_sub(1))
            .filter(|_| beyond.len() > size);
        KeyStates {
            next: next.map(|state| state.key.clone()),
            keys: beyond.into_iter().take(size).collect(),
        }
    }

    proptest! {
        /// Pages of any sizes of any copies: each key comes once, and is in doubt exactly where the copies differ.
        #[test]
        fn all_that_some_owner_has_comes_once_and_is_doubted_where_they_differ(
            copies in prop::collection::vec(prop::collection::btree_map(0..40_u8, (0..2_u128, any::<bool>()), 0..30), 1..4),
            sizes in prop::collection::vec(1..9_usize, 1..4),
        ) {
            let copies: Vec<BTreeMap<ObjectKey, (u128, bool)>> = copies
                .into_iter()
                .map(|copy| copy.into_iter().map(|(name, (hash, _))| (key(name), (hash, hash == 1))).collect())
                .collect();
            let mut oracle: BTreeMap<ObjectKey, bool> = BTreeMap::new();
            for key in copies.iter().flat_map(BTreeMap::keys) {
                let first = copies[0].get(key);
                let differ = first.is_none() || copies.iter().any(|copy| copy.get(key) != first);
                oracle.insert(key.clone(), differ);
            }
            let mut seen: BTreeMap<ObjectKey, bool> = BTreeMap::new();
            let (mut after, mut sizes) = (None, sizes.into_iter().cycle());
            loop {
                let answers = copies.iter().map(|copy| told(copy, after.as_ref(), sizes.next().unwrap()));
                let merged = Merged::of(answers.collect());
                let doubtful: BTreeSet<ObjectKey> = merged.doubtful(copies.len()).cloned().collect();
                for key in merged.keys.into_keys() {
                    let differ = doubtful.contains(&key);
                    prop_assert!(seen.insert(key, differ).is_none(), "twice");
                }
                match merged.next {
                    Some(next) => {
                        prop_assert!(Some(&next) > after.as_ref(), "no progress");
                        after = Some(next);
                    }
                    None => break,
                }
            }
            prop_assert_eq!(seen, oracle);
        }
    }
}
