//! What a coordinator asks of a replica.

use std::sync::Arc;

use dynamokv_coordinator::{
    Fence, ReplicaAnswer, ReplicaError, ReplicaRead, ReplicaState, ReplicaWrite,
};
use dynamokv_ring::NodeId;
use dynamokv_storage::{ObjectKey, StateHash};

use super::fence::fence_from;
use super::object::{key_from, state_bytes, state_from};
use crate::error::required;
use crate::pb::replica_result;
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
            known: read.known.map(Into::into),
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
            known: message.known.map(Into::into),
        })
    }
}

/// One request of a replication stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Replicated {
    Write(ReplicaWrite),
    Read(ReplicaRead),
}

/// The fence comes with the message that brings the request.
pub(crate) fn replicated_from(fence: Fence, message: pb::ReplicaRequest) -> Result<Replicated> {
    let key = ObjectKey::new(&message.keyspace, message.key);
    let key = key.map_err(|error| Error::field("key", error))?;
    Ok(match message.delta {
        Some(delta) => Replicated::Write(ReplicaWrite {
            fence,
            key,
            delta: Arc::new(state_from("delta", &delta)?),
            hint_for: message.hint_for.map(NodeId),
        }),
        None => Replicated::Read(ReplicaRead {
            fence,
            key,
            as_fallback: message.as_fallback,
            known: message.known.map(Into::into),
        }),
    })
}

/// Without a number, which the stream gives.
impl From<&ReplicaWrite> for pb::ReplicaRequest {
    fn from(write: &ReplicaWrite) -> Self {
        Self {
            delta: Some(state_bytes(&write.delta)),
            hint_for: write.hint_for.map(|node| node.0),
            ..request_for(&write.key)
        }
    }
}

impl From<&ReplicaRead> for pb::ReplicaRequest {
    fn from(read: &ReplicaRead) -> Self {
        Self {
            as_fallback: read.as_fallback,
            known: read.known.map(Into::into),
            ..request_for(&read.key)
        }
    }
}

fn request_for(key: &ObjectKey) -> pb::ReplicaRequest {
    pb::ReplicaRequest {
        keyspace: key.keyspace().to_string(),
        key: key.key().clone(),
        ..Default::default()
    }
}

/// The answer to a read.
pub(crate) fn copy_of(
    outcome: Option<replica_result::Outcome>,
) -> Result<ReplicaAnswer, ReplicaError> {
    use replica_result::Outcome;
    let unreadable = |error: Error| ReplicaError::Failed(format!("unreadable answer: {error}"));
    match required("outcome", outcome).map_err(unreadable)? {
        Outcome::State(state) => Ok(ReplicaAnswer::Copy(state.try_into().map_err(unreadable)?)),
        Outcome::SameAndMarked(marked) => Ok(ReplicaAnswer::Same { marked }),
        Outcome::Failure(failure) => Err(failure.into()),
    }
}

impl From<StateHash> for pb::StateHash {
    fn from(StateHash(hash): StateHash) -> Self {
        Self {
            high: (hash >> 64) as u64,
            low: hash as u64,
        }
    }
}

impl From<pb::StateHash> for StateHash {
    fn from(pb::StateHash { high, low }: pb::StateHash) -> Self {
        Self(u128::from(high) << 64 | u128::from(low))
    }
}

impl From<Result<ReplicaAnswer, ReplicaError>> for pb::InternalGetResponse {
    fn from(answer: Result<ReplicaAnswer, ReplicaError>) -> Self {
        use pb::internal_get_response::Outcome;
        let outcome = match answer {
            Ok(ReplicaAnswer::Copy(copy)) => Outcome::State((&copy).into()),
            Ok(ReplicaAnswer::Same { marked }) => Outcome::SameAndMarked(marked),
            Err(error) => Outcome::Failure(error.into()),
        };
        Self {
            outcome: Some(outcome),
        }
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
