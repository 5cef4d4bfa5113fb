//! Cluster facts, for peers and for the disk.

use std::num::NonZeroU32;

use bytes::Bytes;
use dynamokv_gossip::{Change, ClusterFacts, Target};
use dynamokv_ring::{Member, NodeId};
use prost::Message;

use super::{all, saturating_u32};
use crate::error::required;
use crate::{Error, Result, pb};

/// The facts as bytes, fit to be kept on disk: later releases read them.
pub fn encode_facts(facts: &ClusterFacts) -> Bytes {
    pb::ClusterFacts::from(facts).encode_to_vec().into()
}

/// Reads what [`encode_facts`] wrote, and checks that the facts do not contradict themselves.
///
/// # Errors
/// [`Error::Malformed`] or [`Error::Field`] for anything else.
pub fn decode_facts(bytes: &[u8]) -> Result<ClusterFacts> {
    let message = pb::ClusterFacts::decode(bytes).map_err(|error| Error::Malformed {
        message: "ClusterFacts",
        reason: error.to_string(),
    })?;
    let facts = ClusterFacts::try_from(message)?;
    facts
        .validate()
        .map_err(|error| Error::field("facts", error))?;
    Ok(facts)
}

impl From<&ClusterFacts> for pb::ClusterFacts {
    fn from(facts: &ClusterFacts) -> Self {
        Self {
            cluster_id: facts.cluster_id,
            cluster_name: facts.cluster_name.clone(),
            partitions: facts.partitions,
            current: Some((&facts.current).into()),
            open: facts.open.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<pb::ClusterFacts> for ClusterFacts {
    type Error = Error;

    fn try_from(message: pb::ClusterFacts) -> Result<Self> {
        Ok(Self {
            cluster_id: message.cluster_id,
            cluster_name: message.cluster_name,
            partitions: message.partitions,
            current: required("facts.current", message.current)?.try_into()?,
            open: message.open.map(Change::try_from).transpose()?,
        })
    }
}

impl From<&Change> for pb::RingChange {
    fn from(change: &Change) -> Self {
        Self {
            proposer: change.proposer.0,
            target: Some((&change.target).into()),
            removing: change.removing.iter().map(|node| node.0).collect(),
        }
    }
}

impl TryFrom<pb::RingChange> for Change {
    type Error = Error;

    fn try_from(message: pb::RingChange) -> Result<Self> {
        Ok(Self {
            proposer: NodeId(message.proposer),
            target: required("facts.open.target", message.target)?.try_into()?,
            removing: message.removing.into_iter().map(NodeId).collect(),
        })
    }
}

impl From<&Target> for pb::RingTarget {
    fn from(target: &Target) -> Self {
        Self {
            number: target.number,
            replicas: saturating_u32(target.replicas),
            members: target.members.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::RingTarget> for Target {
    type Error = Error;

    fn try_from(message: pb::RingTarget) -> Result<Self> {
        Ok(Self {
            number: message.number,
            replicas: message.replicas as usize,
            members: all(message.members)?,
        })
    }
}

impl From<&Member> for pb::RingMember {
    fn from(member: &Member) -> Self {
        Self {
            id: member.id.0,
            weight: member.weight.get(),
            zone: member.zone.to_string(),
        }
    }
}

impl TryFrom<pb::RingMember> for Member {
    type Error = Error;

    fn try_from(message: pb::RingMember) -> Result<Self> {
        let weight = weight_from(message.weight)?;
        Ok(Self::new(NodeId(message.id))
            .with_weight(weight)
            .with_zone(message.zone))
    }
}

fn weight_from(weight: u32) -> Result<NonZeroU32> {
    NonZeroU32::new(weight).ok_or_else(|| Error::field("weight", "0, but must be 1 at least"))
}
