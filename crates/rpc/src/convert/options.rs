//! Quorum modes and answers, which clients and nodes share.

use dynamokv_coordinator::{Answer, AnswerKind, QuorumMode};
use dynamokv_ring::NodeId;

use crate::{Error, Result, pb};

pub(crate) fn mode_into(mode: QuorumMode) -> i32 {
    match mode {
        QuorumMode::Sloppy => pb::QuorumMode::Sloppy.into(),
        QuorumMode::Strict => pb::QuorumMode::Strict.into(),
    }
}

pub(crate) fn mode_from(mode: i32) -> Result<QuorumMode> {
    match pb::QuorumMode::try_from(mode) {
        Ok(pb::QuorumMode::Unspecified) => Ok(QuorumMode::default()),
        Ok(pb::QuorumMode::Sloppy) => Ok(QuorumMode::Sloppy),
        Ok(pb::QuorumMode::Strict) => Ok(QuorumMode::Strict),
        Err(_) => Err(Error::field(
            "mode",
            format!("{mode} is not known, use 1 (sloppy) or 2 (strict)"),
        )),
    }
}

impl From<&Answer> for pb::Answer {
    fn from(answer: &Answer) -> Self {
        let (kind, stands_for, reason) = match &answer.kind {
            AnswerKind::Replica => (pb::AnswerKind::Replica, None, None),
            AnswerKind::Holder { stands_for } => (pb::AnswerKind::Holder, Some(stands_for), None),
            AnswerKind::Fallback => (pb::AnswerKind::Fallback, None, None),
            AnswerKind::Failed(reason) => (pb::AnswerKind::Failed, None, Some(reason.clone())),
            AnswerKind::Down => (pb::AnswerKind::Down, None, None),
            AnswerKind::Silent => (pb::AnswerKind::Silent, None, None),
            _ => (pb::AnswerKind::Unspecified, None, Some(answer.to_string())),
        };
        Self {
            node: answer.node.to_string(),
            kind: kind.into(),
            stands_for: stands_for.map(NodeId::to_string).unwrap_or_default(),
            reason: reason.unwrap_or_default(),
        }
    }
}

impl TryFrom<pb::Answer> for Answer {
    type Error = Error;

    fn try_from(message: pb::Answer) -> Result<Self> {
        let kind = match message.kind() {
            pb::AnswerKind::Replica => AnswerKind::Replica,
            pb::AnswerKind::Holder => AnswerKind::Holder {
                stands_for: node_from("answers.stands_for", &message.stands_for)?,
            },
            pb::AnswerKind::Fallback => AnswerKind::Fallback,
            pb::AnswerKind::Down => AnswerKind::Down,
            pb::AnswerKind::Silent => AnswerKind::Silent,
            pb::AnswerKind::Failed | pb::AnswerKind::Unspecified => {
                AnswerKind::Failed(message.reason)
            }
        };
        Ok(Self {
            node: node_from("answers.node", &message.node)?,
            kind,
        })
    }
}

fn node_from(field: &'static str, text: &str) -> Result<NodeId> {
    text.parse().map_err(|error| Error::field(field, error))
}
