//! What clients ask, what replicas are asked, and what they answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynamokv_ring::NodeId;
use dynamokv_storage::{ObjectKey, State, StateHash};
use dynamokv_vclock::CausalContext;

use crate::{Fence, Refusal};

/// Whose acknowledgements count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QuorumMode {
    /// A copy on a fallback stands for the replica that could not be reached (Dynamo, section 4.6).
    #[default]
    Sloppy,
    /// Replicas of the preference list alone.
    Strict,
}

/// Per-request settings; `None` takes the node's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Replicas that must answer: R for a read, W for a write.
    pub quorum: Option<usize>,
    /// Whose answers count.
    pub mode: QuorumMode,
    /// How long the caller waits at most.
    pub timeout: Option<Duration>,
}

/// A write: a value, or a delete where `value` is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutRequest {
    /// The object.
    pub key: ObjectKey,
    /// The new value; `None` deletes and then needs a context that is not empty.
    pub value: Option<Bytes>,
    /// Media type of the value, kept with it.
    pub content_type: Option<Arc<str>>,
    /// What the client has seen: its last read or reply. Empty: nothing, so the write is concurrent with
    /// everything.
    pub context: CausalContext,
    /// Whether the reply shall carry all values and their context.
    pub return_values: bool,
    /// Names this write among those to the key: the coordinator applies it once, however often it comes within
    /// [`Config::idempotency_window`](crate::Config::idempotency_window).
    pub idempotency_key: Option<Bytes>,
    /// Quorum, mode and timeout.
    pub options: Options,
}

/// A read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetRequest {
    /// The object.
    pub key: ObjectKey,
    /// Quorum, mode and timeout.
    pub options: Options,
}

/// A client's request on its way to a replica that shall coordinate it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// What the sender knows of the cluster.
    pub fence: Fence,
    /// The write to coordinate.
    pub put: PutRequest,
}

/// How one node answered one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The node that was asked.
    pub node: NodeId,
    /// What it did.
    pub kind: AnswerKind,
}

/// What a node did when asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerKind {
    /// It is a replica and answered.
    Replica,
    /// It holds a copy (or answered) for a replica that could not be reached.
    Holder {
        /// The replica that it stands in for.
        stands_for: NodeId,
    },
    /// It is no replica, but answered from what it holds for one.
    Fallback,
    /// It failed or refused, with the reason.
    Failed(String),
    /// It was believed down and not asked.
    Down,
    /// It had not answered when the operation was decided.
    Silent,
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            AnswerKind::Replica => write!(f, "{} answered", self.node),
            AnswerKind::Holder { stands_for } => {
                write!(f, "{} answered in place of {stands_for}", self.node)
            }
            AnswerKind::Fallback => write!(f, "{} answered as a fallback", self.node),
            AnswerKind::Failed(reason) => write!(f, "{} failed: {reason}", self.node),
            AnswerKind::Down => write!(f, "{} is down", self.node),
            AnswerKind::Silent => write!(f, "{} gave no answer in time", self.node),
        }
    }
}

/// An applied write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutReply {
    /// The client's context and the new dot, nothing else; with `return_values` the context of
    /// all values.
    pub context: CausalContext,
    /// All values after the write, when asked for; `None` if they could not be read, or if the coordinator's own copy would not count
    /// in a read. The write stands.
    pub state: Option<State>,
    /// Who had answered when the write was acknowledged.
    pub answers: Vec<Answer>,
    /// The node that coordinated.
    pub coordinator: NodeId,
}

/// A completed read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetReply {
    /// The joined state; empty when no replica knows the key.
    pub state: State,
    /// Who had answered.
    pub answers: Vec<Answer>,
    /// The node that coordinated.
    pub coordinator: NodeId,
}

/// A copy for a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaWrite {
    /// What the sender knows of the cluster.
    pub fence: Fence,
    /// The object.
    pub key: ObjectKey,
    /// What to join.
    pub delta: Arc<State>,
    /// Set where the receiver shall hold the copy for a replica that could not be reached.
    pub hint_for: Option<NodeId>,
}

/// A question to a replica for its own copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaRead {
    /// What the sender knows of the cluster.
    pub fence: Fence,
    /// The object.
    pub key: ObjectKey,
    /// Set where the receiver is asked as a fallback, for what it may hold for others.
    pub as_fallback: bool,
    /// The hash of the sender's own copy: an equal one need not be sent.
    pub known: Option<StateHash>,
}

/// How a replica answers a [`ReplicaRead`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaAnswer {
    /// With its copy.
    Copy(ReplicaState),
    /// Its copy is the one whose hash was sent.
    Same {
        /// See [`ReplicaState::marked`].
        marked: bool,
    },
}

/// A replica's own copy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicaState {
    /// Its state, empty when it knows nothing of the key.
    pub state: State,
    /// Whether it holds the key for somebody else (a hint marker exists).
    pub marked: bool,
}

/// Why a replica gave no good answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// The request did not reach it: nothing happened there.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The request may or may not have been carried out.
    #[error("no answer: {0}")]
    Lost(String),
    /// It refused; nothing happened there.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It reported a failure of its own.
    #[error("{0}")]
    Failed(String),
}
