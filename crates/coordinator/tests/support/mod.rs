//! A cluster in one process: real coordinators, replicas and stores, a transport that calls them directly
//! and can be told to cut, stall or lose.
#![allow(unreachable_pub, dead_code)] // Shared by tests, each of which is a crate of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use dynamokv_coordinator::{
    Config, Coordinator, Error, Fence, Forwarded, GetRequest, HintSink, Membership, Options,
    PutReply, PutRequest, ReadPhase, Replica, ReplicaAnswer, ReplicaError, ReplicaRead,
    ReplicaTransport, ReplicaWrite, View, WritePhase,
};
use dynamokv_ring::{Member, NodeId, PartitionRing, Placement, Zone};
use dynamokv_storage::{
    Batch, Durability, Engine, Family, MemoryEngine, ObjectKey, ObjectStore, StoreOptions, SyncMode,
};
use dynamokv_vclock::CausalContext;
use parking_lot::Mutex;

pub struct Markers;

impl HintSink for Markers {
    fn mark(&self, batch: &mut Batch, key: &ObjectKey, target: NodeId) {
        let mut marker = target.0.to_be_bytes().to_vec();
        marker.extend_from_slice(&key.encode());
        batch.put(&Family::HINTS, marker, Vec::new());
    }

    fn is_marked(&self, _: &ObjectKey) -> Result<bool, dynamokv_storage::Error> {
        Ok(false)
    }
}

pub struct Seat {
    me: NodeId,
    view: Mutex<Arc<View>>,
}

impl Membership for Seat {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.lock())
    }

    fn report(&self, _: NodeId, _: bool) {}

    async fn catch_up(&self, _: NodeId, seen: Fence) {
        while self.view().fence == seen {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// What the network does to a node's requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Cut,
    Stalled,
}

type TestReplica = Replica<Seat, Markers>;
type TestCoordinator = Coordinator<Seat, Net, Markers>;

#[derive(Default)]
pub struct Net {
    replicas: Mutex<BTreeMap<NodeId, Arc<TestReplica>>>,
    coordinators: Mutex<BTreeMap<NodeId, TestCoordinator>>,
    faults: Mutex<BTreeMap<NodeId, Fault>>,
    /// Copies that were sent in answers.
    copies_sent: AtomicUsize,
}

impl Net {
    async fn reach(&self, to: NodeId, timeout: Duration) -> Result<(), ReplicaError> {
        let fault = self.faults.lock().get(&to).copied();
        match fault {
            None => Ok(()),
            Some(Fault::Cut) => Err(ReplicaError::Unreachable("cut".into())),
            Some(Fault::Stalled) => {
                tokio::time::sleep(timeout).await;
                Err(ReplicaError::Lost("stalled".into()))
            }
        }
    }

    fn replica(&self, node: NodeId) -> Arc<TestReplica> {
        Arc::clone(&self.replicas.lock()[&node])
    }
}

impl ReplicaTransport for Net {
    async fn write(
        &self,
        to: NodeId,
        request: ReplicaWrite,
        timeout: Duration,
    ) -> Result<(), ReplicaError> {
        self.reach(to, timeout).await?;
        self.replica(to).write(request).await
    }

    async fn read(
        &self,
        to: NodeId,
        request: ReplicaRead,
        timeout: Duration,
    ) -> Result<ReplicaAnswer, ReplicaError> {
        self.reach(to, timeout).await?;
        let answer = self.replica(to).read(&request);
        if let Ok(ReplicaAnswer::Copy(_)) = &answer {
            self.copies_sent.fetch_add(1, Relaxed);
        }
        answer
    }

    async fn forward(
        &self,
        to: NodeId,
        request: Forwarded,
        timeout: Duration,
    ) -> Result<Result<PutReply, Error>, ReplicaError> {
        self.reach(to, timeout).await?;
        let coordinator = self.coordinators.lock()[&to].clone();
        Ok(coordinator.put_forwarded(request).await)
    }
}

pub struct Cluster {
    pub net: Arc<Net>,
    pub ring: Arc<dyn Placement>,
    seats: BTreeMap<NodeId, Arc<Seat>>,
}

impl Cluster {
    /// Nodes in memory that sync by themselves.
    pub fn new(nodes: u64, config: &Config) -> Self {
        Self::open(memory, nodes, config, SyncMode::Thread, 0)
    }

    /// As [`new`](Self::new); they keep warm records in memory.
    pub fn warm(nodes: u64, config: &Config) -> Self {
        Self::open(memory, nodes, config, SyncMode::Thread, 1 << 20)
    }

    /// Nodes on the given disks.
    pub fn on(
        disk_of: impl Fn(NodeId) -> Arc<dyn Engine>,
        nodes: u64,
        config: &Config,
        sync_mode: SyncMode,
    ) -> Self {
        Self::open(disk_of, nodes, config, sync_mode, 0)
    }

    fn open(
        disk_of: impl Fn(NodeId) -> Arc<dyn Engine>,
        nodes: u64,
        config: &Config,
        sync_mode: SyncMode,
        cache_bytes: usize,
    ) -> Self {
        let members = (1..=nodes).map(|id| Member {
            id: NodeId(id),
            weight: 100.try_into().unwrap(),
            zone: Zone::from(format!("z{id}").as_str()),
        });
        let ring: Arc<dyn Placement> = Arc::new(PartitionRing::new(8, 3, members).unwrap());
        let fence = Fence {
            cluster: 1,
            number: 1,
            fingerprint: ring.fingerprint(),
            seen: 1,
        };
        let live = Arc::new((1..=nodes).map(NodeId).collect::<BTreeSet<_>>());
        let net = Arc::new(Net::default());
        let mut seats = BTreeMap::new();
        for me in (1..=nodes).map(NodeId) {
            let view = View {
                me,
                current: Arc::clone(&ring),
                next: None,
                next_complete: false,
                forgotten: Arc::default(),
                writes: WritePhase::Current,
                reads: ReadPhase::Current,
                phase: 0,
                fence,
                required: 1,
                live: Arc::clone(&live),
            };
            let seat = Arc::new(Seat {
                me,
                view: Mutex::new(Arc::new(view)),
            });
            let options = StoreOptions {
                durability: Durability::Sync,
                sync_mode,
                cache_bytes,
                ..StoreOptions::new(me.0, me.0)
            };
            let store = ObjectStore::open(disk_of(me), options).unwrap();
            let replica = Arc::new(Replica::new(store, Arc::clone(&seat), Arc::new(Markers)));
            let coordinator = Coordinator::new(
                config.clone(),
                Arc::clone(&seat),
                Arc::clone(&net),
                Arc::clone(&replica),
                Arc::new(|| 1_000),
            );
            net.replicas.lock().insert(me, replica);
            net.coordinators.lock().insert(me, coordinator);
            seats.insert(me, seat);
        }
        Self { net, ring, seats }
    }

    pub fn coordinator(&self, node: NodeId) -> TestCoordinator {
        self.net.coordinators.lock()[&node].clone()
    }

    pub fn replica(&self, node: NodeId) -> Arc<TestReplica> {
        self.net.replica(node)
    }

    /// Whether `holder` has a durable marker that it holds the key for `target`.
    pub fn holds_for(&self, holder: NodeId, name: &str, target: NodeId) -> bool {
        let mut marker = target.0.to_be_bytes().to_vec();
        marker.extend_from_slice(&key(name).encode());
        let replica = self.replica(holder);
        let engine = replica.store().engine();
        engine.get(&Family::HINTS, &marker).unwrap().is_some()
    }

    /// Copies that replicas have sent in their answers since the last call.
    pub fn take_copies_sent(&self) -> usize {
        self.net.copies_sent.swap(0, Relaxed)
    }

    pub fn fault(&self, node: NodeId, fault: Option<Fault>) {
        match fault {
            Some(fault) => self.net.faults.lock().insert(node, fault),
            None => self.net.faults.lock().remove(&node),
        };
    }

    /// Lets every node believe that these nodes are down.
    pub fn believe_down(&self, down: &[NodeId]) {
        let live: BTreeSet<NodeId> = self
            .seats
            .keys()
            .filter(|id| !down.contains(id))
            .copied()
            .collect();
        self.change(|view| view.live = Arc::new(live.clone()));
    }

    pub fn change(&self, change: impl Fn(&mut View)) {
        for seat in self.seats.values() {
            let mut view = View::clone(&seat.view.lock());
            change(&mut view);
            assert_eq!(view.me, seat.me);
            *seat.view.lock() = Arc::new(view);
        }
    }
}

fn memory(_: NodeId) -> Arc<dyn Engine> {
    Arc::new(MemoryEngine::new(Family::CLUSTER))
}

pub fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name.as_bytes().to_vec()).unwrap()
}

pub fn put(name: &str, value: &str, context: &CausalContext) -> PutRequest {
    PutRequest {
        key: key(name),
        value: Some(value.as_bytes().to_vec().into()),
        content_type: None,
        context: context.clone(),
        return_values: false,
        idempotency_key: None,
        options: Options::default(),
    }
}

pub fn get(name: &str) -> GetRequest {
    GetRequest {
        key: key(name),
        options: Options::default(),
    }
}
