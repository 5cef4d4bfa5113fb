//! The way to the nodes.

use std::future::Future;
use std::time::Duration;

use dynamokv_coordinator::ErrorKind;
use dynamokv_ring::NodeId;
use dynamokv_rpc::pb;

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

    /// These are all the nodes now: what is kept for others may be let go.
    fn keep_only(&self, addresses: &[&str]);
}

impl Failed {
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
