//! What a coordinator asks of a replica.

use std::sync::Arc;

use dynamokv_coordinator::{ReplicaRead, ReplicaState, ReplicaWrite};
use dynamokv_ring::NodeId;

use super::fence::fence_from;
use super::object::{key_from, state_bytes, state_from};
use crate::{Error, Result, pb};

impl From<&ReplicaWrite> for pb::InternalPutRequest {
    fn from(write: &ReplicaWrite) -> Self {
        Self {
            fence: Some(write.fence.into()),
            key: Some((&write.key).into()),
            delta: state_bytes(&write.delta),
            hint_for: write.hint_for.map(|node| node.0),
        }
    }
}

impl TryFrom<pb::InternalPutRequest> for ReplicaWrite {
    type Error = Error;

    fn try_from(message: pb::InternalPutRequest) -> Result<Self> {
        Ok(Self {
            fence: fence_from(message.fence)?,
            key: key_from(message.key)?,
            delta: Arc::new(state_from("delta", &message.delta)?),
            hint_for: message.hint_for.map(NodeId),
        })
    }
}

impl From<&ReplicaRead> for pb::InternalGetRequest {
    fn from(read: &ReplicaRead) -> Self {
        Self {
            fence: Some(read.fence.into()),
            key: Some((&read.key).into()),
            as_fallback: read.as_fallback,
        }
    }
}

impl TryFrom<pb::InternalGetRequest> for ReplicaRead {
    type Error = Error;

    fn try_from(message: pb::InternalGetRequest) -> Result<Self> {
        Ok(Self {
            fence: fence_from(message.fence)?,
            key: key_from(message.key)?,
            as_fallback: message.as_fallback,
        })
    }
}

impl From<&ReplicaState> for pb::ReplicaState {
    fn from(copy: &ReplicaState) -> Self {
        Self {
            state: state_bytes(&copy.state),
            marked: copy.marked,
        }
    }
}

impl TryFrom<pb::ReplicaState> for ReplicaState {
    type Error = Error;

    fn try_from(message: pb::ReplicaState) -> Result<Self> {
        Ok(Self {
            state: state_from("state", &message.state)?,
            marked: message.marked,
        })
    }
}
