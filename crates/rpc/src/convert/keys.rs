//! Listings of keys between nodes.

use dynamokv_coordinator::{Fence, ReplicaError};
use dynamokv_ring::PartitionId;
use dynamokv_storage::{Keyspace, StateHash};

use super::fence::fence_from;
use super::object::key_from;
use super::saturating_usize;
use crate::error::required;
use crate::pb::fetch_keys_response::Outcome;
use crate::{Error, KeyScan, KeyState, KeyStates, Result, pb};

impl From<(Fence, &KeyScan)> for pb::FetchKeysRequest {
    fn from((fence, scan): (Fence, &KeyScan)) -> Self {
        Self {
            fence: Some(fence.into()),
            keyspace: scan.keyspace.to_string(),
            partition: scan.partition.0,
            after: scan.after.as_ref().map(Into::into),
            limit: scan.limit as u64,
        }
    }
}

impl TryFrom<pb::FetchKeysRequest> for (Fence, KeyScan) {
    type Error = Error;

    fn try_from(message: pb::FetchKeysRequest) -> Result<Self> {
        let keyspace = Keyspace::new(&message.keyspace);
        let scan = KeyScan {
            keyspace: keyspace.map_err(|error| Error::field("keyspace", error))?,
            partition: PartitionId(message.partition),
            after: message.after.map(|key| key_from(Some(key))).transpose()?,
            limit: saturating_usize(message.limit),
        };
        Ok((fence_from(message.fence)?, scan))
    }
}

impl From<&KeyState> for pb::KeyState {
    fn from(state: &KeyState) -> Self {
        Self {
            key: Some((&state.key).into()),
            hash_high: (state.hash.0 >> 64) as u64,
            hash_low: state.hash.0 as u64,
            live: state.live,
        }
    }
}

impl TryFrom<pb::KeyState> for KeyState {
    type Error = Error;

    fn try_from(message: pb::KeyState) -> Result<Self> {
        Ok(Self {
            key: key_from(message.key)?,
            hash: StateHash(u128::from(message.hash_high) << 64 | u128::from(message.hash_low)),
            live: message.live,
        })
    }
}

impl From<Result<KeyStates, ReplicaError>> for pb::FetchKeysResponse {
    fn from(answer: Result<KeyStates, ReplicaError>) -> Self {
        let outcome = match answer {
            Ok(states) => Outcome::Page(pb::KeyStates {
                keys: states.keys.iter().map(Into::into).collect(),
                next: states.next.as_ref().map(Into::into),
            }),
            Err(error) => Outcome::Failure(error.into()),
        };
        Self {
            outcome: Some(outcome),
        }
    }
}

impl TryFrom<pb::FetchKeysResponse> for KeyStates {
    type Error = ReplicaError;

    fn try_from(message: pb::FetchKeysResponse) -> Result<Self, ReplicaError> {
        let unreadable = |error: Error| ReplicaError::Failed(error.to_string());
        let page = match required("outcome", message.outcome).map_err(unreadable)? {
            Outcome::Page(page) => page,
            Outcome::Failure(failure) => return Err(failure.into()),
        };
        let next = page.next.map(|key| key_from(Some(key))).transpose();
        Ok(Self {
            keys: super::all(page.keys).map_err(unreadable)?,
            next: next.map_err(unreadable)?,
        })
    }
}
