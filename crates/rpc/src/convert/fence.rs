//! Fences, refusals and failures.

use dynamokv_coordinator::{Fence, Refusal, ReplicaError};

use crate::error::required;
use crate::pb::replica_failure::Kind;
use crate::{Error, Result, pb};

impl From<Fence> for pb::Fence {
    fn from(fence: Fence) -> Self {
        let Fence {
            cluster,
            number,
            fingerprint,
            seen,
        } = fence;
        Self {
            cluster,
            number,
            fingerprint,
            seen,
        }
    }
}

/// Every sender sets the fence: without one a request is refused as malformed.
pub(crate) fn fence_from(message: Option<pb::Fence>) -> Result<Fence> {
    let pb::Fence {
        cluster,
        number,
        fingerprint,
        seen,
    } = required("fence", message)?;
    Ok(Fence {
        cluster,
        number,
        fingerprint,
        seen,
    })
}

impl TryFrom<Refusal> for pb::Refusal {
    type Error = Refusal;

    /// Fails for a refusal that the protocol does not know yet.
    fn try_from(refusal: Refusal) -> Result<Self, Refusal> {
        let (reason, required) = match refusal {
            Refusal::StaleRing { required } => (pb::RefusalReason::StaleRing, required),
            Refusal::NotOwner => (pb::RefusalReason::NotOwner, 0),
            Refusal::OtherCluster => (pb::RefusalReason::OtherCluster, 0),
            other => return Err(other),
        };
        Ok(Self {
            reason: reason.into(),
            required,
        })
    }
}

impl TryFrom<pb::Refusal> for Refusal {
    type Error = Error;

    fn try_from(message: pb::Refusal) -> Result<Self> {
        match message.reason() {
            pb::RefusalReason::StaleRing => Ok(Self::StaleRing {
                required: message.required,
            }),
            pb::RefusalReason::NotOwner => Ok(Self::NotOwner),
            pb::RefusalReason::OtherCluster => Ok(Self::OtherCluster),
            pb::RefusalReason::Unspecified => Err(Error::field(
                "refused.reason",
                format!("{} is not known", message.reason),
            )),
        }
    }
}

impl From<ReplicaError> for pb::ReplicaFailure {
    fn from(error: ReplicaError) -> Self {
        let kind = match error {
            ReplicaError::Unreachable(reason) => Kind::Unreachable(reason),
            ReplicaError::Lost(reason) => Kind::Lost(reason),
            ReplicaError::Refused(refusal) => match pb::Refusal::try_from(refusal) {
                Ok(refusal) => Kind::Refused(refusal),
                Err(refusal) => Kind::Failed(refusal.to_string()),
            },
            ReplicaError::Failed(reason) => Kind::Failed(reason),
            other => Kind::Failed(other.to_string()),
        };
        Self { kind: Some(kind) }
    }
}

/// What the other node said; a failure that this release cannot read is a failure all the same.
impl From<pb::ReplicaFailure> for ReplicaError {
    fn from(message: pb::ReplicaFailure) -> Self {
        match message.kind {
            Some(Kind::Unreachable(reason)) => Self::Unreachable(reason),
            Some(Kind::Lost(reason)) => Self::Lost(reason),
            Some(Kind::Refused(refusal)) => match Refusal::try_from(refusal) {
                Ok(refusal) => Self::Refused(refusal),
                Err(error) => Self::Failed(error.to_string()),
            },
            Some(Kind::Failed(reason)) => Self::Failed(reason),
            None => Self::Failed("the failure has no known kind".to_owned()),
        }
    }
}
