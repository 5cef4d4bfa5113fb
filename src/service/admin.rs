//! What operators ask, and the two changes that they order.

use std::collections::{BTreeMap, BTreeSet};

use dynamokv_coordinator::{Membership, View};
use dynamokv_gossip::{Change, ChangeProgress, ClusterFacts, Gossip, NodeState, Status};
use dynamokv_handoff::Held;
use dynamokv_ring::{NodeId, PartitionId, Placement};
use dynamokv_rpc::{AdminError, AdminService, local_copy, pb};
use dynamokv_storage::ObjectKey;

use super::{Service, exchanges, snapshot};
use crate::config::DurabilityMode;
use crate::persist;
use crate::transport::Transport;

impl<T: Transport> AdminService for Service<T> {
    async fn status(&self, _: pb::StatusRequest) -> Result<pb::StatusResponse, AdminError> {
        let core = &self.core;
        let view = core.cluster.view();
        let held = self.held()?;
        let hints = held.values().map(|held| held.hints).sum();
        let durability = match self.config.durability {
            DurabilityMode::Sync => "sync",
            DurabilityMode::Interval => "interval",
            DurabilityMode::Os => "os",
        };
        Ok(core.cluster.gossip().with(|gossip| {
            let local = gossip.local();
            let status = gossip.status_of(core.me).unwrap_or(local.profile.status);
            pb::StatusResponse {
                node: core.me.to_string(),
                name: local.profile.name.clone(),
                address: self.address.clone(),
                cluster_name: self.config.cluster.clone(),
                cluster_id: gossip
                    .facts()
                    .map(|facts| format!("{:016x}", facts.cluster_id))
                    .unwrap_or_default(),
                status: pb::NodeStatus::from(status).into(),
                generation: local.generation,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                engine: core.store.engine().name().to_owned(),
                durability: durability.to_owned(),
                uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
                opened_clean: core.store.opened_clean(),
                ready: view.has_member(core.me),
                replicas: count(view.current.replicas_wanted()),
                read_quorum: count(self.config.read_quorum),
                write_quorum: count(self.config.write_quorum),
                nodes_known: count(gossip.members().count()),
                nodes_live: count(gossip.live_count()),
                hints,
                warnings: [
                    cluster_warnings(&view, gossip),
                    hint_warnings(&held),
                    self.store_warnings(),
                ]
                .concat(),
            }
        }))
    }

    async fn members(&self, _: pb::MembersRequest) -> Result<pb::MembersResponse, AdminError> {
        let view = self.core.cluster.view();
        let members = self.core.cluster.gossip().with(|gossip| {
            gossip
                .members()
                .map(|state| describe(state, gossip, &view))
                .collect()
        });
        Ok(pb::MembersResponse { members })
    }

    async fn ring(&self, request: pb::RingRequest) -> Result<pb::RingResponse, AdminError> {
        let view = self.core.cluster.view();
        let ring = view.current.as_ref();
        let location = request
            .locate
            .map(|locator| locate(locator, &view))
            .transpose()?;
        Ok(pb::RingResponse {
            partitions: ring.partitions(),
            replicas: count(ring.replicas_wanted()),
            change: view.fence.number,
            fingerprint: format!("{:016x}", ring.fingerprint()),
            shares: shares(ring),
            open: self.open_change(&view),
            location,
        })
    }

    async fn hints(&self, _: pb::HintsRequest) -> Result<pb::HintsResponse, AdminError> {
        let (hints, mut held) = (&self.core.hints, self.held()?);
        let (deliveries, now_ms) = (hints.deliveries(), hints.now_ms());
        for target in deliveries.keys() {
            held.entry(*target).or_default();
        }
        let targets = held.into_iter().filter_map(|(target, held)| {
            let delivered = deliveries.get(&target).filter(|of| of.objects > 0);
            let shown = !held.is_empty() || delivered.is_some();
            shown.then(|| pb::HintCount {
                target: target.to_string(),
                count: held.hints,
                dirty_ranges: count(held.slices),
                oldest_ms: held.oldest_ms.map(|ms| now_ms.saturating_sub(ms)),
                delivered: delivered.map_or(0, |of| of.objects),
                last_delivery_ms: delivered.map(|of| now_ms.saturating_sub(of.last_ms)),
            })
        });
        Ok(pb::HintsResponse {
            targets: targets.collect(),
        })
    }

    async fn exchanges(
        &self,
        _: pb::ExchangesRequest,
    ) -> Result<pb::ExchangesResponse, AdminError> {
        Ok(exchanges::report(&self.core))
    }

    async fn read_local(
        &self,
        request: pb::ReadLocalRequest,
    ) -> Result<pb::ReadLocalResponse, AdminError> {
        let key = object_key(&request.keyspace, request.key)?;
        let copy = self
            .core
            .replica
            .own_copy(&key)
            .map_err(|error| AdminError::Failed(error.to_string()))?;
        Ok(local_copy(&key, &copy))
    }

    async fn leave(&self, _: pb::LeaveRequest) -> Result<pb::LeaveResponse, AdminError> {
        let core = &self.core;
        let gossip = core.cluster.gossip();
        let refused = |reason: &str| AdminError::Precondition(reason.to_owned());
        gossip.with(|gossip| {
            if gossip
                .facts()
                .is_none_or(|facts| facts.current.members.len() < 2)
            {
                return Err(refused(
                    "this node is the only member: there is nobody to hand its data to",
                ));
            }
            match gossip.local().profile.status {
                Status::Up | Status::Leaving => Ok(()),
                status => Err(refused(&format!(
                    "this node is {status}, and only a member can leave"
                ))),
            }
        })?;
        // Durable before it is answered: a restart goes on with it.
        let saved = persist::save_leaving(&core.store).await;
        saved.map_err(|error| AdminError::Failed(error.to_string()))?;
        let said = gossip.with(|gossip| gossip.set_status(Status::Leaving));
        said.map_err(|error| AdminError::Precondition(error.to_string()))?;
        core.cluster.refresh();
        gossip.kick();
        Ok(pb::LeaveResponse {})
    }

    async fn snapshot(
        &self,
        request: pb::SnapshotRequest,
    ) -> Result<pb::SnapshotResponse, AdminError> {
        let folder = self.config.snapshot_dir.as_deref();
        let path = snapshot::write(self.core.store.engine(), folder, &request.name).await?;
        Ok(pb::SnapshotResponse {
            path: path.display().to_string(),
        })
    }

    async fn remove(&self, request: pb::RemoveRequest) -> Result<pb::RemoveResponse, AdminError> {
        let node: NodeId = request
            .node
            .parse()
            .map_err(|error: dynamokv_ring::Error| {
                AdminError::InvalidArgument(format!("node: {error}"))
            })?;
        let gossip = self.core.cluster.gossip();
        gossip
            .with(|gossip| gossip.request_removal(node))
            .map_err(|error| AdminError::Precondition(error.to_string()))?;
        self.core.cluster.refresh();
        gossip.kick();
        Ok(pb::RemoveResponse {})
    }
}

impl<T: Transport> Service<T> {
    fn held(&self) -> Result<BTreeMap<NodeId, Held>, AdminError> {
        let hints = &self.core.hints;
        let targets = hints.targets().into_iter();
        targets
            .map(|target| {
                let held = hints.held(target);
                let held = held.map_err(|error| AdminError::Failed(error.to_string()))?;
                Ok((target, held))
            })
            .collect()
    }

    fn store_warnings(&self) -> Vec<String> {
        let counters = self.core.store.counters();
        let mut warnings = Vec::new();
        if counters.damaged_records > 0 {
            warnings.push(format!(
                "damaged records were met {} times",
                counters.damaged_records
            ));
        }
        if self.core.store.is_full() {
            warnings
                .push("the disk is full: this node refuses writes until there is room".to_owned());
        }
        if let Some(reason) = self.core.store.poison() {
            warnings.push(format!(
                "a sync failed ({reason}): this node refuses writes until it is started again"
            ));
        }
        let soft = self.config.siblings_soft as u64;
        if counters.siblings_max >= soft {
            warnings.push(format!(
                "a key has had {} siblings (soft limit {soft})",
                counters.siblings_max
            ));
        }
        if counters.siblings_refused > 0 {
            warnings.push(format!(
                "{} writes were refused for too many siblings",
                counters.siblings_refused
            ));
        }
        warnings
    }

    fn open_change(&self, view: &View) -> Option<pb::OpenChange> {
        let next = view.next.as_ref()?;
        let progress = *self.streaming.borrow();
        self.core.cluster.gossip().with(|gossip| {
            let facts = gossip.facts()?;
            let open = facts.open.as_ref()?;
            let walk = ChangeProgress::new(self.core.me, gossip.local().stage_mark());
            let stage = walk
                .stage(facts)
                .map_or_else(|| "none".to_owned(), |stage| stage.to_string());
            let blockers = walk.blocked_by(facts, &gossip.change_view());
            Some(pb::OpenChange {
                number: open.target.number,
                proposer: open.proposer.to_string(),
                stage,
                fingerprint: format!("{:016x}", next.fingerprint()),
                joining: names(coming(facts, open)),
                leaving: names(leaving(facts, open)),
                removing: names(open.removing.iter().copied()),
                blocked_by: names(blockers),
                partitions_gained: count(progress.partitions),
                partitions_streamed: count(progress.complete),
            })
        })
    }
}

fn coming(facts: &ClusterFacts, open: &Change) -> Vec<NodeId> {
    open.target
        .ids()
        .filter(|id| !facts.current.contains(*id))
        .collect()
}

fn leaving(facts: &ClusterFacts, open: &Change) -> Vec<NodeId> {
    let stays = |id: &NodeId| open.target.contains(*id) || open.removing.contains(id);
    facts.current.ids().filter(|id| !stays(id)).collect()
}

fn names(ids: impl IntoIterator<Item = NodeId>) -> Vec<String> {
    ids.into_iter().map(|id| id.to_string()).collect()
}

pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn cluster_warnings(view: &View, gossip: &Gossip) -> Vec<String> {
    let mut warnings = Vec::new();
    let owned = |partition: &&PartitionId| view.current.owns(view.me, **partition);
    let forgotten = view.forgotten.iter().filter(owned).count();
    if forgotten > 0 {
        warnings.push(format!(
            "{forgotten} partitions are not refilled since this node was restored: it does not count in reads of them"
        ));
    }
    let (members, wanted) = (view.current.members().len(), view.current.replicas_wanted());
    if !view.has_member(view.me) {
        warnings.push("this node waits to be let in".to_owned());
    } else if members < wanted {
        warnings.push(format!(
            "{members} members cannot keep {wanted} copies of each key"
        ));
    }
    let down: BTreeSet<NodeId> = view
        .current
        .members()
        .iter()
        .map(|member| member.id)
        .filter(|id| !gossip.is_live(*id))
        .collect();
    for id in down {
        warnings.push(format!("{id} is down"));
    }
    warnings
}

fn hint_warnings(held: &BTreeMap<NodeId, Held>) -> Vec<String> {
    let whole = held.iter().filter(|(_, held)| held.slices > 0);
    whole
        .map(|(target, held)| {
            format!(
                "more is held for {target} than `hints-max` objects: {} ranges are handed over as a whole",
                held.slices
            )
        })
        .collect()
}

fn describe(state: &NodeState, gossip: &Gossip, view: &View) -> pb::Member {
    let status = gossip.status_of(state.id).unwrap_or(state.profile.status);
    pb::Member {
        node: state.id.to_string(),
        name: state.profile.name.clone(),
        address: state.profile.address.clone(),
        zone: state.profile.zone.as_str().to_owned(),
        weight: state.profile.weight.get(),
        status: pb::NodeStatus::from(status).into(),
        live: gossip.is_live(state.id),
        generation: state.generation,
        heartbeat: gossip.heartbeat(state.id).unwrap_or_default(),
        in_ring: view.current.contains(state.id),
        in_next_ring: view
            .next
            .as_ref()
            .is_some_and(|ring| ring.contains(state.id)),
        details: state
            .kv
            .iter()
            .map(|(key, entry)| (key.clone(), entry.value.clone()))
            .collect(),
    }
}

fn shares(ring: &dyn Placement) -> Vec<pb::RingShare> {
    let mut held: BTreeMap<NodeId, (u32, u32)> = ring
        .members()
        .iter()
        .map(|member| (member.id, (0, 0)))
        .collect();
    for partition in ring.partition_ids() {
        for (place, owner) in ring.owners_of(partition).iter().enumerate() {
            let (partitions, first) = held.entry(*owner).or_default();
            *partitions += 1;
            *first += u32::from(place == 0);
        }
    }
    let copies: u32 = held.values().map(|(partitions, _)| partitions).sum();
    held.into_iter()
        .map(|(node, (partitions, first))| pb::RingShare {
            node: node.to_string(),
            partitions,
            first,
            share: f64::from(partitions) / f64::from(copies.max(1)),
        })
        .collect()
}

fn locate(locator: pb::KeyLocator, view: &View) -> Result<pb::KeyLocation, AdminError> {
    let key = object_key(&locator.keyspace, locator.key)?;
    let token = key.token();
    let owners = view.current.owners(token);
    Ok(pb::KeyLocation {
        token: token.to_string(),
        partition: view.current.partition_of(token).0,
        owners: names(owners.iter().copied()),
        next_owners: names(
            view.next
                .iter()
                .flat_map(|next| next.owners(token).iter().copied()),
        ),
        fallbacks: names(view.fallbacks(token, &[owners])),
    })
}

fn object_key(keyspace: &str, key: bytes::Bytes) -> Result<ObjectKey, AdminError> {
    let keyspace = if keyspace.is_empty() {
        DEFAULT_KEYSPACE
    } else {
        keyspace
    };
    ObjectKey::new(keyspace, key).map_err(|error| AdminError::InvalidArgument(error.to_string()))
}

/// The keyspace of requests that name none.
const DEFAULT_KEYSPACE: &str = "default";
