//! The paths of a request that need no disk and no network. Each makes its inputs ready and hands what is counted to [`counted_path`].

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use dynamokv_coordinator::{
    Fence, GetOp, PutOp, QuorumMode, ReadPhase, ReadPlan, ReplicaState, ReplicaWrite, View,
    WritePhase, WritePlan,
};
use dynamokv_ring::{Member, NodeId, PartitionRing, Placement};
use dynamokv_rpc::pb;
use dynamokv_storage::{
    Durability, Family, MemoryEngine, ObjectKey, ObjectStore, State, StoreOptions, SyncMode, Value,
};
use dynamokv_vclock::{ActorId, CausalContext, Dot, Epoch, HybridTime, VersionVector};
use prost::Message;

use crate::Result;

type Path = (&'static str, fn() -> Result);

/// Every path by its name.
pub(crate) const PATHS: [Path; 11] = [
    ("context encode", context_encode),
    ("context decode", context_decode),
    ("state join", state_join),
    ("ring look-up", ring_look_up),
    ("put step", put_step),
    ("get step", get_step),
    ("batch encode", batch_encode),
    ("batch decode", batch_decode),
    ("write decode", write_decode),
    ("store put", store_put),
    ("store get", store_get),
];

/// What is counted: the profiler knows it by its name.
#[inline(never)]
fn counted_path(path: impl FnOnce() -> Result) -> Result {
    path()
}

/// Of so many rounds, so that the first one's cold allocator does not matter.
fn rounds<R>(mut path: impl FnMut() -> Result<R>) -> Result {
    counted_path(|| {
        for _ in 0..ROUNDS {
            black_box(path()?);
        }
        Ok(())
    })
}

const ROUNDS: usize = 100;

// -- Clocks: three actors

fn actor(node: u64) -> ActorId {
    ActorId::new(node << 56, Epoch(node << 24))
}

fn context() -> CausalContext {
    let dots = (1..=3).map(|node| Dot::new(actor(node), 7));
    CausalContext::from(dots.collect::<VersionVector>())
}

fn context_encode() -> Result {
    let context = context();
    rounds(|| {
        let mut bytes = Vec::with_capacity(64);
        black_box(&context).encode(&mut bytes);
        Ok(bytes)
    })
}

fn context_decode() -> Result {
    let mut bytes = Vec::new();
    context().encode(&mut bytes);
    rounds(|| Ok(CausalContext::<ActorId>::decode(black_box(&bytes))?))
}

// -- States: one value of 1 KiB, and the delta of a put that has seen it

fn value() -> Value {
    Value::new(HybridTime(1 << 40), vec![0x5a; 1_024])
}

fn state() -> State {
    State::delta(Dot::new(actor(1), 8), value(), &context())
}

fn state_join() -> Result {
    let delta = State::delta(Dot::new(actor(2), 8), value(), state().context());
    let mut states = vec![(state(), delta); ROUNDS].into_iter();
    rounds(|| {
        let (mut state, delta) = states.next().ok_or("too few states")?;
        state.join(black_box(delta));
        Ok(state)
    })
}

// -- The ring: ten nodes

fn key() -> Result<ObjectKey> {
    Ok(ObjectKey::new(
        "default",
        Bytes::from_static(b"user0000000000012345"),
    )?)
}

fn ring(nodes: u64) -> Result<PartitionRing> {
    let members = (1..=nodes).map(|id| Member::new(NodeId(id)));
    Ok(PartitionRing::new(1_024, 3, members)?)
}

fn ring_look_up() -> Result {
    let (ring, key) = (ring(10)?, key()?);
    rounds(|| Ok(ring.owners(black_box(&key).token()).to_vec()))
}

// -- The quorum: N = 3, R = 2, W = 2, everybody answers

fn view() -> Result<Arc<View>> {
    Ok(Arc::new(View {
        me: NodeId(1),
        fence: FENCE,
        current: Arc::new(ring(3)?),
        next: None,
        next_complete: false,
        forgotten: Arc::default(),
        writes: WritePhase::Current,
        reads: ReadPhase::Current,
        phase: 0,
        required: 1,
        live: Arc::new((1..=3).map(NodeId).collect::<BTreeSet<_>>()),
    }))
}

const FENCE: Fence = Fence {
    cluster: 1,
    number: 1,
    fingerprint: 1,
    seen: 1,
};

fn put_step() -> Result {
    let (view, token) = (view()?, key()?.token());
    rounds(|| {
        let plan = WritePlan::new(black_box(&view), token, 2, QuorumMode::Sloppy)?;
        let mut put = PutOp::new(plan);
        put.start();
        put.on_local(Ok(()));
        put.on_reply(NodeId(2), Ok(()));
        put.on_reply(NodeId(3), Ok(()));
        while let Some(action) = put.poll_action() {
            black_box(action);
        }
        Ok(put.is_finished())
    })
}

fn get_step() -> Result {
    let (view, token) = (view()?, key()?.token());
    let answer = ReplicaState {
        state: state(),
        marked: false,
    };
    let mut answers = vec![[answer.clone(), answer]; ROUNDS].into_iter();
    rounds(|| {
        let plan = ReadPlan::new(black_box(&view), token, 2, QuorumMode::Sloppy);
        let asked = plan.first.clone();
        let mut get = GetOp::new(plan);
        get.start();
        for (node, answer) in asked
            .into_iter()
            .zip(answers.next().ok_or("too few answers")?)
        {
            get.on_reply(node, Ok(answer));
        }
        while let Some(action) = get.poll_action() {
            black_box(action);
        }
        Ok(get.responded())
    })
}

// -- Messages between nodes: the copies of 32 puts together, and of one

fn write() -> Result<ReplicaWrite> {
    Ok(ReplicaWrite {
        fence: FENCE,
        key: key()?,
        delta: Arc::new(state()),
        hint_for: None,
    })
}

fn batch(write: &ReplicaWrite) -> pb::ReplicateRequest {
    pb::ReplicateRequest {
        fence: Some(FENCE.into()),
        requests: (0..32).map(|_| write.into()).collect(),
    }
}

fn batch_encode() -> Result {
    let write = write()?;
    rounds(|| Ok(batch(black_box(&write)).encode_to_vec()))
}

fn batch_decode() -> Result {
    let bytes = Bytes::from(batch(&write()?).encode_to_vec());
    rounds(|| Ok(pb::ReplicateRequest::decode(black_box(&bytes).clone())?))
}

/// With the state in it, which those of a batch are decoded to later.
fn write_decode() -> Result {
    let bytes = Bytes::from(pb::InternalPutRequest::from(&write()?).encode_to_vec());
    rounds(|| {
        let message = pb::InternalPutRequest::decode(black_box(&bytes).clone())?;
        Ok(ReplicaWrite::try_from(message)?)
    })
}

// -- The store, its record format in it, on the memory engine

fn store() -> Result<Arc<ObjectStore>> {
    let engine = Arc::new(MemoryEngine::new(Family::CLUSTER));
    let options = StoreOptions {
        durability: Durability::Os,
        sync_mode: SyncMode::Manual,
        ..StoreOptions::new(1, 1)
    };
    let store = ObjectStore::open(engine, options)?;
    store.put(&key()?, value(), &CausalContext::new(), |_| ())?;
    Ok(store)
}

fn store_put() -> Result {
    let (store, key) = (store()?, key()?);
    let mut seen = CausalContext::new();
    rounds(|| {
        let applied = store.put(&key, value(), &seen, |_| ())?;
        seen = applied.delta.context().clone();
        Ok(())
    })
}

fn store_get() -> Result {
    let (store, key) = (store()?, key()?);
    rounds(|| Ok(store.get(black_box(&key))?))
}
