//! What operators ask, and the changes that they order.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use dynamokv_coordinator::Membership;
use dynamokv_gossip::{Status, TEXT_BYTES_MAX};
use dynamokv_handoff::Held;
use dynamokv_ring::{NodeId, Zone};
use dynamokv_rpc::{AdminError, AdminService, local_copy, pb};

use super::shown::{
    cluster_warnings, count, describe, hint_warnings, locate, object_key, open_change, pending,
    shares, transfers,
};
use super::{Service, exchanges, preview, snapshot};
use crate::config::DurabilityMode;
use crate::opening::configured_place;
use crate::persist::{self, Place};
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
        let (open, pending) = self.core.cluster.gossip().with(|gossip| {
            let streaming = self.streaming.borrow();
            (
                open_change(gossip, &view, streaming.as_ref()),
                pending(gossip),
            )
        });
        Ok(pb::RingResponse {
            partitions: ring.partitions(),
            replicas: count(ring.replicas_wanted()),
            change: view.fence.number,
            fingerprint: format!("{:016x}", ring.fingerprint()),
            shares: shares(ring),
            open,
            location,
            pending,
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

    async fn set_place(
        &self,
        request: pb::SetPlaceRequest,
    ) -> Result<pb::SetPlaceResponse, AdminError> {
        let core = &self.core;
        let gossip = core.cluster.gossip();
        let known = gossip.with(|gossip| {
            let profile = &gossip.local().profile;
            Place {
                weight: profile.weight,
                zone: profile.zone.clone(),
            }
        });
        let ordered = Place {
            weight: request.weight.map_or(Ok(known.weight), weight)?,
            zone: request.zone.map_or(Ok(known.zone), zone)?,
        };
        // Durable before it is answered: a restart goes on with it.
        let configured = configured_place(&self.config);
        let saved = persist::save_place(&core.store, &ordered, &configured);
        let failed = |error: dynamokv_storage::Error| AdminError::Failed(error.to_string());
        saved.await.map_err(failed)?;
        let Place { weight, zone } = ordered;
        let said = gossip.with(|gossip| gossip.set_place(weight, zone));
        said.map_err(|error| AdminError::InvalidArgument(error.to_string()))?;
        core.cluster.refresh();
        gossip.kick();
        Ok(pb::SetPlaceResponse {})
    }

    async fn preview_change(
        &self,
        request: pb::PreviewChangeRequest,
    ) -> Result<pb::PreviewChangeResponse, AdminError> {
        preview::preview(&self.core, &request)
    }

    async fn transfers(
        &self,
        _: pb::TransfersRequest,
    ) -> Result<pb::TransfersResponse, AdminError> {
        let config = self.config.transfer();
        Ok(transfers(self.streaming.borrow().as_ref(), &config))
    }

    async fn remove(&self, request: pb::RemoveRequest) -> Result<pb::RemoveResponse, AdminError> {
        let node = node_id("node", &request.node)?;
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
}

/// Reads a node's id from a field.
pub(super) fn node_id(field: &str, text: &str) -> Result<NodeId, AdminError> {
    text.parse().map_err(|error: dynamokv_ring::Error| {
        AdminError::InvalidArgument(format!("{field}: {error}"))
    })
}

pub(super) fn weight(given: u32) -> Result<NonZeroU32, AdminError> {
    let zero = || AdminError::InvalidArgument("weight: is 0, but must be at least 1".to_owned());
    NonZeroU32::new(given).ok_or_else(zero)
}

pub(super) fn zone(given: String) -> Result<Zone, AdminError> {
    let wrong = |reason: String| AdminError::InvalidArgument(format!("zone: {reason}"));
    if given.len() > TEXT_BYTES_MAX {
        let reason = format!("has {} bytes, but may have {TEXT_BYTES_MAX}", given.len());
        return Err(wrong(reason));
    }
    if given.chars().any(char::is_control) {
        return Err(wrong("has a control character".to_owned()));
    }
    Ok(Zone::from(given))
}
