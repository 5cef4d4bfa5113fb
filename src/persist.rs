//! What a node remembers of the cluster across restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use dynamokv_gossip::{ChangeId, ClusterFacts, Gossip, StageMark};
use dynamokv_handoff::Positions;
use dynamokv_ring::{NodeId, PartitionId, Zone};
use dynamokv_rpc::{decode_facts, encode_facts};
use dynamokv_storage::{Batch, ObjectStore};

use crate::Error;

const FACTS: &str = "cluster/facts";
const MARK: &str = "cluster/change";
const REMOVALS: &str = "cluster/remove";
const PEERS: &str = "cluster/peers";
const MEMBER: &str = "cluster/member";
const LEAVING: &str = "cluster/leaving";
const PLACE: &str = "cluster/place";
const FORGOTTEN: &str = "cluster/forgotten";
const ALIVE: &str = "cluster/alive";
const STRAYS: &str = "cluster/strays";
const OLDER: &str = "cluster/older";

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

impl Remembered {
    /// The number of the change that made the present ring.
    pub(crate) fn ring_number(&self) -> Option<u64> {
        self.facts.as_ref().map(|facts| facts.current.number)
    }
}

/// A mark of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Alive {
    /// When the node ran last, in milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    /// No heartbeat beyond this one was ever made.
    pub(crate) heartbeats: u64,
}

/// Makes durable that this node runs.
pub(crate) fn save_alive(store: &ObjectStore, alive: Alive) -> Result<(), Error> {
    Ok(store.meta_put(ALIVE, alive.encode())?)
}

/// The same, on the way.
pub(crate) async fn keep_alive(store: &ObjectStore, alive: Alive) -> Result<(), Error> {
    let mut batch = Batch::new();
    ObjectStore::stage_meta(&mut batch, ALIVE, alive.encode());
    let seq = store.write(batch)?;
    Ok(store.synced(seq).await?)
}

/// The latest mark, if this node ever ran.
pub(crate) fn load_alive(store: &ObjectStore) -> Result<Option<Alive>, Error> {
    let Some(bytes) = store.meta_get(ALIVE)? else {
        return Ok(None);
    };
    let alive = Alive::decode(&bytes).ok_or(Error::BadMemory { entry: ALIVE })?;
    Ok(Some(alive))
}

impl Alive {
    fn encode(self) -> [u8; 16] {
        let both = u128::from(self.at_ms) << 64 | u128::from(self.heartbeats);
        both.to_be_bytes()
    }

    /// Earlier versions kept no count of heartbeats.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (at_ms, heartbeats) = bytes.split_first_chunk()?;
        let heartbeats = match heartbeats {
            [] => 0,
            heartbeats => u64::from_be_bytes(heartbeats.try_into().ok()?),
        };
        Some(Self {
            at_ms: u64::from_be_bytes(*at_ms),
            heartbeats,
        })
    }
}

/// Makes durable that the disk is an older copy: otherwise one that starts often enough would pass for the newest.
pub(crate) fn save_older(store: &ObjectStore, why: &str) -> Result<(), Error> {
    Ok(store.meta_put(OLDER, why)?)
}

/// Since when this node may keep what it owns no longer, in milliseconds since the Unix epoch: the end of the first membership change
/// after which not everything of that kind was let go of. `None` where nothing of the kind is left.
pub(crate) fn strays_since(store: &ObjectStore) -> Result<Option<u64>, Error> {
    let since = store.meta_get(STRAYS)?;
    Ok(since.and_then(|ms| ms.as_ref().try_into().ok().map(u64::from_be_bytes)))
}

/// Everything that this node owns no longer was let go of. Not synced: if that is lost, what it keeps after the next change seems
/// older than it is, and is dropped without being handed over once more to those who have it.
pub(crate) fn forget_strays(store: &ObjectStore) -> Result<(), Error> {
    if strays_since(store)?.is_some() {
        let mut batch = Batch::new();
        ObjectStore::stage_meta_removal(&mut batch, STRAYS);
        store.write(batch)?;
    }
    Ok(())
}

/// Where a node stands among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) weight: NonZeroU32,
    /// Without a line break.
    pub(crate) zone: Zone,
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
    let why = text(OLDER)?;
    if !why.is_empty() {
        return Err(Error::OlderDisk { why });
    }
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

/// How far the transfer of a partition came, if that was for this very change. What cannot be used is pulled from the beginning.
pub(crate) fn load_positions(
    store: &ObjectStore,
    change: ChangeId,
    partition: PartitionId,
) -> Positions {
    let kept = match store.meta_get(&positions_of(partition)) {
        Ok(kept) => kept,
        Err(error) => {
            tracing::warn!(%partition, %error, "how far the transfer came is not known");
            None
        }
    };
    let positions = kept.and_then(|bytes| {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let same = bytes.get(..end)? == change.to_string().as_bytes();
        same.then(|| Positions::decode(&bytes.slice(end + 1..)))?
    });
    positions.unwrap_or_default()
}

/// Notes how far it has come. Not synced: what is lost of it is pulled once more.
pub(crate) fn save_positions(
    store: &ObjectStore,
    change: ChangeId,
    partition: PartitionId,
    positions: &Positions,
) -> Result<(), Error> {
    let value = [format!("{change}\n").as_bytes(), &positions.encode()].concat();
    let mut batch = Batch::new();
    ObjectStore::stage_meta(&mut batch, &positions_of(partition), value);
    store.write(batch)?;
    Ok(())
}

/// They were of a change that is over.
pub(crate) fn drop_positions(
    store: &ObjectStore,
    partitions: impl IntoIterator<Item = PartitionId>,
) -> Result<(), Error> {
    let mut batch = Batch::new();
    for partition in partitions {
        ObjectStore::stage_meta_removal(&mut batch, &positions_of(partition));
    }
    store.write(batch)?;
    Ok(())
}

fn positions_of(partition: PartitionId) -> String {
    format!("transfer/{}", partition.0)
}

/// The weight and zone that an operator ordered, unless the configuration has said something new since.
pub(crate) fn load_place(store: &ObjectStore, configured: &Place) -> Result<Place, Error> {
    let unreadable = || Error::BadMemory { entry: PLACE };
    let bytes = store.meta_get(PLACE)?.unwrap_or_default();
    if bytes.is_empty() {
        return Ok(configured.clone());
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| unreadable())?;
    let (ordered, then_configured) = text.split_once('\n').ok_or_else(unreadable)?;
    let place = |text: &str| {
        let (weight, zone) = text.split_once(' ')?;
        let weight = weight.parse().ok()?;
        let zone = Zone::from(zone);
        Some(Place { weight, zone })
    };
    let ordered = place(ordered).ok_or_else(unreadable)?;
    let news = place(then_configured).as_ref() != Some(configured);
    Ok(if news { configured.clone() } else { ordered })
}

/// Makes durable what an operator ordered, and what the configuration said then.
pub(crate) async fn save_place(
    store: &ObjectStore,
    ordered: &Place,
    configured: &Place,
) -> Result<(), dynamokv_storage::Error> {
    let text = |place: &Place| format!("{} {}", place.weight, place.zone);
    let mut batch = Batch::new();
    let both = [text(ordered), text(configured)].join("\n");
    ObjectStore::stage_meta(&mut batch, PLACE, both);
    store.synced(store.write(batch)?).await
}

/// Makes durable that this node was asked to leave.
pub(crate) async fn save_leaving(store: &ObjectStore) -> Result<(), dynamokv_storage::Error> {
    let mut batch = Batch::new();
    ObjectStore::stage_meta(&mut batch, LEAVING, "yes");
    store.synced(store.write(batch)?).await
}

/// Writes what changed, in one batch, and waits until it is synced. A ring that is another one makes strays, since `now_ms` unless
/// there are older ones.
pub(crate) async fn save(
    store: &ObjectStore,
    old: &Remembered,
    new: &Remembered,
    now_ms: u64,
) -> Result<(), Error> {
    let mut batch = Batch::new();
    if old.ring_number() != new.ring_number() && strays_since(store)?.is_none() {
        ObjectStore::stage_meta(&mut batch, STRAYS, now_ms.to_be_bytes());
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use dynamokv_handoff::Position;
    use dynamokv_storage::{Family, MemoryEngine, StoreOptions};

    use super::*;

    fn store() -> Arc<ObjectStore> {
        let engine = Arc::new(MemoryEngine::new(Family::CLUSTER));
        ObjectStore::open(engine, StoreOptions::new(1, 1)).unwrap()
    }

    #[test]
    fn positions_are_those_of_one_change_and_partition() {
        let store = store();
        let change = |number| ChangeId {
            number,
            proposer: NodeId(1),
        };
        let (one, other) = (PartitionId(1), PartitionId(2));
        let positions = Positions([(NodeId(3), Position::Complete)].into());
        let load = |number, partition| load_positions(&store, change(number), partition);
        save_positions(&store, change(7), one, &positions).unwrap();
        assert_eq!(load(7, one), positions);
        assert_eq!(load(8, one), Positions::default(), "another change");
        assert_eq!(load(7, other), Positions::default(), "another partition");
        drop_positions(&store, [one, other]).unwrap();
        assert_eq!(load(7, one), Positions::default());
    }

    #[test]
    fn a_mark_of_life_is_found_again_and_so_is_one_without_heartbeats() {
        let store = store();
        assert_eq!(load_alive(&store).unwrap(), None);
        let alive = Alive {
            at_ms: 1 << 41,
            heartbeats: 77,
        };
        save_alive(&store, alive).unwrap();
        assert_eq!(load_alive(&store).unwrap(), Some(alive));
        store.meta_put(ALIVE, alive.at_ms.to_be_bytes()).unwrap();
        let earlier = Alive {
            heartbeats: 0,
            ..alive
        };
        assert_eq!(load_alive(&store).unwrap(), Some(earlier));
        store.meta_put(ALIVE, "text").unwrap();
        assert!(matches!(load_alive(&store), Err(Error::BadMemory { .. })));
    }

    #[tokio::test]
    async fn strays_are_as_old_as_the_first_ring_that_nobody_swept_after() {
        let store = store();
        let ring = |number| {
            let me = dynamokv_ring::Member::new(NodeId(1));
            let mut facts = ClusterFacts::found(1, "c", 8, 3, me).unwrap();
            facts.current.number = number;
            Remembered {
                facts: Some(facts),
                ..Remembered::default()
            }
        };
        let since = || strays_since(&store).unwrap();
        save(&store, &ring(1), &ring(1), 50).await.unwrap();
        assert_eq!(since(), None, "the same ring");
        save(&store, &ring(1), &ring(2), 100).await.unwrap();
        save(&store, &ring(2), &ring(3), 300).await.unwrap();
        assert_eq!(since(), Some(100));
        forget_strays(&store).unwrap();
        assert_eq!(since(), None);
        save(&store, &ring(3), &ring(4), 400).await.unwrap();
        assert_eq!(since(), Some(400));
    }

    #[tokio::test]
    async fn an_order_holds_until_the_configuration_says_something_new() {
        let store = store();
        let place = |weight, zone: &str| Place {
            weight: NonZeroU32::new(weight).unwrap(),
            zone: Zone::from(zone),
        };
        let (configured, ordered) = (place(100, "a b"), place(300, ""));
        assert_eq!(load_place(&store, &configured).unwrap(), configured);
        save_place(&store, &ordered, &configured).await.unwrap();
        assert_eq!(load_place(&store, &configured).unwrap(), ordered);
        let moved = place(100, "c");
        assert_eq!(load_place(&store, &moved).unwrap(), moved);
    }
}
