//! What a node remembers of the cluster across restarts.

use std::collections::{BTreeMap, BTreeSet};

use dynamokv_gossip::{ClusterFacts, Gossip, StageMark};
use dynamokv_ring::{NodeId, PartitionId};
use dynamokv_rpc::{decode_facts, encode_facts};
use dynamokv_storage::{Batch, ObjectStore};

use crate::Error;

const FACTS: &str = "cluster/facts";
const MARK: &str = "cluster/change";
const REMOVALS: &str = "cluster/remove";
const PEERS: &str = "cluster/peers";
const MEMBER: &str = "cluster/member";
const LEAVING: &str = "cluster/leaving";
const FORGOTTEN: &str = "cluster/forgotten";

/// In place of the partitions: every one.
const ALL: &str = "all";

/// The durable part of what a node knows of the cluster and has said to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) facts: Option<ClusterFacts>,
    /// The stage that this node gossiped last.
    pub(crate) mark: Option<StageMark>,
    /// The removals that it acknowledged.
    pub(crate) removals: String,
    /// Where others were reached: found again without seeds, and asked before gossip has met them.
    pub(crate) peers: BTreeMap<NodeId, String>,
    /// Whether it ever was a member: then it must not join anew with what it still holds.
    pub(crate) member: bool,
    /// Whether it was asked to leave: it goes on with that after a restart.
    pub(crate) leaving: bool,
}

/// So many addresses are remembered at most; any one of them is enough to meet the others again.
const PEERS_MAX: usize = 4096;

/// The addresses of the other nodes; `before` as long as fewer are known, as right after a start.
pub(crate) fn addresses(
    gossip: &Gossip,
    before: &BTreeMap<NodeId, String>,
) -> BTreeMap<NodeId, String> {
    let others = gossip.members().filter(|state| state.id != gossip.id());
    let addresses: BTreeMap<NodeId, String> = others
        .map(|state| (state.id, state.profile.address.clone()))
        .take(PEERS_MAX)
        .collect();
    if addresses.len() < before.len() {
        before.clone()
    } else {
        addresses
    }
}

/// One peer a line: its id, a blank, its address.
fn peers_to_text(peers: &BTreeMap<NodeId, String>) -> String {
    let lines: Vec<String> = peers
        .iter()
        .map(|(id, address)| format!("{id} {address}"))
        .collect();
    lines.join("\n")
}

fn peers_from_text(text: &str) -> Option<BTreeMap<NodeId, String>> {
    let peer = |line: &str| {
        let (id, address) = line.split_once(' ')?;
        Some((id.parse().ok()?, address.to_owned()))
    };
    text.lines().map(peer).collect()
}

pub(crate) fn load(store: &ObjectStore) -> Result<Remembered, Error> {
    let text = |name| -> Result<String, Error> {
        let bytes = store.meta_get(name)?.unwrap_or_default();
        String::from_utf8(bytes.to_vec()).map_err(|_| Error::BadMemory { entry: name })
    };
    let facts = store
        .meta_get(FACTS)?
        .map(|bytes| decode_facts(&bytes))
        .transpose()?;
    let mark = Some(text(MARK)?).filter(|mark| !mark.is_empty());
    Ok(Remembered {
        facts,
        mark: mark
            .map(|mark| mark.parse())
            .transpose()
            .map_err(|_| Error::BadMemory { entry: MARK })?,
        removals: text(REMOVALS)?,
        peers: peers_from_text(&text(PEERS)?).ok_or(Error::BadMemory { entry: PEERS })?,
        member: !text(MEMBER)?.is_empty(),
        leaving: !text(LEAVING)?.is_empty(),
    })
}

/// Makes durable that this node is the first member of a new cluster.
pub(crate) fn found(store: &ObjectStore, facts: &ClusterFacts) -> Result<(), Error> {
    store.meta_put(FACTS, encode_facts(facts))?;
    Ok(store.meta_put(MEMBER, "yes")?)
}

/// The partitions of which this node may have forgotten what it acknowledged, of so many.
pub(crate) fn load_forgotten(
    store: &ObjectStore,
    partitions: u32,
) -> Result<BTreeSet<PartitionId>, Error> {
    let unreadable = || Error::BadMemory { entry: FORGOTTEN };
    let bytes = store.meta_get(FORGOTTEN)?.unwrap_or_default();
    let text = std::str::from_utf8(&bytes).map_err(|_| unreadable())?;
    if text == ALL {
        return Ok((0..partitions).map(PartitionId).collect());
    }
    let numbers = text.split_terminator(',').map(str::parse);
    let partitions: Result<BTreeSet<_>, _> = numbers.map(|n| n.map(PartitionId)).collect();
    partitions.map_err(|_| unreadable())
}

/// Remembers which partitions are left. Not synced: what is lost of it is compared once more.
pub(crate) fn save_forgotten(
    store: &ObjectStore,
    partitions: &BTreeSet<PartitionId>,
) -> Result<(), Error> {
    let numbers: Vec<String> = partitions.iter().map(|id| id.0.to_string()).collect();
    let mut batch = Batch::new();
    ObjectStore::stage_meta(&mut batch, FORGOTTEN, numbers.join(","));
    store.write(batch)?;
    Ok(())
}

/// Makes durable that this node may have forgotten something of every partition.
#[cfg(feature = "rocksdb")]
pub(crate) fn forget_all(store: &ObjectStore) -> Result<(), Error> {
    Ok(store.meta_put(FORGOTTEN, ALL)?)
}

/// Makes durable that this node belongs to another cluster, whose members it is yet to meet and of which it has forgotten
/// nothing.
#[cfg(feature = "rocksdb")]
pub(crate) fn move_to(store: &ObjectStore, facts: &ClusterFacts) -> Result<(), Error> {
    let mut batch = Batch::new();
    ObjectStore::stage_meta(&mut batch, FACTS, encode_facts(facts));
    ObjectStore::stage_meta(&mut batch, PEERS, "");
    ObjectStore::stage_meta(&mut batch, FORGOTTEN, "");
    store.write(batch)?;
    // Of its own, and so synced together with the batch before it.
    Ok(store.meta_put(REMOVALS, "")?)
}

/// Makes durable that this node was asked to leave.
pub(crate) async fn save_leaving(store: &ObjectStore) -> Result<(), dynamokv_storage::Error> {
    let mut batch = Batch::new();
    ObjectStore::stage_meta(&mut batch, LEAVING, "yes");
    store.synced(store.write(batch)?).await
}

/// Writes what changed, in one batch, and waits until it is synced.
pub(crate) async fn save(
    store: &ObjectStore,
    old: &Remembered,
    new: &Remembered,
) -> Result<(), Error> {
    let mut batch = Batch::new();
    if let Some(facts) = new
        .facts
        .as_ref()
        .filter(|facts| old.facts.as_ref() != Some(facts))
    {
        ObjectStore::stage_meta(&mut batch, FACTS, encode_facts(facts));
    }
    if let Some(mark) = new.mark.filter(|mark| old.mark != Some(*mark)) {
        ObjectStore::stage_meta(&mut batch, MARK, mark.to_string());
    }
    if new.removals != old.removals {
        ObjectStore::stage_meta(&mut batch, REMOVALS, &new.removals);
    }
    if new.peers != old.peers {
        ObjectStore::stage_meta(&mut batch, PEERS, peers_to_text(&new.peers));
    }
    if new.member && !old.member {
        ObjectStore::stage_meta(&mut batch, MEMBER, "yes");
    }
    if new.leaving && !old.leaving {
        ObjectStore::stage_meta(&mut batch, LEAVING, "yes");
    }
    if batch.is_empty() {
        return Ok(());
    }
    let seq = store.write(batch)?;
    Ok(store.synced(seq).await?)
}
