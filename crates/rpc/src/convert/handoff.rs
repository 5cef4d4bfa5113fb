//! What travels when data is handed to its owners.

use dynamokv_coordinator::{Fence, ReplicaError};
use dynamokv_handoff::{CollectRequest, CollectStep, Entry, HintRequest, Page, RangeRequest};
use dynamokv_ring::{NodeId, PartitionId};
use dynamokv_storage::{ObjectKey, StateHash};

use super::fence::fence_from;
use super::object::{key_from, state_bytes, state_from};
use super::{all, saturating_usize};
use crate::error::required;
use crate::pb::object_page_response::Outcome;
use crate::{Error, Result, pb};

impl From<&Entry> for pb::Entry {
    fn from(entry: &Entry) -> Self {
        Self {
            key: Some((&entry.key).into()),
            state: state_bytes(&entry.state),
        }
    }
}

impl TryFrom<pb::Entry> for Entry {
    type Error = Error;

    fn try_from(message: pb::Entry) -> Result<Self> {
        Ok(Self {
            key: key_from(message.key)?,
            state: state_from("state", &message.state)?,
        })
    }
}

impl From<&Page> for pb::ObjectPage {
    fn from(page: &Page) -> Self {
        Self {
            entries: page.entries.iter().map(Into::into).collect(),
            next: page.next.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<pb::ObjectPage> for Page {
    type Error = Error;

    fn try_from(message: pb::ObjectPage) -> Result<Self> {
        Ok(Self {
            entries: all(message.entries)?,
            next: optional_key(message.next)?,
        })
    }
}

impl From<Result<Page, ReplicaError>> for pb::ObjectPageResponse {
    fn from(answer: Result<Page, ReplicaError>) -> Self {
        let outcome = match answer {
            Ok(page) => Outcome::Page((&page).into()),
            Err(error) => Outcome::Failure(error.into()),
        };
        Self {
            outcome: Some(outcome),
        }
    }
}

impl TryFrom<pb::ObjectPageResponse> for Page {
    type Error = ReplicaError;

    fn try_from(message: pb::ObjectPageResponse) -> Result<Self, ReplicaError> {
        let unreadable = |error: Error| ReplicaError::Failed(error.to_string());
        match required("outcome", message.outcome).map_err(unreadable)? {
            Outcome::Page(page) => page.try_into().map_err(unreadable),
            Outcome::Failure(failure) => Err(failure.into()),
        }
    }
}

impl From<(Fence, &[Entry])> for pb::SendHintsRequest {
    fn from((fence, entries): (Fence, &[Entry])) -> Self {
        Self {
            fence: Some(fence.into()),
            entries: entries.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::SendHintsRequest> for (Fence, Vec<Entry>) {
    type Error = Error;

    fn try_from(message: pb::SendHintsRequest) -> Result<Self> {
        Ok((fence_from(message.fence)?, all(message.entries)?))
    }
}

impl From<(Fence, &CollectRequest)> for pb::CollectTombstonesRequest {
    fn from((fence, request): (Fence, &CollectRequest)) -> Self {
        let tombstone = |(key, hash): &(ObjectKey, StateHash)| pb::Tombstone {
            key: Some(key.into()),
            hash_high: (hash.0 >> 64) as u64,
            hash_low: hash.0 as u64,
        };
        Self {
            fence: Some(fence.into()),
            drop: request.step == CollectStep::Drop,
            tombstones: request.tombstones.iter().map(tombstone).collect(),
        }
    }
}

impl TryFrom<pb::CollectTombstonesRequest> for (Fence, CollectRequest) {
    type Error = Error;

    fn try_from(message: pb::CollectTombstonesRequest) -> Result<Self> {
        let tombstone = |tombstone: pb::Tombstone| -> Result<(ObjectKey, StateHash)> {
            let hash = u128::from(tombstone.hash_high) << 64 | u128::from(tombstone.hash_low);
            Ok((key_from(tombstone.key)?, StateHash(hash)))
        };
        let request = CollectRequest {
            step: if message.drop {
                CollectStep::Drop
            } else {
                CollectStep::Confirm
            },
            tombstones: message
                .tombstones
                .into_iter()
                .map(tombstone)
                .collect::<Result<_>>()?,
        };
        Ok((fence_from(message.fence)?, request))
    }
}

impl From<(Fence, &HintRequest)> for pb::FetchHintsRequest {
    fn from((fence, request): (Fence, &HintRequest)) -> Self {
        Self {
            fence: Some(fence.into()),
            target: request.target.0,
            after: request.after.as_ref().map(Into::into),
            limit: request.limit as u64,
        }
    }
}

impl TryFrom<pb::FetchHintsRequest> for (Fence, HintRequest) {
    type Error = Error;

    fn try_from(message: pb::FetchHintsRequest) -> Result<Self> {
        let request = HintRequest {
            target: NodeId(message.target),
            after: optional_key(message.after)?,
            limit: saturating_usize(message.limit),
        };
        Ok((fence_from(message.fence)?, request))
    }
}

impl From<(Fence, &RangeRequest)> for pb::FetchRangeRequest {
    fn from((fence, request): (Fence, &RangeRequest)) -> Self {
        Self {
            fence: Some(fence.into()),
            partition: request.partition.0,
            after: request.after.as_ref().map(Into::into),
            bytes_max: request.bytes_max as u64,
        }
    }
}

impl TryFrom<pb::FetchRangeRequest> for (Fence, RangeRequest) {
    type Error = Error;

    fn try_from(message: pb::FetchRangeRequest) -> Result<Self> {
        let request = RangeRequest {
            partition: PartitionId(message.partition),
            after: optional_key(message.after)?,
            bytes_max: saturating_usize(message.bytes_max),
        };
        Ok((fence_from(message.fence)?, request))
    }
}

fn optional_key(message: Option<pb::ObjectKey>) -> Result<Option<ObjectKey>> {
    message.map(ObjectKey::try_from).transpose()
}
