//! What a node implements to be served: its own types in, its own types out, no gRPC.

use std::future::Future;
use std::sync::Arc;

use dynamokv_antientropy::{Answer, Question};
use dynamokv_coordinator::{
    Error, Fence, Forwarded, GetReply, GetRequest, PutReply, PutRequest, ReplicaAnswer,
    ReplicaError, ReplicaRead, ReplicaWrite,
};
use dynamokv_gossip::Message;
use dynamokv_handoff::{CollectRequest, Entry, HintRequest, Page, RangeRequest};

use crate::{KeyPage, KeyScan, KeyStates, KeysRequest, Topology, pb};

/// Reads and writes for clients.
pub trait KvService: Send + Sync + 'static {
    /// Reads a key.
    fn get(&self, request: GetRequest) -> impl Future<Output = Result<GetReply, Error>> + Send;

    /// Writes or deletes a key.
    fn put(&self, request: PutRequest) -> impl Future<Output = Result<PutReply, Error>> + Send;

    /// A page of the keys of a keyspace, deleted ones left out.
    fn list_keys(
        &self,
        request: KeysRequest,
    ) -> impl Future<Output = Result<KeyPage, Error>> + Send;

    /// Who keeps which keys; `None` while this node is no member. Asked for with every request, so it must be at hand.
    fn topology(&self) -> Option<Arc<Topology>>;
}

/// What other nodes ask. A returned error reaches the asking node as it is.
pub trait PeerService: Send + Sync + 'static {
    /// Joins a copy; completes when it is as durable as this node promises.
    fn internal_put(
        &self,
        write: ReplicaWrite,
    ) -> impl Future<Output = Result<(), ReplicaError>> + Send;

    /// Joins copies that arrived together. One result each, in order, when all are as durable as this node promises.
    fn internal_put_all(
        &self,
        writes: Vec<ReplicaWrite>,
    ) -> impl Future<Output = Vec<Result<(), ReplicaError>>> + Send;

    /// This node's own copy.
    fn internal_get(
        &self,
        read: ReplicaRead,
    ) -> impl Future<Output = Result<ReplicaAnswer, ReplicaError>> + Send;

    /// Coordinates a client's write that another node sent here.
    fn forward_put(
        &self,
        forwarded: Forwarded,
    ) -> impl Future<Output = Result<PutReply, Error>> + Send;

    /// Joins objects that were held for this node; one flag an entry says whether it is synced.
    fn send_hints(
        &self,
        fence: Fence,
        entries: Vec<Entry>,
    ) -> impl Future<Output = Result<Vec<bool>, ReplicaError>> + Send;

    /// Says which deleted objects it has too, or lets go of them; one flag an object.
    fn collect_tombstones(
        &self,
        fence: Fence,
        request: CollectRequest,
    ) -> impl Future<Output = Result<Vec<bool>, ReplicaError>> + Send;

    /// A page of what this node holds for another.
    fn fetch_hints(
        &self,
        fence: Fence,
        request: HintRequest,
    ) -> impl Future<Output = Result<Page, ReplicaError>> + Send;

    /// A page of a partition.
    fn fetch_range(
        &self,
        fence: Fence,
        request: RangeRequest,
    ) -> impl Future<Output = Result<Page, ReplicaError>> + Send;

    /// What this node, an owner, has of a partition.
    fn fetch_keys(
        &self,
        fence: Fence,
        scan: KeyScan,
    ) -> impl Future<Output = Result<KeyStates, ReplicaError>> + Send;

    /// Answers a question of an exchange between owners, with an answer of the same kind.
    fn exchange_trees(
        &self,
        fence: Fence,
        question: Question<Entry>,
    ) -> impl Future<Output = Result<Answer<Entry>, ReplicaError>> + Send;

    /// Takes membership news, and gives the next message of the exchange.
    fn push_gossip(
        &self,
        message: Message,
    ) -> impl Future<Output = Result<Option<Message>, dynamokv_gossip::Error>> + Send;
}

/// What operators ask. The messages are plain data; [`values`](crate::values) and
/// [`local_copy`](crate::local_copy) make some of them.
pub trait AdminService: Send + Sync + 'static {
    /// How this node fares.
    fn status(
        &self,
        request: pb::StatusRequest,
    ) -> impl Future<Output = Result<pb::StatusResponse, AdminError>> + Send;

    /// The nodes that this one knows.
    fn members(
        &self,
        request: pb::MembersRequest,
    ) -> impl Future<Output = Result<pb::MembersResponse, AdminError>> + Send;

    /// The ring, the open change, and where a key belongs.
    fn ring(
        &self,
        request: pb::RingRequest,
    ) -> impl Future<Output = Result<pb::RingResponse, AdminError>> + Send;

    /// How many objects this node holds for whom.
    fn hints(
        &self,
        request: pb::HintsRequest,
    ) -> impl Future<Output = Result<pb::HintsResponse, AdminError>> + Send;

    /// How this node's copies compare with those of other owners.
    fn exchanges(
        &self,
        request: pb::ExchangesRequest,
    ) -> impl Future<Output = Result<pb::ExchangesResponse, AdminError>> + Send;

    /// This node's own copy of a key.
    fn read_local(
        &self,
        request: pb::ReadLocalRequest,
    ) -> impl Future<Output = Result<pb::ReadLocalResponse, AdminError>> + Send;

    /// Begins to leave for good.
    fn leave(
        &self,
        request: pb::LeaveRequest,
    ) -> impl Future<Output = Result<pb::LeaveResponse, AdminError>> + Send;

    /// Writes a snapshot of the data; completes when it is on disk.
    fn snapshot(
        &self,
        request: pb::SnapshotRequest,
    ) -> impl Future<Output = Result<pb::SnapshotResponse, AdminError>> + Send;

    /// Begins to remove another node.
    fn remove(
        &self,
        request: pb::RemoveRequest,
    ) -> impl Future<Output = Result<pb::RemoveResponse, AdminError>> + Send;

    /// Gives this node another weight or zone.
    fn set_place(
        &self,
        request: pb::SetPlaceRequest,
    ) -> impl Future<Output = Result<pb::SetPlaceResponse, AdminError>> + Send;

    /// What a membership change would move.
    fn preview_change(
        &self,
        request: pb::PreviewChangeRequest,
    ) -> impl Future<Output = Result<pb::PreviewChangeResponse, AdminError>> + Send;

    /// What this node streams.
    fn transfers(
        &self,
        request: pb::TransfersRequest,
    ) -> impl Future<Output = Result<pb::TransfersResponse, AdminError>> + Send;
}

/// Why an operator's call was not carried out. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// A field is wrong: the message names it.
    #[error("{0}")]
    InvalidArgument(String),
    /// The state of the node or the cluster does not allow it.
    #[error("{0}")]
    Precondition(String),
    /// Not now: try again later.
    #[error("{0}")]
    Unavailable(String),
    /// The node failed.
    #[error("{0}")]
    Failed(String),
}
