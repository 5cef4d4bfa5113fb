//! A client's write on its way to a replica, and the verdict on its way back.

use std::time::Duration;

use dynamokv_coordinator::{
    Error as PutError, ErrorKind, Forwarded, Options, PutReply, PutRequest, Refusal,
};
use dynamokv_ring::NodeId;

use super::fence::fence_from;
use super::object::{decode_context, encode_context, key_from, state_bytes, state_from};
use super::{all, mode_from, mode_into, saturating_u32};
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
    let kind = kind_into(error.kind()).into();
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
            kind: kind_from(error.kind()),
            message: error.message,
        }),
    })
}

fn kind_into(kind: ErrorKind) -> pb::ErrorKind {
    match kind {
        ErrorKind::Invalid => pb::ErrorKind::Invalid,
        ErrorKind::Precondition => pb::ErrorKind::Precondition,
        ErrorKind::NotApplied => pb::ErrorKind::NotApplied,
        ErrorKind::Unknown => pb::ErrorKind::Unknown,
        ErrorKind::Overloaded => pb::ErrorKind::Overloaded,
        ErrorKind::Damaged => pb::ErrorKind::Damaged,
        ErrorKind::Internal => pb::ErrorKind::Internal,
        _ => pb::ErrorKind::Unspecified,
    }
}

/// A kind that this release does not know promises nothing: the write may be applied.
fn kind_from(kind: pb::ErrorKind) -> ErrorKind {
    match kind {
        pb::ErrorKind::Unspecified | pb::ErrorKind::Unknown => ErrorKind::Unknown,
        pb::ErrorKind::Invalid => ErrorKind::Invalid,
        pb::ErrorKind::Precondition => ErrorKind::Precondition,
        pb::ErrorKind::NotApplied => ErrorKind::NotApplied,
        pb::ErrorKind::Overloaded => ErrorKind::Overloaded,
        pb::ErrorKind::Damaged => ErrorKind::Damaged,
        pb::ErrorKind::Internal => ErrorKind::Internal,
    }
}
