//! One run: the cluster forms, works under faults, and comes to rest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dynamokv::ring::NodeId;
use dynamokv::{Parts, Transport};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::end::{End, HighWater};
use crate::history::Key;
use crate::invariants::stages_stay_in_step::Step;
use crate::invariants::{self, Violation};
use crate::kv::Kv;
use crate::nemesis::Nemesis;
use crate::network::Place;
use crate::panics;
use crate::phone::Phone;
use crate::plan::Plan;
use crate::record::Record;
use crate::workload::Client;
use crate::world::World;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was run.
    pub plan: Plan,
    /// The first promise that was broken.
    pub violation: Option<Violation>,
    /// One number for all events.
    pub digest: u64,
    /// How many events there were.
    pub events: u64,
    /// Virtual time that passed.
    pub virtual_time: Duration,
    /// What was counted, faults by their kind among it.
    pub counts: BTreeMap<String, u64>,
    /// The events, where they were asked for.
    pub trace: Vec<String>,
}

/// Runs a plan to its end, in this thread and in virtual time.
///
/// # Panics
/// Where the runtime cannot be made, or where the nodes panic.
#[allow(clippy::expect_used)]
pub fn run(plan: Plan, keep_trace: bool) -> Report {
    panics::watch();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread needs nothing that could be missing");
    let report = runtime.block_on(async {
        let world = World::new(plan, keep_trace);
        let report = play(&world).await;
        world.end();
        report
    });
    drop(runtime);
    report
}

async fn play(world: &Arc<World>) -> Report {
    let formed = form(world).await;
    let mut end = match formed {
        Ok(()) => {
            let mut nemesis = Nemesis::new(world);
            work(world, &mut nemesis).await;
            settle(world, &mut nemesis).await
        }
        Err(reason) => End {
            unsettled: reason,
            ..End::default()
        },
    };
    if world.plan().grace.is_some() {
        // At any moment one owner may have let go of it and another not yet.
        end.forget_tombstones();
    }
    conclude(world.record(), &end)
}

/// Checks what was recorded and how the cluster stands in the end.
pub(crate) fn conclude(record: &Record, end: &End) -> Report {
    let history = record.history(std::mem::take);
    for node in end.nodes.values() {
        for (key, state) in &node.copies {
            if let Ok(key) = key.object_key() {
                record.see(&key, state);
            }
        }
    }
    let violation = panics::noticed()
        .or_else(|| record.broken())
        .or_else(|| invariants::check(&history, end).err());
    record.note(EVERYBODY, format_args!("the end: {:?}", fingerprint(end)));
    Report {
        plan: record.plan().clone(),
        violation,
        digest: record.trace(|trace| trace.digest()),
        events: record.trace(|trace| trace.events()),
        virtual_time: record.now(),
        counts: record.counts(),
        trace: record.trace(|trace| trace.lines().to_vec()),
    }
}

/// The first node founds the cluster, the others join it.
async fn form(world: &Arc<World>) -> Result<(), Vec<String>> {
    for place in world.occupied() {
        world.start(place).map_err(|reason| vec![reason])?;
    }
    await_rest(world, FORMING_MAX).await.map(|_| ())
}

/// The safety phase: clients work while things go wrong.
async fn work(world: &Arc<World>, nemesis: &mut Nemesis) {
    let plan = world.plan();
    let mut clients = JoinSet::new();
    for number in 0..plan.clients {
        let share = (plan.operations + number) / plan.clients;
        clients.spawn(client(world, number as u32).work(share));
    }
    let gauge = async {
        loop {
            for _ in 0..GAUGINGS {
                sleep(GAUGING).await;
                let running: Vec<_> = world.running();
                let parts = |place: &usize| world.host(*place, |host| host.parts().cloned());
                for parts in running.iter().filter_map(parts) {
                    measure(world, &parts);
                }
                let sane = |place: &&usize| !world.host(**place, |host| host.is_on_older_disk());
                let sane = running.iter().filter(sane).filter_map(parts);
                let steps = sane.filter_map(|parts| step(&parts));
                world.see_steps(&steps.collect());
                world.look_at_owners();
            }
            world.look_at_disks();
        }
    };
    tokio::select! {
        biased;
        () = async { while clients.join_next().await.is_some() {} } => {}
        () = nemesis.rage() => {}
        () = gauge => {}
    }
}

fn client(world: &Arc<World>, number: u32) -> Client<Phone> {
    let phone = Phone::new(Arc::clone(world), number);
    Client::new(world.record(), number, phone)
}

/// The liveness phase: no more faults; everything must come to rest, and every request be answered.
async fn settle(world: &Arc<World>, nemesis: &mut Nemesis) -> End {
    let began = world.now();
    let mended = timeout(SETTLING_MAX, nemesis.mend()).await.is_ok();
    let left = (began + SETTLING_MAX).saturating_sub(world.now());
    let rested = await_rest(world, left.max(GAUGING)).await;
    let settled_after = world.now() - began;
    let failed_probes = probe(world, client(world, READER), &world.occupied()).await;
    let tasks_left = tasks_left(world).await;
    operations_ended(world).await;
    let mut end = world.end_state();
    match rested {
        Ok(()) if mended => end.settled_after = Some(settled_after),
        Ok(()) => end.unsettled.push("the replacement of a node".to_owned()),
        Err(reasons) => end.unsettled = reasons,
    }
    end.failed_probes = failed_probes;
    end.tasks_left = tasks_left;
    end.high_water = high_water(world);
    end
}

async fn await_rest(world: &Arc<World>, patience: Duration) -> Result<(), Vec<String>> {
    let deadline = world.now() + patience;
    loop {
        match world.at_rest() {
            Ok(()) => {
                world.note(EVERYBODY, format_args!("at rest"));
                return Ok(());
            }
            Err(reasons) if world.now() >= deadline => return Err(reasons),
            Err(_) => sleep(GAUGING).await,
        }
    }
}

/// Reads every key through some node, strictly and from all replicas; says which could not be read.
pub(crate) async fn probe(
    record: &Record,
    mut reader: Client<impl Kv>,
    places: &[usize],
) -> Vec<String> {
    let keys: Vec<Key> = record.history(|history| history.keys().collect());
    let mut failed = Vec::new();
    for (key, place) in keys.into_iter().zip(places.iter().copied().cycle()) {
        if !reader.probe(key, place, record.plan().replicas).await {
            failed.push(format!("{key} could not be read through n{place}"));
        }
    }
    failed
}

/// Tasks beyond those that every node has, when what is under way has had the time to end. Exchanges of gossip come and go:
/// the least of all looks counts.
async fn tasks_left(world: &World) -> usize {
    let deadline = world.now() + ENDING_MAX;
    let mut least = usize::MAX;
    while least > 0 && world.now() < deadline {
        let alive = tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks();
        let known: usize = (0..world.places())
            .filter_map(|place| world.host(place, |host| host.tasks()))
            .sum();
        least = least.min(alive.saturating_sub(known));
        sleep(BETWEEN_LOOKS).await;
    }
    least
}

/// Waits until no node coordinates anything, for as long as an operation may take: all of them confirm tombstones now and then.
async fn operations_ended(world: &World) {
    let deadline = world.now() + ENDING_MAX;
    let operations = |place: &usize| {
        world.host(*place, |host| {
            host.parts().map_or(0, |parts| parts.operations())
        })
    };
    while world.running().iter().map(operations).sum::<usize>() > 0 && world.now() < deadline {
        sleep(BETWEEN_LOOKS).await;
    }
}

/// How far a node has come with the open change.
fn step<T: Transport>(parts: &Parts<T>) -> Option<(NodeId, Step)> {
    parts.gossip().with(|gossip| {
        let step = Step {
            facts: gossip.facts()?.clone(),
            mark: gossip.local().stage_mark(),
            excused: gossip.change_view().excused,
        };
        Some((gossip.id(), step))
    })
}

/// Looks at what must be bounded on a node.
pub(crate) fn measure<T: Transport>(record: &Record, parts: &Parts<T>) {
    record.count_max(OPERATIONS, parts.operations() as u64);
    record.count_max(HINTS, parts.hints().unwrap_or_default());
    let counters = parts.store().counters();
    record.count_max(SIBLINGS, counters.siblings_max);
    record.count_max(CONTEXT, counters.context_entries_max);
    record.see_view(parts.id(), &parts.gossip().with(|gossip| gossip.snapshot()));
}

pub(crate) fn high_water(record: &Record) -> Vec<HighWater> {
    let plan = record.plan();
    let (clients, keys, places) = (
        plan.clients as u64,
        u64::from(plan.keys),
        record.places() as u64,
    );
    let counts = record.counts();
    let of = |what: &'static str, bound: u64| HighWater {
        what,
        seen: counts.get(what).copied().unwrap_or_default(),
        bound,
    };
    let writes = plan.operations as u64;
    vec![
        // A request and its retries, each with a read's or a write's tail behind it, until the deadline at the latest.
        of(OPERATIONS, clients * OPERATIONS_A_CLIENT),
        // Markers fold by key: one for each target at most, removed nodes among them.
        of(HINTS, keys * places * 2),
        of(SIBLINGS, writes.min(SIBLINGS_HARD)),
        of(CONTEXT, writes),
    ]
}

/// What the digest takes of the end.
fn fingerprint(end: &End) -> Vec<String> {
    end.nodes
        .iter()
        .flat_map(|(id, node)| {
            node.copies
                .iter()
                .map(move |(key, state)| format!("{id} {key} {}", state.context()))
        })
        .collect()
}

/// Who notes what concerns everybody.
const EVERYBODY: Place = Place::Everybody;
const FORMING_MAX: Duration = Duration::from_secs(120);
/// The bound of virtual time within which everything must be at rest after the last fault.
pub const SETTLING_MAX: Duration = Duration::from_secs(120);
const GAUGING: Duration = Duration::from_millis(250);
/// Gaugings between two looks at all disks.
const GAUGINGS: usize = 2;
/// The longest deadline of anything that a node does by itself, and of what a crashed one had under way.
const ENDING_MAX: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(7);
/// The number of the client that reads everything in the end.
pub(crate) const READER: u32 = 999;
const OPERATIONS: &str = "most operations under way on a node";
const HINTS: &str = "most hints on a node";
const SIBLINGS: &str = "most siblings of a key";
const CONTEXT: &str = "most entries of a context";
const OPERATIONS_A_CLIENT: u64 = 40;
const SIBLINGS_HARD: u64 = 256;
