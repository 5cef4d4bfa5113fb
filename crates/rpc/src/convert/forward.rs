//! A client's write on its way to a replica, and the verdict on its way back.

use std::time::Duration;

use dynamokv_coordinator::{
    Error as PutError, ErrorKind, Forwarded, Options, PutReply, PutRequest, Refusal,
};
use dynamokv_ring::NodeId;

use super::fence::fence_from;
use super::object::{decode_context, encode_context, key_from, state_bytes, state_from};
use super::{all, mode_from, mode_into, saturating_u32, some_bytes};
use crate::error::required;
use crate::pb::forward_put_response::Outcome;
use crate::{Error, Result, pb};

impl From<Forwarded> for pb::ForwardPutRequest {
    fn from(forwarded: Forwarded) -> Self {
        let PutRequest {
            key,
            value,
            content_type,
            context,
            return_values,
            idempotency_key,
            options,
        } = forwarded.put;
        Self {
            fence: Some(forwarded.fence.into()),
            key: Some((&key).into()),
            value,
            content_type: content_type.map(|text| text.to_string()),
            context: encode_context(&context),
            return_values,
            quorum: options.quorum.map(saturating_u32),
            mode: mode_into(options.mode),
            timeout_us: options
                .timeout
                .map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            idempotency_key: idempotency_key.unwrap_or_default(),
        }
    }
}

impl TryFrom<pb::ForwardPutRequest> for Forwarded {
    type Error = Error;

    fn try_from(message: pb::ForwardPutRequest) -> Result<Self> {
        let options = Options {
            quorum: message.quorum.map(|quorum| quorum as usize),
            mode: mode_from(message.mode)?,
            timeout: message.timeout_us.map(Duration::from_micros),
        };
        Ok(Self {
            fence: fence_from(message.fence)?,
            put: PutRequest {
                key: key_from(message.key)?,
                value: message.value,
                content_type: message.content_type.map(Into::into),
                context: decode_context(&message.context)?,
                return_values: message.return_values,
                idempotency_key: some_bytes(message.idempotency_key),
                options,
            },
        })
    }
}

impl From<&PutReply> for pb::ForwardedReply {
    fn from(reply: &PutReply) -> Self {
        Self {
            context: encode_context(&reply.context),
            state: reply.state.as_ref().map(state_bytes),
            answers: reply.answers.iter().map(Into::into).collect(),
            coordinator: reply.coordinator.0,
        }
    }
}

impl TryFrom<pb::ForwardedReply> for PutReply {
    type Error = Error;

    fn try_from(message: pb::ForwardedReply) -> Result<Self> {
        Ok(Self {
            context: decode_context(&message.context)?,
            state: message
                .state
                .map(|bytes| state_from("state", &bytes))
                .transpose()?,
            answers: all(message.answers)?,
            coordinator: NodeId(message.coordinator),
        })
    }
}

/// The verdict as it travels.
pub(crate) fn forwarded_outcome(verdict: Result<PutReply, PutError>) -> Outcome {
    let error = match verdict {
        Ok(reply) => return Outcome::Reply((&reply).into()),
        Err(error) => error,
    };
    if let PutError::Refused(refusal) = &error
        && let Ok(refusal) = pb::Refusal::try_from(*refusal)
    {
        return Outcome::Refused(refusal);
    }
    let kind = pb::ErrorKind::from(error.kind()).into();
    Outcome::Error(match error {
        PutError::Relayed { node, message, .. } => pb::ForwardedError {
            kind,
            message,
            node: Some(node.0),
        },
        error => pb::ForwardedError {
            kind,
            message: error.to_string(),
            node: None,
        },
    })
}

/// The verdict of `node` as it arrived. An error is [`PutError::Relayed`], a refusal is itself.
pub(crate) fn forwarded_verdict(
    node: NodeId,
    outcome: Option<Outcome>,
) -> Result<Result<PutReply, PutError>> {
    Ok(match required("outcome", outcome)? {
        Outcome::Reply(reply) => Ok(reply.try_into()?),
        Outcome::Refused(refusal) => Err(PutError::Refused(Refusal::try_from(refusal)?)),
        Outcome::Error(error) => Err(PutError::Relayed {
            node: error.node.map_or(node, NodeId),
            kind: error.kind().into(),
            message: error.message,
        }),
    })
}

impl From<ErrorKind> for pb::ErrorKind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Invalid => Self::Invalid,
            ErrorKind::Precondition => Self::Precondition,
            ErrorKind::NotApplied => Self::NotApplied,
            ErrorKind::Unknown => Self::Unknown,
            ErrorKind::Overloaded => Self::Overloaded,
            ErrorKind::Damaged => Self::Damaged,
            ErrorKind::Internal => Self::Internal,
            _ => Self::Unspecified,
        }
    }
}

/// A kind that this release does not know promises nothing: the write may be applied.
impl From<pb::ErrorKind> for ErrorKind {
    fn from(kind: pb::ErrorKind) -> Self {
        match kind {
            pb::ErrorKind::Unspecified | pb::ErrorKind::Unknown => Self::Unknown,
            pb::ErrorKind::Invalid => Self::Invalid,
            pb::ErrorKind::Precondition => Self::Precondition,
            pb::ErrorKind::NotApplied => Self::NotApplied,
            pb::ErrorKind::Overloaded => Self::Overloaded,
            pb::ErrorKind::Damaged => Self::Damaged,
            pb::ErrorKind::Internal => Self::Internal,
        }
    }
}
