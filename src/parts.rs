//! One node without its shell: everything but the listener, the connections and the clocks of the machine.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use dynamokv_antientropy::Forest;
use dynamokv_coordinator::{Coordinator, Membership, Replica, WallClock};
use dynamokv_gossip::{Event, GossipHandle};
use dynamokv_ring::NodeId;
use dynamokv_storage::{Engine, ObjectStore, SyncMode};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::broadcast::Receiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::absence::{Absence, Marks};
use crate::change::Walker;
use crate::cluster::Cluster;
use crate::core::Core;
use crate::exchange::Ledger;
use crate::hints::Hints;
use crate::opening::{open_store, recall, start_gossip};
use crate::persist::{self, Remembered};
use crate::pull::Streaming;
use crate::pulse::Pulse;
use crate::service::Service;
use crate::transport::Transport;
use crate::{Error, NodeConfig, absence, trees};

/// How long a stop waits for operations under way; they end sooner unless a request asked for more time.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

/// What a node takes from outside.
pub struct Surroundings {
    /// Where it keeps its data.
    pub engine: Arc<dyn Engine>,
    /// Who runs the syncs.
    pub sync_mode: SyncMode,
    /// All of its randomness. It must differ from start to start.
    pub random_seed: u64,
    /// Milliseconds since the Unix epoch.
    pub wall_clock: WallClock,
    /// Where others reach it, `host:port`.
    pub address: String,
}

/// Where the other nodes are: as gossip says, or else where they were before this process started.
#[derive(Clone)]
pub struct Addresses {
    gossip: GossipHandle,
    remembered: Arc<BTreeMap<NodeId, String>>,
}

impl dynamokv_rpc::AddressBook for Addresses {
    fn address_of(&self, node: NodeId) -> Option<String> {
        self.gossip
            .with(|gossip| gossip.address_of(node).map(str::to_owned))
            .or_else(|| self.remembered.get(&node).cloned())
    }
}

/// The parts of one node, wired together over a transport: what a [`Node`](crate::Node) puts behind its listener, and
/// what a simulator puts into a network of its own.
///
/// Dropping it stops its tasks without warning, as a crash would.
pub struct Parts<T> {
    core: Arc<Core<T>>,
    service: Arc<Service<T>>,
    tasks: Mutex<JoinSet<()>>,
    ending: Ending,
}

impl<T: Transport> Parts<T> {
    /// Opens the store, founds or seeks the cluster, and starts the tasks of the node. `connect` makes the way to the
    /// others. Blocks for a few syncs; must be called within a tokio runtime.
    ///
    /// # Errors
    /// Whatever keeps the node from starting; nothing runs then.
    pub fn start(
        config: &NodeConfig,
        around: Surroundings,
        connect: impl FnOnce(Addresses) -> T,
    ) -> Result<Self, Error> {
        config.validate()?;
        let (store, trees) = open_store(config, &around)?;
        let me = NodeId(store.options().node);
        let remembered = recall(config, &store, me, around.random_seed)?;
        let absence = Absence::before(&store, (around.wall_clock)())?;
        let gossip = start_gossip(
            config,
            &store,
            (&remembered, &absence),
            &around.address,
            around.random_seed,
        )?;
        let partitions = remembered
            .facts
            .as_ref()
            .map_or(0, |facts| facts.partitions);
        let cluster = Arc::new(Cluster::new(
            me,
            gossip.clone(),
            remembered.mark,
            remembered.peers.keys().copied().collect(),
            persist::load_forgotten(&store, partitions)?,
        )?);
        let transport = Arc::new(connect(Addresses {
            gossip: gossip.clone(),
            remembered: Arc::new(remembered.peers.clone()),
        }));
        let core = assemble(
            config,
            (store, trees),
            cluster,
            transport,
            around.wall_clock,
        )?;
        let marks = Marks::new(config);
        let away_too_long = absence.end(&core, &marks)?;
        let (streaming, progress) = watch::channel(None);
        let service = Service::new(Arc::clone(&core), config.clone(), around.address, progress);
        let ending = Ending(watch::Sender::new(None));
        let mut tasks = JoinSet::new();
        let events = gossip.events();
        spawn_tasks(
            &mut tasks,
            &core,
            config,
            (remembered, marks, away_too_long),
            streaming,
            events,
            &ending,
        );
        Ok(Self {
            core,
            service,
            tasks: Mutex::new(tasks),
            ending,
        })
    }

    /// The node's id.
    pub fn id(&self) -> NodeId {
        self.core.me
    }

    /// What it answers: to clients, to other nodes, to operators.
    pub fn service(&self) -> Arc<Service<T>> {
        Arc::clone(&self.service)
    }

    /// Its versioned store.
    pub fn store(&self) -> &Arc<ObjectStore> {
        &self.core.store
    }

    /// Its membership.
    pub fn gossip(&self) -> &GossipHandle {
        self.core.cluster.gossip()
    }

    /// Its present view of the cluster.
    pub fn view(&self) -> Arc<dynamokv_coordinator::View> {
        self.core.cluster.view()
    }

    /// Operations that it coordinates at the moment, those that were answered and go on in the background among them.
    pub fn operations(&self) -> usize {
        self.core.coordinator.drain().len()
    }

    /// What it holds for others: objects, one for each target, and ranges that are held as a whole. O(hints).
    ///
    /// # Errors
    /// The store's failure.
    pub fn hints(&self) -> Result<u64, Error> {
        let hints = &self.core.hints;
        let mut sum = 0;
        for target in hints.targets() {
            let held = hints.held(target)?;
            sum += held.hints + held.slices as u64;
        }
        Ok(sum)
    }

    /// Tasks of the node that run, those of single operations and exchanges aside.
    pub fn tasks(&self) -> usize {
        self.tasks.lock().len()
    }

    /// As [`Node::ended`](crate::Node::ended).
    pub async fn ended(&self) -> Arc<Error> {
        let mut ended = self.ending.0.subscribe();
        let reason = match ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone(),
            Err(_) => None,
        };
        reason.unwrap_or_else(|| Arc::new(Error::Stopped))
    }

    /// As [`Node::settled`](crate::Node::settled).
    pub async fn settled(&self, within: Duration) -> bool {
        let mut changes = self.core.cluster.changes();
        let settled = async {
            loop {
                let view = self.core.cluster.view();
                if view.current.contains(view.me) && view.next.is_none() {
                    return;
                }
                changes.changed().await;
            }
        };
        tokio::time::timeout(within, settled).await.is_ok()
    }

    /// The first half of a clean stop: tells the others. Requests under way may go on.
    pub async fn say_goodbye(&self) {
        self.gossip().stop().await;
    }

    /// The second half, after the last request: lets what was answered end, syncs, and marks the stop as clean.
    ///
    /// # Errors
    /// What the store reports; the stop then counts as unclean, which costs nothing but fresh epochs.
    pub async fn close(&self) -> Result<(), Error> {
        // The last replicas of writes that were acknowledged already: each gets its copy or its marker.
        let drain = self.core.coordinator.drain();
        let drained = tokio::time::timeout(DRAIN_GRACE, drain.ended_before(u64::MAX)).await;
        if drained.is_err() {
            tracing::warn!(
                operations = drain.len(),
                "stopped before all operations had ended"
            );
        }
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
        let (store, trees) = (&self.core.store, &self.core.trees);
        Ok(store.close_with(|batch| trees::save(trees, store, batch))?)
    }
}

fn assemble<T: Transport>(
    config: &NodeConfig,
    (store, trees): (Arc<ObjectStore>, Arc<Forest>),
    cluster: Arc<Cluster>,
    transport: Arc<T>,
    wall_clock: WallClock,
) -> Result<Arc<Core<T>>, Error> {
    let quorum = |value| NonZeroUsize::new(value).unwrap_or(NonZeroUsize::MIN);
    let hints = Hints::open(
        Arc::clone(&store),
        config.hint_bounds(),
        Arc::clone(&wall_clock),
    );
    let hints = Arc::new(hints?);
    let replica = Arc::new(Replica::new(
        Arc::clone(&store),
        Arc::clone(&cluster),
        Arc::clone(&hints),
    ));
    let settings = dynamokv_coordinator::Config {
        read_quorum: quorum(config.read_quorum),
        write_quorum: quorum(config.write_quorum),
        timeout: Duration::from_millis(config.timeout_ms),
        slow_after: Duration::from_millis(config.slow_ms),
        in_flight_max: quorum(config.in_flight_max),
        ..dynamokv_coordinator::Config::default()
    };
    let coordinator = Coordinator::new(
        settings,
        Arc::clone(&cluster),
        Arc::clone(&transport),
        Arc::clone(&replica),
        Arc::clone(&wall_clock),
    );
    let me = NodeId(store.options().node);
    let write_quorum = quorum(config.write_quorum);
    Ok(Arc::new(Core {
        me,
        write_quorum,
        store,
        hints,
        pulse: Pulse::new(Instant::now()),
        wall_clock,
        cluster,
        trees,
        ledger: Ledger::default(),
        transport,
        replica,
        coordinator,
    }))
}

/// Where the reason of the node's end is kept; the first one counts.
#[derive(Clone)]
struct Ending(watch::Sender<Option<Arc<Error>>>);

impl Ending {
    fn because(&self, reason: Error) {
        self.0.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert_with(|| Arc::new(reason));
            first
        });
    }
}

/// Ends the node when it is dropped: with the task that must go on, by a panic for one.
struct MustGoOn {
    ending: Ending,
    part: &'static str,
}

impl Drop for MustGoOn {
    fn drop(&mut self) {
        self.ending.because(Error::PartEnded { part: self.part });
    }
}

fn spawn_tasks<T: Transport>(
    tasks: &mut JoinSet<()>,
    core: &Arc<Core<T>>,
    config: &NodeConfig,
    (remembered, marks, away_too_long): (Remembered, Marks, bool),
    streaming: watch::Sender<Option<Streaming>>,
    events: Receiver<Event>,
    ending: &Ending,
) {
    let mut spawn = |part, work: BoxFuture<'static, Option<Error>>| {
        let guard = MustGoOn {
            ending: ending.clone(),
            part,
        };
        tasks.spawn(async move {
            if let Some(reason) = work.await {
                guard.ending.because(reason);
            }
        });
    };
    let watcher = crate::watch::run(Arc::clone(core), events);
    spawn("watcher", watcher.map(Some).boxed());
    let marking = absence::run(Arc::clone(core), marks);
    spawn("marks of life", marking.map(|()| None).boxed());
    let gossip = dynamokv_gossip::run(core.cluster.gossip().clone(), Arc::clone(&core.transport));
    spawn("gossip", gossip.map(|()| None).boxed());
    let keeper = trees::keep(Arc::clone(core), config.exchange());
    spawn("hash trees", keeper.map(|()| None).boxed());
    let beating = Arc::clone(core);
    let pulse = async move { beating.pulse.beat().await };
    spawn("pulse", pulse.map(|()| None).boxed());

    let mut spawn_member = |part, work: BoxFuture<'static, Option<Error>>| {
        let core = Arc::clone(core);
        let work = async move {
            core.cluster.stepped_in().await;
            work.await
        };
        spawn(part, work.boxed());
    };
    let walker = Walker::new(Arc::clone(core), remembered, config.transfer(), streaming);
    spawn_member("membership", walker.walk().map(Some).boxed());
    let delivery = crate::deliver::run(Arc::clone(core), config.handoff());
    spawn_member("hint delivery", delivery.map(|()| None).boxed());
    let grace = config.collect().grace;
    let handover = crate::let_go::run(Arc::clone(core), grace, away_too_long);
    spawn_member("handover", handover.map(|()| None).boxed());
    let rounds = crate::exchange::run(Arc::clone(core), config.exchange());
    spawn_member("exchange", rounds.map(|()| None).boxed());
    let collector = crate::collect::run(Arc::clone(core), config.collect());
    spawn_member("tombstones", collector.map(|()| None).boxed());
}
