//! Rest: every replica is equal to the others, and nothing is left over. Nobody reads a key on the way: each node is asked for
//! its own copy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};

use super::cluster::Cluster;
use super::history::WriteId;
use super::load::writers_of;
use crate::support::Client;

/// What replicas agree on, by key.
pub type Agreed = BTreeMap<String, BTreeSet<WriteId>>;

/// Questions under way at once.
const AT_ONCE: usize = 32;
const PAUSE: Duration = Duration::from_millis(100);

/// One key as the nodes have it.
struct Copies {
    key: String,
    values: BTreeSet<WriteId>,
    /// Why this is not yet rest.
    trouble: Option<String>,
}

/// Waits until there is rest.
///
/// # Panics
/// If there is none before the deadline: with what is wrong.
pub async fn rest(cluster: &Cluster, keys: &BTreeSet<String>, deadline: Instant) -> Agreed {
    let nodes: Vec<(String, Client)> = cluster
        .running()
        .into_iter()
        .map(|node| (cluster.id(node).to_owned(), cluster.client(node)))
        .collect();
    let owners = owners(&nodes, keys).await;
    let mut restless = keys.clone();
    loop {
        let late = Instant::now() > deadline;
        let mut troubles = hints(&nodes).await;
        let copies = look(&nodes, &owners, &restless).await;
        troubles.extend(copies.iter().filter_map(|copies| copies.trouble.clone()));
        let quiet = troubles.is_empty();
        if quiet && restless.len() == keys.len() {
            return copies
                .into_iter()
                .map(|copies| (copies.key, copies.values))
                .collect();
        }
        assert!(
            !late,
            "{} of {} keys are not at rest in time: {:#?}",
            troubles.len(),
            keys.len(),
            &troubles[..troubles.len().min(SHOWN)]
        );
        restless = if quiet {
            // Each was equal at some moment; now all at one.
            keys.clone()
        } else {
            let troubled = copies.into_iter().filter(|copies| copies.trouble.is_some());
            troubled.map(|copies| copies.key).collect()
        };
        if !quiet {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

const SHOWN: usize = 10;

async fn owners(
    nodes: &[(String, Client)],
    keys: &BTreeSet<String>,
) -> BTreeMap<String, Vec<String>> {
    let client = &nodes[0].1;
    stream::iter(keys)
        .map(|key| async move { (key.clone(), client.owners(key).await) })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

/// Nothing is held for anybody.
async fn hints(nodes: &[(String, Client)]) -> Vec<String> {
    let mut troubles = Vec::new();
    for (id, client) in nodes {
        let held = client.hints().await;
        if held > 0 {
            troubles.push(format!("{id} holds {held} hints"));
        }
    }
    troubles
}

async fn look(
    nodes: &[(String, Client)],
    owners: &BTreeMap<String, Vec<String>>,
    keys: &BTreeSet<String>,
) -> Vec<Copies> {
    stream::iter(keys)
        .map(|key| copies(nodes, &owners[key], key))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

async fn copies(nodes: &[(String, Client)], owners: &[String], key: &str) -> Copies {
    let mut troubles = Vec::new();
    let mut hashes = BTreeSet::new();
    let mut values = BTreeSet::new();
    let mut clocks = Vec::new();
    for (id, client) in nodes {
        let copy = client.own(key).await;
        if owners.contains(id) {
            values.extend(writers_of(key, &copy.values));
            hashes.insert(copy.state_hash);
            clocks.push(format!(
                "{id} has {} values, {}",
                copy.values.len(),
                copy.clock
            ));
        } else if !copy.state_hash.is_empty() {
            troubles.push(format!("{id} has a stray, marked: {}", copy.marked));
        }
    }
    if hashes.len() > 1 {
        troubles.push(format!("owners differ: {}", clocks.join("; ")));
    }
    Copies {
        key: key.to_owned(),
        values,
        trouble: (!troubles.is_empty()).then(|| format!("{key}: {}", troubles.join("; "))),
    }
}
