//! Small implementations of the service traits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynamokv_antientropy::{Answer as TreeAnswer, Question};
use dynamokv_coordinator::{
    Answer, AnswerKind, Error, Fence, Forwarded, GetReply, GetRequest, Options, PutReply,
    PutRequest, ReplicaAnswer, ReplicaError, ReplicaRead, ReplicaState, ReplicaWrite,
};
use dynamokv_gossip::Message;
use dynamokv_handoff::{CollectRequest, Entry, HintRequest, Page, RangeRequest};
use dynamokv_ring::NodeId;
use dynamokv_rpc::{
    AdminError, AdminService, KeyPage, KeyScan, KeyStates, KeysRequest, KvService, PeerService,
    Topology, pb,
};
use dynamokv_storage::{ObjectKey, State, StateHash, Value};
use dynamokv_vclock::{ActorId, Dot, Epoch, HybridTime};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

pub(crate) const NODE: NodeId = NodeId(7);

/// Where a fake lets requests wait until the test lets them go on.
pub(crate) struct Barrier {
    arrived: Semaphore,
    released: Semaphore,
}

impl Default for Barrier {
    /// Open: nobody waits.
    fn default() -> Self {
        Self {
            arrived: Semaphore::new(0),
            released: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }
}

impl Barrier {
    pub(crate) fn closed() -> Self {
        Self {
            arrived: Semaphore::new(0),
            released: Semaphore::new(0),
        }
    }

    /// Until a request has arrived.
    pub(crate) async fn wait_for_arrival(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    pub(crate) fn let_go_on(&self, requests: usize) {
        self.released.add_permits(requests);
    }

    async fn pass(&self) {
        self.arrived.add_permits(1);
        self.released.acquire().await.unwrap().forget();
    }
}

/// A coordinator that is the only replica.
#[derive(Default)]
pub(crate) struct FakeKv {
    pub(crate) barrier: Barrier,
    pub(crate) fail: Mutex<Option<Error>>,
    pub(crate) options: Mutex<Vec<Options>>,
    pub(crate) idempotency_keys: Mutex<Vec<Option<Bytes>>>,
    pub(crate) states: Mutex<BTreeMap<ObjectKey, State>>,
}

impl FakeKv {
    async fn begin(&self, options: Options) -> Result<(), Error> {
        self.options.lock().push(options);
        self.barrier.pass().await;
        self.fail.lock().clone().map_or(Ok(()), Err)
    }
}

fn answers() -> Vec<Answer> {
    vec![
        Answer {
            node: NODE,
            kind: AnswerKind::Replica,
        },
        Answer {
            node: NodeId(8),
            kind: AnswerKind::Holder {
                stands_for: NodeId(9),
            },
        },
        Answer {
            node: NodeId(9),
            kind: AnswerKind::Failed("asleep".to_owned()),
        },
    ]
}

/// A cluster of one.
pub(crate) fn topology() -> pb::Topology {
    pb::Topology {
        cluster_id: 1,
        change: 2,
        partitions: 8,
        replicas: 3,
        fingerprint: 4,
        nodes: vec![pb::TopologyNode {
            id: NODE.0,
            address: "there:1".to_owned(),
            ..Default::default()
        }],
        front: false,
    }
}

impl KvService for FakeKv {
    /// All at once, whatever the limit.
    async fn list_keys(&self, request: KeysRequest) -> Result<KeyPage, Error> {
        self.fail.lock().clone().map_or(Ok(()), Err)?;
        let states = self.states.lock();
        let beyond = |key: &&ObjectKey| Some(*key) > request.after.as_ref();
        let keys = states.keys().filter(beyond);
        let keys: Vec<ObjectKey> = keys
            .filter(|key| *key.keyspace() == request.keyspace)
            .take(PAGE_KEYS)
            .cloned()
            .collect();
        let next = keys.last().filter(|_| keys.len() == PAGE_KEYS).cloned();
        Ok(KeyPage { keys, next })
    }

    fn topology(&self) -> Option<Arc<Topology>> {
        let unknown = matches!(*self.fail.lock(), Some(Error::NotMember));
        (!unknown).then(|| Arc::new(Topology::new(topology())))
    }

    async fn get(&self, request: GetRequest) -> Result<GetReply, Error> {
        self.begin(request.options).await?;
        let state = self
            .states
            .lock()
            .get(&request.key)
            .cloned()
            .unwrap_or_default();
        Ok(GetReply {
            state,
            answers: answers(),
            coordinator: NODE,
        })
    }

    async fn put(&self, request: PutRequest) -> Result<PutReply, Error> {
        self.begin(request.options).await?;
        self.idempotency_keys
            .lock()
            .push(request.idempotency_key.clone());
        if request.value.is_none() && request.context.is_empty() {
            return Err(Error::ContextRequired);
        }
        let mut states = self.states.lock();
        let state = states.entry(request.key).or_default();
        let actor = ActorId::new(NODE.0, Epoch(1));
        let dot = Dot::new(actor, state.context().highest(&actor) + 1);
        let value = Value {
            time: HybridTime::new(1_000, 0),
            body: request.value,
            content_type: request.content_type,
        };
        let delta = State::delta(dot, value, &request.context);
        let mut context = delta.context().clone();
        state.join(delta);
        let state = request.return_values.then(|| state.clone());
        if let Some(state) = &state {
            context = state.context().clone();
        }
        Ok(PutReply {
            context,
            state,
            answers: answers(),
            coordinator: NODE,
        })
    }
}

/// What a page of keys holds at most.
pub(crate) const PAGE_KEYS: usize = 3;

/// Everything that a peer was asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asked {
    Put(ReplicaWrite),
    PutAll(Vec<ReplicaWrite>),
    Get(ReplicaRead),
    Forward(Forwarded),
    SendHints(Fence, Vec<Entry>),
    Collect(Fence, CollectRequest),
    FetchHints(Fence, HintRequest),
    FetchRange(Fence, RangeRequest),
    Keys(Fence, KeyScan),
    Trees(Fence, Question<Entry>),
    Gossip(Message),
}

/// Answers as it was told to.
pub(crate) struct FakePeer {
    pub(crate) barrier: Barrier,
    /// For copies that arrive together.
    pub(crate) put_barrier: Barrier,
    pub(crate) asked: Mutex<Vec<Asked>>,
    pub(crate) put: Result<(), ReplicaError>,
    pub(crate) get: Result<ReplicaAnswer, ReplicaError>,
    pub(crate) forward: Result<PutReply, Error>,
    pub(crate) hints: Result<Vec<bool>, ReplicaError>,
    pub(crate) page: Result<Page, ReplicaError>,
    pub(crate) keys: Result<KeyStates, ReplicaError>,
    pub(crate) trees: Result<TreeAnswer<Entry>, ReplicaError>,
    pub(crate) gossip: Result<Option<Message>, dynamokv_gossip::Error>,
}

impl FakePeer {
    async fn begin(&self, asked: Asked) {
        self.asked.lock().push(asked);
        self.barrier.pass().await;
    }

    pub(crate) fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock())
    }
}

impl Default for FakePeer {
    fn default() -> Self {
        Self {
            barrier: Barrier::default(),
            put_barrier: Barrier::default(),
            asked: Mutex::default(),
            put: Ok(()),
            get: Ok(ReplicaAnswer::Copy(ReplicaState::default())),
            forward: Err(Error::NotMember),
            hints: Ok(Vec::new()),
            page: Ok(Page::default()),
            keys: Ok(KeyStates::default()),
            trees: Ok(TreeAnswer::Taken),
            gossip: Ok(None),
        }
    }
}

impl PeerService for FakePeer {
    async fn internal_put(&self, write: ReplicaWrite) -> Result<(), ReplicaError> {
        self.begin(Asked::Put(write)).await;
        self.put.clone()
    }

    async fn internal_put_all(&self, writes: Vec<ReplicaWrite>) -> Vec<Result<(), ReplicaError>> {
        let results = vec![self.put.clone(); writes.len()];
        self.begin(Asked::PutAll(writes)).await;
        self.put_barrier.pass().await;
        results
    }

    async fn internal_get(&self, read: ReplicaRead) -> Result<ReplicaAnswer, ReplicaError> {
        self.begin(Asked::Get(read)).await;
        self.get.clone()
    }

    async fn forward_put(&self, forwarded: Forwarded) -> Result<PutReply, Error> {
        self.begin(Asked::Forward(forwarded)).await;
        self.forward.clone()
    }

    async fn send_hints(
        &self,
        fence: Fence,
        entries: Vec<Entry>,
    ) -> Result<Vec<bool>, ReplicaError> {
        self.begin(Asked::SendHints(fence, entries)).await;
        self.hints.clone()
    }

    async fn collect_tombstones(
        &self,
        fence: Fence,
        request: CollectRequest,
    ) -> Result<Vec<bool>, ReplicaError> {
        self.begin(Asked::Collect(fence, request)).await;
        self.hints.clone()
    }

    async fn fetch_hints(&self, fence: Fence, request: HintRequest) -> Result<Page, ReplicaError> {
        self.begin(Asked::FetchHints(fence, request)).await;
        self.page.clone()
    }

    async fn fetch_range(&self, fence: Fence, request: RangeRequest) -> Result<Page, ReplicaError> {
        self.begin(Asked::FetchRange(fence, request)).await;
        self.page.clone()
    }

    async fn fetch_keys(&self, fence: Fence, scan: KeyScan) -> Result<KeyStates, ReplicaError> {
        self.begin(Asked::Keys(fence, scan)).await;
        self.keys.clone()
    }

    async fn exchange_trees(
        &self,
        fence: Fence,
        question: Question<Entry>,
    ) -> Result<TreeAnswer<Entry>, ReplicaError> {
        self.begin(Asked::Trees(fence, question)).await;
        self.trees.clone()
    }

    async fn push_gossip(
        &self,
        message: Message,
    ) -> Result<Option<Message>, dynamokv_gossip::Error> {
        // Not through the barrier: gossip is what must go on when everything else is stuck.
        self.asked.lock().push(Asked::Gossip(message));
        self.gossip.clone()
    }
}

/// Answers each call with a message that tells it from the others, or with the failure.
#[derive(Default)]
pub(crate) struct FakeAdmin {
    pub(crate) fail: Mutex<Option<AdminError>>,
}

impl FakeAdmin {
    fn answer<T>(&self, message: T) -> Result<T, AdminError> {
        self.fail.lock().clone().map_or(Ok(message), Err)
    }
}

impl AdminService for FakeAdmin {
    async fn status(&self, _: pb::StatusRequest) -> Result<pb::StatusResponse, AdminError> {
        self.answer(pb::StatusResponse {
            node: NODE.to_string(),
            ..Default::default()
        })
    }

    async fn members(&self, _: pb::MembersRequest) -> Result<pb::MembersResponse, AdminError> {
        self.answer(pb::MembersResponse {
            members: vec![pb::Member::default()],
        })
    }

    async fn ring(&self, request: pb::RingRequest) -> Result<pb::RingResponse, AdminError> {
        let located = request.locate.map(|_| pb::KeyLocation::default());
        self.answer(pb::RingResponse {
            location: located,
            ..Default::default()
        })
    }

    async fn hints(&self, _: pb::HintsRequest) -> Result<pb::HintsResponse, AdminError> {
        self.answer(pb::HintsResponse {
            targets: vec![pb::HintCount::default()],
        })
    }

    async fn exchanges(
        &self,
        _: pb::ExchangesRequest,
    ) -> Result<pb::ExchangesResponse, AdminError> {
        self.answer(pb::ExchangesResponse {
            keys: 7,
            ..Default::default()
        })
    }

    async fn read_local(
        &self,
        request: pb::ReadLocalRequest,
    ) -> Result<pb::ReadLocalResponse, AdminError> {
        self.answer(pb::ReadLocalResponse {
            clock: request.keyspace,
            ..Default::default()
        })
    }

    async fn leave(&self, _: pb::LeaveRequest) -> Result<pb::LeaveResponse, AdminError> {
        self.answer(pb::LeaveResponse {})
    }

    async fn snapshot(
        &self,
        request: pb::SnapshotRequest,
    ) -> Result<pb::SnapshotResponse, AdminError> {
        self.answer(pb::SnapshotResponse { path: request.name })
    }

    async fn remove(&self, request: pb::RemoveRequest) -> Result<pb::RemoveResponse, AdminError> {
        Err(AdminError::InvalidArgument(format!(
            "node: {:?} is not known",
            request.node
        )))
    }

    async fn set_place(&self, _: pb::SetPlaceRequest) -> Result<pb::SetPlaceResponse, AdminError> {
        self.answer(pb::SetPlaceResponse {})
    }

    async fn preview_change(
        &self,
        request: pb::PreviewChangeRequest,
    ) -> Result<pb::PreviewChangeResponse, AdminError> {
        self.answer(pb::PreviewChangeResponse {
            warnings: request.leaving,
            ..Default::default()
        })
    }

    async fn transfers(
        &self,
        _: pb::TransfersRequest,
    ) -> Result<pb::TransfersResponse, AdminError> {
        self.answer(pb::TransfersResponse {
            streams: vec![pb::TransferStream::default()],
            ..Default::default()
        })
    }
}

pub(crate) fn fence() -> Fence {
    Fence {
        cluster: 1,
        number: 2,
        fingerprint: 3,
        seen: 4,
    }
}

pub(crate) fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name.to_owned()).unwrap()
}

pub(crate) fn state(body: &str) -> State {
    let dot = Dot::new(ActorId::new(1, Epoch(1)), 1);
    State::delta(
        dot,
        Value::new(HybridTime(1), body.to_owned()),
        &Default::default(),
    )
}

pub(crate) fn write(name: &str) -> ReplicaWrite {
    ReplicaWrite {
        fence: fence(),
        key: key(name),
        delta: Arc::new(state("body")),
        hint_for: Some(NodeId(3)),
    }
}

pub(crate) fn read(name: &str) -> ReplicaRead {
    ReplicaRead {
        fence: fence(),
        key: key(name),
        as_fallback: true,
        known: Some(StateHash(1 << 77 | 5)),
    }
}

pub(crate) fn forwarded(name: &str) -> Forwarded {
    let put = PutRequest {
        key: key(name),
        value: Some("new".into()),
        content_type: Some("text/plain".into()),
        context: state("old").context().clone(),
        return_values: true,
        idempotency_key: Some("once".into()),
        options: Options {
            quorum: Some(2),
            timeout: Some(Duration::from_secs(9)),
            ..Options::default()
        },
    };
    Forwarded {
        fence: fence(),
        put,
    }
}
