//! Whether the cluster is at rest, and how it stands then.

use std::collections::{BTreeMap, BTreeSet};

use dynamokv::coordinator::View;
use dynamokv::gossip::Wait;
use dynamokv::ring::{NodeId, Token, TokenRange};
use dynamokv::storage::{State, StateHash};
use dynamokv::{Parts, Transport};
use std::sync::Arc;

use crate::end::{End, NodeEnd};
use crate::history::Key;
use crate::record::Record;
use crate::transport::Wires;
use crate::world::World;

impl World {
    /// As [`at_rest`], of the nodes of this world.
    ///
    /// # Errors
    /// As those of [`at_rest`].
    pub fn at_rest(&self) -> Result<(), Vec<String>> {
        self.with_nodes(|nodes| at_rest(&self.occupied(), nodes))
    }

    /// As [`end_state`], of the nodes of this world.
    pub fn end_state(&self) -> End {
        self.with_nodes(|nodes| end_state(self, nodes))
    }

    fn with_nodes<R>(&self, look: impl FnOnce(&[(usize, &Parts<Wires>)]) -> R) -> R {
        let parts = |place| self.host(place, |host| host.parts().cloned());
        let running: Vec<(usize, Arc<Parts<Wires>>)> = (0..self.places())
            .filter_map(|place| Some((place, parts(place)?)))
            .collect();
        let nodes: Vec<(usize, &Parts<Wires>)> = running
            .iter()
            .map(|(place, parts)| (*place, parts.as_ref()))
            .collect();
        look(&nodes)
    }
}

/// Whether a node runs at each of these places, and all agree on the ring, have nothing under way, hold nothing for
/// others, want no change, and have equal copies.
///
/// # Errors
/// What is not at rest, one line each.
pub fn at_rest<T: Transport>(
    places: &[usize],
    nodes: &[(usize, &Parts<T>)],
) -> Result<(), Vec<String>> {
    let mut restless: Vec<String> = places
        .iter()
        .filter(|place| nodes.iter().all(|(up, _)| up != *place))
        .map(|place| format!("n{place} is down"))
        .collect();
    let Some((_, first)) = nodes.first() else {
        return Err(restless);
    };
    let agreed = first.view();
    let known = known(first);
    for (place, parts) in nodes {
        let view = parts.view();
        if self::known(parts) != known {
            restless.push(format!("n{place} knows other members, or less of them"));
        }
        if view.fence != agreed.fence || view.next.is_some() {
            restless.push(format!("n{place} sees another ring, or an open change"));
        }
        let pending = parts.gossip().with(|gossip| gossip.pending());
        // Who is down here is one that lost its disk before it was let in: all nodes that there are run.
        if let Some(pending) = pending
            .iter()
            .find(|pending| pending.waits_for != Some(Wait::Down))
        {
            restless.push(format!("n{place} sees {pending:?}"));
        }
        if !view.current.contains(parts.id()) {
            restless.push(format!("n{place} is no member"));
        }
        if parts.operations() > 0 {
            restless.push(format!("n{place} coordinates {}", parts.operations()));
        }
        let hints = parts.hints().unwrap_or(u64::MAX);
        if hints > 0 {
            restless.push(format!("n{place} holds {hints} hints"));
        }
        let live = view.live.len();
        if live != places.len() {
            restless.push(format!("n{place} sees {live} live nodes"));
        }
    }
    if restless.is_empty() {
        restless.extend(differences(nodes, &agreed));
    }
    if restless.is_empty() {
        Ok(())
    } else {
        Err(restless)
    }
}

/// Everybody's generation and version, and who left.
fn known<T: Transport>(parts: &Parts<T>) -> (BTreeMap<NodeId, (u64, u64)>, Vec<NodeId>) {
    let seen = parts.gossip().with(|gossip| gossip.snapshot());
    let members = seen.members.into_iter();
    let states = members.map(|(id, seen)| (id, (seen.state.generation, seen.state.version)));
    (states.collect(), seen.left)
}

/// How the cluster of these nodes stands, as to the keys that were written.
pub fn end_state<T: Transport>(record: &Record, nodes: &[(usize, &Parts<T>)]) -> End {
    let keys: Vec<Key> = record.history(|history| history.keys().collect());
    let mut end = End {
        replicas: record.plan().replicas,
        ..End::default()
    };
    for (_, parts) in nodes {
        let view = parts.view();
        let (copies, damaged) = copies(parts);
        for key in &keys {
            if let Ok(object) = key.object_key() {
                let owners = view.current.owners(object.token());
                end.owners
                    .insert(*key, owners.iter().copied().collect::<BTreeSet<_>>());
            }
        }
        let node = NodeEnd {
            copies,
            hints: parts.hints().unwrap_or(u64::MAX),
            operations: parts.operations(),
            damaged,
            seen: parts.gossip().with(|gossip| gossip.snapshot()),
        };
        end.nodes.insert(parts.id(), node);
    }
    end
}

/// Keys whose owners differ, or that somebody has who does not own them.
fn differences<T: Transport>(nodes: &[(usize, &Parts<T>)], view: &View) -> Vec<String> {
    let mut found: BTreeMap<Key, Vec<(usize, bool, StateHash)>> = BTreeMap::new();
    let mut owned: BTreeMap<Key, usize> = BTreeMap::new();
    for (place, parts) in nodes {
        for (key, state) in copies(parts).0 {
            let Ok(object) = key.object_key() else {
                continue;
            };
            let owners = view.current.owners(object.token());
            owned.insert(key, owners.len());
            let owns = owners.contains(&parts.id());
            let hash = StateHash::of(&object, &state);
            found.entry(key).or_default().push((*place, owns, hash));
        }
    }
    found
        .into_iter()
        .filter(|(key, copies)| {
            let equal = copies.windows(2).all(|pair| pair[0].2 == pair[1].2);
            let all_own = copies.iter().all(|(_, owns, _)| *owns);
            !(equal && all_own && owned.get(key) == Some(&copies.len()))
        })
        .map(|(key, copies)| {
            let copies: Vec<String> = copies
                .iter()
                .map(|(place, owns, hash)| {
                    let stray = if *owns { "" } else { " (not its own)" };
                    format!("n{place}{stray} {hash}")
                })
                .collect();
            format!("{key} differs: {}", copies.join(", "))
        })
        .collect()
}

/// All copies of a node, and how many records it could not read.
fn copies<T: Transport>(parts: &Parts<T>) -> (BTreeMap<Key, State>, u64) {
    let everything = TokenRange {
        first: Token(0),
        last: Token(u64::MAX),
    };
    let (mut copies, mut damaged) = (BTreeMap::new(), 0);
    let mut after = None;
    loop {
        let page = parts
            .store()
            .scan(everything, after.as_ref(), PAGE_ITEMS, usize::MAX);
        let Ok(page) = page else {
            return (copies, damaged + 1);
        };
        damaged += page.damaged.len() as u64;
        for (object, state) in page.entries {
            if let Some(key) = Key::of(&object) {
                copies.insert(key, state);
            }
        }
        after = page.next;
        if after.is_none() {
            return (copies, damaged);
        }
    }
}

const PAGE_ITEMS: usize = 1_000;
