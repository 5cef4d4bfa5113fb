//! What a node finds at its start, and what it tells the others of itself.

use std::sync::Arc;

use dynamokv_antientropy::Forest;
use dynamokv_gossip::{
    ClusterFacts, Gossip, GossipHandle, KEY_CHANGE, KEY_REMOVE, KEY_REPLACES, LocalNode, Profile,
    Status,
};
use dynamokv_ring::{Member, NodeId, Zone};
use dynamokv_storage::{ObjectStore, StoreOptions};

use crate::absence::Absence;
use crate::parts::Surroundings;
use crate::persist::{self, Place, Remembered};
use crate::trees::Gardener;
use crate::{Error, NodeConfig, engine, trees};

pub(crate) fn open_store(
    config: &NodeConfig,
    around: &Surroundings,
) -> Result<(Arc<ObjectStore>, Arc<Forest>), Error> {
    let kept = ObjectStore::owner(around.engine.as_ref())?.map(NodeId);
    let id = config
        .node_id()?
        .or(kept)
        .unwrap_or(NodeId(around.random_seed.max(1)));
    let options = StoreOptions {
        durability: engine::durability(config),
        sync_mode: around.sync_mode,
        sibling_limit_soft: config.siblings_soft,
        sibling_limit_hard: config.siblings_hard,
        value_bytes_max: config.value_bytes_max,
        cache_bytes: config.cache_mib.saturating_mul(MIB),
        ..StoreOptions::new(id.0, around.random_seed)
    };
    let trees = Arc::new(Forest::new(false));
    let gardener = Gardener(Arc::clone(&trees));
    let store = ObjectStore::open_observed(Arc::clone(&around.engine), options, gardener)?;
    if !trees::load(&trees, &store) {
        tracing::debug!("hash trees are counted anew");
    }
    Ok((store, trees))
}

/// What the node knew before, or the facts of the cluster that it founds.
pub(crate) fn recall(
    config: &NodeConfig,
    store: &ObjectStore,
    me: NodeId,
    random_seed: u64,
) -> Result<Remembered, Error> {
    let old = persist::load(store)?;
    let in_a_ring = old.facts.as_ref().is_some_and(|facts| facts.in_a_ring(me));
    if old.member && !in_a_ring && !old.leaving {
        return Err(Error::Removed);
    }
    if old.facts.is_some() || !config.bootstrap {
        return Ok(old);
    }
    let cluster_id = random_seed.rotate_left(32).max(1);
    let facts = ClusterFacts::found(
        cluster_id,
        &config.cluster,
        config.partitions,
        config.replicas,
        member(config, me),
    )?;
    persist::found(store, &facts)?;
    tracing::info!(cluster = %config.cluster, partitions = config.partitions, replicas = config.replicas, "cluster founded");
    Ok(Remembered {
        facts: Some(facts),
        member: true,
        ..old
    })
}

fn member(config: &NodeConfig, id: NodeId) -> Member {
    Member::new(id)
        .with_weight(config.weight)
        .with_zone(Zone::from(config.zone.as_str()))
}

pub(crate) fn start_gossip(
    config: &NodeConfig,
    store: &ObjectStore,
    (remembered, absence): (&Remembered, &Absence),
    address: &str,
    random_seed: u64,
) -> Result<GossipHandle, Error> {
    let id = NodeId(store.options().node);
    let settings = dynamokv_gossip::Config {
        phi_threshold: config.phi_threshold,
        ..dynamokv_gossip::Config::new(&config.cluster).with_interval(config.gossip_interval())
    };
    let name = if config.name.is_empty() {
        id.to_string()
    } else {
        config.name.clone()
    };
    let place = persist::load_place(store, &configured_place(config))?;
    let replaced = config.replaced_id()?;
    let status = status_at_start(remembered, id, replaced.is_some());
    let replaces = replaced.filter(|_| status == Status::Replacing);
    let local = LocalNode {
        heartbeats_before: Some(absence.heartbeats()),
        profile: Profile {
            name,
            address: address.to_owned(),
            zone: place.zone,
            weight: place.weight,
            status,
        },
        kv: [
            (
                KEY_CHANGE,
                remembered
                    .mark
                    .map(|mark| mark.to_string())
                    .unwrap_or_default(),
            ),
            (KEY_REMOVE, remembered.removals.clone()),
            (
                KEY_REPLACES,
                replaces.map(|dead| dead.to_string()).unwrap_or_default(),
            ),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value))
        .collect(),
        ..LocalNode::new(id, store.generation(), address)
    };
    let seeds = config
        .seeds
        .iter()
        .chain(remembered.peers.values())
        .cloned()
        .collect();
    let now = tokio::time::Instant::now().into_std();
    let mut gossip = Gossip::new(settings, local, seeds, random_seed, now)?;
    if let Some(facts) = remembered.facts.clone() {
        gossip.set_facts(facts)?;
    }
    Ok(GossipHandle::new(gossip))
}

/// Where the configuration puts the node.
pub(crate) fn configured_place(config: &NodeConfig) -> Place {
    Place {
        weight: config.weight,
        zone: Zone::from(config.zone.as_str()),
    }
}

fn status_at_start(remembered: &Remembered, id: NodeId, replaces: bool) -> Status {
    let member = remembered
        .facts
        .as_ref()
        .is_some_and(|facts| facts.current.contains(id));
    match (remembered.leaving, member) {
        (true, _) => Status::Leaving,
        (false, true) => Status::Up,
        (false, false) if replaces => Status::Replacing,
        (false, false) => Status::Joining,
    }
}

const MIB: usize = 1 << 20;
