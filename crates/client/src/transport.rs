//! The way to the nodes.

use std::future::Future;
use std::time::Duration;

use dynamokv_coordinator::ErrorKind;
use dynamokv_ring::NodeId;
use dynamokv_rpc::pb;
use dynamokv_rpc::pb::operation::Operation as Asked;
use dynamokv_rpc::pb::operation_result::Result as Told;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc::Receiver;

/// What is asked of a node. Cheap to clone: keys and values are shared.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Request {
    /// Who keeps which keys.
    Topology(pb::TopologyRequest),
    /// Reads a key.
    Get(pb::GetRequest),
    /// Writes a key.
    Put(pb::PutRequest),
    /// Deletes a key.
    Delete(pb::DeleteRequest),
    /// Several operations.
    Batch(pb::BatchRequest),
    /// A page of keys.
    ListKeys(pb::ListKeysRequest),
}

/// What a node answers, of the same kind as the request.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// Who keeps which keys.
    Topology(pb::TopologyResponse),
    /// The values.
    Get(pb::GetResponse),
    /// The write was applied.
    Put(pb::PutResponse),
    /// The delete was applied.
    Delete(pb::DeleteResponse),
    /// How the operations ended.
    Batch(pb::BatchResponse),
    /// The keys.
    ListKeys(pb::ListKeysResponse),
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The answer itself.
    pub reply: Reply,
    /// The version of the topology that the node knows, if it says so.
    pub topology: Option<u64>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Failed {
    /// What is known of the effect.
    pub cause: Cause,
    /// In words.
    pub message: String,
    /// Who answered what, if the node said so.
    pub answers: Vec<pb::Answer>,
    /// The version of the topology that the node knows, if it says so.
    pub topology: Option<u64>,
}

/// What is known of the effect of a request without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It never left: nothing happened.
    NotSent,
    /// It was sent, and nothing came back: anything may have happened.
    Lost,
    /// The node said what happened.
    Said(ErrorKind),
}

/// Carries requests to nodes: [`Grpc`](crate::Grpc) as a rule; a simulator or a test brings its own.
///
/// Dropping a returned future abandons the request; the node may still carry it out.
pub trait Transport: Send + Sync + 'static {
    /// Asks the node at `address`, `host:port`. `timeout` travels with the request and ends the wait for the answer.
    fn ask(
        &self,
        address: &str,
        request: Request,
        timeout: Duration,
    ) -> impl Future<Output = Result<Answered, Failed>> + Send;

    /// Opens a stream of operations to the node at `address`. It ends with its first error, and after the last answer where `requests`
    /// has ended.
    fn pipeline(
        &self,
        address: &str,
        requests: Receiver<pb::PipelineRequest>,
    ) -> BoxStream<'static, Result<pb::PipelineResponse, Failed>>;

    /// These are all the nodes now: what is kept for others may be let go.
    fn keep_only(&self, addresses: &[&str]);
}

impl Request {
    /// About how much it is to send.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Get(get) => get.key.len(),
            Self::Put(put) => put.key.len() + put.value.len() + put.context.len(),
            Self::Delete(delete) => delete.key.len() + delete.context.len(),
            Self::Topology(_) | Self::Batch(_) | Self::ListKeys(_) => 0,
        }
    }

    /// The same operation with a deadline of its own, for where it has no call of its own.
    pub(crate) fn within(mut self, timeout: Duration) -> Self {
        let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let millis = Some(millis.max(1));
        match &mut self {
            Self::Get(get) => get.timeout_ms = millis,
            Self::Put(put) => put.timeout_ms = millis,
            Self::Delete(delete) => delete.timeout_ms = millis,
            Self::Topology(_) | Self::Batch(_) | Self::ListKeys(_) => {}
        }
        self
    }
}

impl From<Request> for pb::Operation {
    fn from(request: Request) -> Self {
        let operation = match request {
            Request::Get(get) => Some(Asked::Get(get)),
            Request::Put(put) => Some(Asked::Put(put)),
            Request::Delete(delete) => Some(Asked::Delete(delete)),
            Request::Topology(_) | Request::Batch(_) | Request::ListKeys(_) => None,
        };
        Self { operation }
    }
}

impl Reply {
    /// The reply of one operation among several.
    pub(crate) fn of(result: pb::OperationResult) -> Result<Self, Failed> {
        match result.result {
            Some(Told::Get(get)) => Ok(Self::Get(get)),
            Some(Told::Put(put)) => Ok(Self::Put(put)),
            Some(Told::Delete(delete)) => Ok(Self::Delete(delete)),
            Some(Told::Failure(failure)) => Err(Failed::said(failure, None)),
            None => Err(Failed::new(
                Cause::Lost,
                "the answer is none that is known here",
            )),
        }
    }
}

impl Failed {
    /// What the node itself said.
    pub(crate) fn said(failure: pb::Failure, topology: Option<u64>) -> Self {
        Self {
            cause: Cause::Said(failure.kind().into()),
            message: failure.message,
            answers: failure.answers,
            topology,
        }
    }

    pub(crate) fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self {
            cause,
            message: message.into(),
            answers: Vec::new(),
            topology: None,
        }
    }

    pub(crate) fn at(self, node: NodeId) -> Self {
        let message = format!("{node}: {}", self.message);
        Self { message, ..self }
    }
}
