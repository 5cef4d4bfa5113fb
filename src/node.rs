//! One node of a cluster: opens what it keeps, finds the others, serves, and stops.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dynamokv_coordinator::{Coordinator, Membership, Replica};
use dynamokv_gossip::{
    ClusterFacts, Event, Gossip, GossipHandle, KEY_CHANGE, KEY_REMOVE, LocalNode, Profile, Status,
};
use dynamokv_handoff::Progress;
use dynamokv_ring::{Member, NodeId, Zone};
use dynamokv_rpc::{Peers, PeersConfig};
use dynamokv_storage::{Engine, ObjectStore, StoreOptions};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::broadcast::Receiver;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::change::Walker;
use crate::cluster::Cluster;
use crate::core::Core;
use crate::hints::Hints;
use crate::persist::{self, Remembered};
use crate::service::Service;
use crate::transport::Transport;
use crate::{Error, NodeConfig, engine};

/// How long a stop waits for operations under way; they end sooner unless a request asked for more time.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

/// Starts a [`Node`].
pub struct NodeBuilder {
    config: NodeConfig,
    engine: Option<Arc<dyn Engine>>,
    random_seed: u64,
}

impl NodeBuilder {
    /// A node of this configuration.
    pub fn new(config: NodeConfig) -> Self {
        Self {
            config,
            engine: None,
            random_seed: random_seed(),
        }
    }

    /// Keeps the data in `engine` instead of the one that the configuration names. A memory engine that is kept by the
    /// caller is a disk that outlives the node.
    #[must_use]
    pub fn engine(mut self, engine: Arc<dyn Engine>) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Draws all randomness from this seed instead of the operating system's. It must differ from start to start.
    #[must_use]
    pub fn random_seed(mut self, seed: u64) -> Self {
        self.random_seed = seed;
        self
    }

    /// Opens the store, founds or seeks the cluster, and serves.
    ///
    /// # Errors
    /// Whatever keeps the node from starting; nothing runs then.
    pub async fn start(self) -> Result<Node, Error> {
        let Self {
            config,
            engine,
            random_seed,
        } = self;
        config.validate()?;
        let engine = match engine {
            Some(engine) => engine,
            None => engine::open(&config)?,
        };
        let listener = listen(&config.listen).await?;
        let local = listener.local_addr().map_err(|reason| Error::Listen {
            address: config.listen.clone(),
            reason,
        })?;
        let address = config
            .advertise
            .clone()
            .unwrap_or_else(|| local.to_string());

        let store = open_store(&config, engine, random_seed)?;
        let me = NodeId(store.options().node);
        let remembered = recall(&config, &store, me, random_seed).await?;
        let gossip = start_gossip(&config, &store, &remembered, &address, random_seed)?;
        let cluster = Arc::new(Cluster::new(me, gossip.clone(), remembered.mark)?);
        let transport = Arc::new(Peers::new(
            Arc::new(AddressBook(gossip.clone())),
            PeersConfig::default(),
        ));
        let core = assemble(&config, store, cluster, Arc::clone(&transport))?;
        let (streaming, progress) = watch::channel(Progress::default());
        let service = Service::new(Arc::clone(&core), config.clone(), address.clone(), progress);

        let ending = Ending(watch::Sender::new(None));
        let mut tasks = JoinSet::new();
        let events = gossip.events();
        let server = service.serve(listener);
        spawn_tasks(
            &mut tasks, &core, transport, remembered, streaming, events, &ending,
        );
        tracing::info!(node = %me, %address, cluster = %config.cluster, engine = core.store.engine().name(), "listening");
        Ok(Node {
            core,
            address,
            tasks,
            server,
            ending,
        })
    }
}

/// A running node. Dropping it stops it without warning, as a crash would; see [`shutdown`](Self::shutdown).
pub struct Node {
    core: Arc<Core<Peers>>,
    address: String,
    tasks: JoinSet<()>,
    server: crate::service::Server,
    ending: Ending,
}

impl Node {
    /// A node of this configuration, ready to start.
    pub fn builder(config: NodeConfig) -> NodeBuilder {
        NodeBuilder::new(config)
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.core.me
    }

    /// Where others reach it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Completes when the node must stop by itself: it left as it was asked to ([`Error::Left`]), was removed, or
    /// cannot go on. The caller then calls [`shutdown`](Self::shutdown).
    pub async fn ended(&self) -> Arc<Error> {
        let mut ended = self.ending.0.subscribe();
        let reason = match ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone(),
            Err(_) => None,
        };
        reason.unwrap_or_else(|| Arc::new(Error::Stopped))
    }

    /// Completes when the node is a member of the ring and no membership change is open, or when `within` has passed.
    /// Whether it is.
    pub async fn settled(&self, within: Duration) -> bool {
        let mut changes = self.core.cluster.changes();
        let settled = async {
            loop {
                let view = self.core.cluster.view();
                if view.current.contains(view.me) && view.next.is_none() {
                    return;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(within, settled).await.is_ok()
    }

    /// Stops cleanly: says goodbye, lets requests under way end, syncs, and marks the stop as clean.
    ///
    /// # Errors
    /// What the store reports; the stop then counts as unclean, which costs nothing but fresh epochs.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        self.core.cluster.gossip().stop().await;
        self.server.stop().await;
        // The last replicas of writes that were acknowledged already: each gets its copy or its marker.
        let drain = self.core.coordinator.drain();
        let drained = tokio::time::timeout(DRAIN_GRACE, drain.ended_before(u64::MAX)).await;
        if drained.is_err() {
            tracing::warn!(
                operations = drain.len(),
                "stopped before all operations had ended"
            );
        }
        self.tasks.shutdown().await;
        self.core.store.close()?;
        tracing::info!(node = %self.core.me, "stopped");
        Ok(())
    }
}

/// Resolves node ids through gossip.
struct AddressBook(GossipHandle);

impl dynamokv_rpc::AddressBook for AddressBook {
    fn address_of(&self, node: NodeId) -> Option<String> {
        self.0
            .with(|gossip| gossip.address_of(node).map(str::to_owned))
    }
}

pub(crate) async fn listen(address: &str) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|reason| Error::Listen {
            address: address.to_owned(),
            reason,
        })
}

fn open_store(
    config: &NodeConfig,
    engine: Arc<dyn Engine>,
    random_seed: u64,
) -> Result<Arc<ObjectStore>, Error> {
    let kept = ObjectStore::owner(engine.as_ref())?.map(NodeId);
    let id = config
        .node_id()?
        .or(kept)
        .unwrap_or(NodeId(random_seed.max(1)));
    let options = StoreOptions {
        durability: engine::durability(config),
        sibling_limit_soft: config.siblings_soft,
        sibling_limit_hard: config.siblings_hard,
        ..StoreOptions::new(id.0, random_seed)
    };
    Ok(ObjectStore::open(engine, options)?)
}

/// What the node knew before, or the facts of the cluster that it founds.
async fn recall(
    config: &NodeConfig,
    store: &ObjectStore,
    me: NodeId,
    random_seed: u64,
) -> Result<Remembered, Error> {
    let old = persist::load(store)?;
    let in_a_ring = old.facts.as_ref().is_some_and(|facts| facts.in_a_ring(me));
    if old.member && !in_a_ring && !old.leaving {
        return Err(Error::Removed);
    }
    if old.facts.is_some() || !config.bootstrap {
        return Ok(old);
    }
    let first = member(config, me);
    let cluster_id = random_seed.rotate_left(32).max(1);
    let facts = ClusterFacts::found(
        cluster_id,
        &config.cluster,
        config.partitions,
        config.replicas,
        first,
    )?;
    let new = Remembered {
        facts: Some(facts),
        member: true,
        ..old.clone()
    };
    persist::save(store, &old, &new).await?;
    tracing::info!(cluster = %config.cluster, partitions = config.partitions, replicas = config.replicas, "cluster founded");
    Ok(new)
}

fn member(config: &NodeConfig, id: NodeId) -> Member {
    Member::new(id)
        .with_weight(config.weight)
        .with_zone(Zone::from(config.zone.as_str()))
}

fn start_gossip(
    config: &NodeConfig,
    store: &ObjectStore,
    remembered: &Remembered,
    address: &str,
    random_seed: u64,
) -> Result<GossipHandle, Error> {
    let id = NodeId(store.options().node);
    let settings = dynamokv_gossip::Config {
        phi_threshold: config.phi_threshold,
        ..dynamokv_gossip::Config::new(&config.cluster).with_interval(config.gossip_interval())
    };
    let name = if config.name.is_empty() {
        id.to_string()
    } else {
        config.name.clone()
    };
    let local = LocalNode {
        profile: Profile {
            name,
            address: address.to_owned(),
            zone: Zone::from(config.zone.as_str()),
            weight: config.weight,
            status: status_at_start(remembered, id),
        },
        kv: [
            (
                KEY_CHANGE,
                remembered
                    .mark
                    .map(|mark| mark.to_string())
                    .unwrap_or_default(),
            ),
            (KEY_REMOVE, remembered.removals.clone()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value))
        .collect(),
        ..LocalNode::new(id, store.generation(), address)
    };
    let seeds = config
        .seeds
        .iter()
        .chain(&remembered.peers)
        .cloned()
        .collect();
    let now = tokio::time::Instant::now().into_std();
    let mut gossip = Gossip::new(settings, local, seeds, random_seed, now)?;
    if let Some(facts) = remembered.facts.clone() {
        gossip.set_facts(facts)?;
    }
    Ok(GossipHandle::new(gossip))
}

fn status_at_start(remembered: &Remembered, id: NodeId) -> Status {
    let member = remembered
        .facts
        .as_ref()
        .is_some_and(|facts| facts.current.contains(id));
    match (remembered.leaving, member) {
        (true, _) => Status::Leaving,
        (false, true) => Status::Up,
        (false, false) => Status::Joining,
    }
}

fn assemble<T: Transport>(
    config: &NodeConfig,
    store: Arc<ObjectStore>,
    cluster: Arc<Cluster>,
    transport: Arc<T>,
) -> Result<Arc<Core<T>>, Error> {
    let quorum = |value| NonZeroUsize::new(value).unwrap_or(NonZeroUsize::MIN);
    let hints = Arc::new(Hints::open(Arc::clone(&store))?);
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
        Arc::new(wall_clock_ms),
    );
    let me = NodeId(store.options().node);
    let write_quorum = quorum(config.write_quorum);
    Ok(Arc::new(Core {
        me,
        write_quorum,
        store,
        hints,
        cluster,
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
    transport: Arc<T>,
    remembered: Remembered,
    streaming: watch::Sender<Progress>,
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
    let walker = Walker::new(Arc::clone(core), remembered, streaming);
    spawn("membership", walker.walk().map(Some).boxed());
    let gossip = dynamokv_gossip::run(core.cluster.gossip().clone(), transport);
    spawn("gossip", gossip.map(|()| None).boxed());
    spawn(
        "hint delivery",
        crate::deliver::run(Arc::clone(core)).map(|()| None).boxed(),
    );
    spawn(
        "handover",
        crate::let_go::run(Arc::clone(core)).map(|()| None).boxed(),
    );
}

fn wall_clock_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Randomness of the operating system, through the seeds that the standard library draws for its maps.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}
