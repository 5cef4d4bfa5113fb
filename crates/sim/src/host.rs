//! A place of the cluster: a disk, and the node that runs on it for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dynamokv::coordinator::WallClock;
use dynamokv::gossip::Status;
use dynamokv::ring::NodeId;
use dynamokv::storage::{Engine, Failing, Family, FaultEngine, FaultPoint, State, SyncMode};
use dynamokv::{DurabilityMode, EngineKind, NodeConfig, Parts, Surroundings};
use tokio::task::JoinSet;

use crate::disk::{self, Plug};
use crate::down::Down;
use crate::history::{HELD_FOR, Key};
use crate::network::Place;
use crate::plan::{Durability, Plan};
use crate::transport::Wires;
use crate::world::World;

/// One place. The disk outlives the nodes that run on it.
pub struct Host {
    config: NodeConfig,
    disk: FaultEngine,
    /// Which address the place has: another one after its disk was replaced.
    life: u64,
    starts: u64,
    id: Option<NodeId>,
    running: Option<Running>,
    clock_skew_ms: Arc<AtomicI64>,
    /// An older copy of the disk.
    backup: Option<FaultEngine>,
    /// What the node said when it had to stop by itself.
    ended: Option<String>,
    /// Whether the disk is an older copy of itself.
    older: bool,
    /// Whether it is being stopped cleanly.
    stopping: bool,
    /// Whether nobody is expected here.
    vacant: bool,
    /// Whether the node that is here was asked to leave.
    leaving: bool,
}

struct Running {
    parts: Arc<Parts<Wires>>,
    plug: Arc<Plug>,
    /// Tells those who wait for its answers that it went down.
    down: Down,
    accepts: bool,
    /// Aborted with it.
    tasks: JoinSet<()>,
}

/// What a crash leaves of the writes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Only the process died: what was with the operating system.
    Process,
    /// Power was lost: so many of them, as the log has them.
    Power {
        /// How many.
        kept: usize,
    },
}

impl Host {
    /// A place with an empty disk; the first one founds the cluster.
    pub fn new(plan: &Plan, place: usize) -> Self {
        Self {
            config: config(plan, place),
            disk: empty_disk(),
            life: 0,
            starts: 0,
            id: None,
            running: None,
            clock_skew_ms: Arc::default(),
            backup: None,
            ended: None,
            older: false,
            stopping: false,
            vacant: place >= plan.nodes,
            leaving: false,
        }
    }

    /// Whether nobody is expected here.
    pub fn is_vacant(&self) -> bool {
        self.vacant
    }

    /// The node that was here is gone for good.
    pub fn vacate(&mut self) {
        self.replace_disk(Vec::new(), None);
        self.vacant = true;
    }

    /// Whether the node that is here is on its way out, by its own word where it runs.
    pub fn is_leaving(&self) -> bool {
        let says = |parts: &Arc<Parts<Wires>>| {
            let status = parts.gossip().with(|gossip| gossip.local().profile.status);
            matches!(status, Status::Leaving | Status::Left)
        };
        !self.vacant && self.parts().map_or(self.leaving, says)
    }

    /// Whether the node that is here runs on an older copy of its disk, and knows less than it has said.
    pub fn is_on_older_disk(&self) -> bool {
        self.older
    }

    /// The node was asked to leave; whether it will is for it to say.
    pub fn note_leaving(&mut self) {
        self.leaving = true;
    }

    /// Whether the node that is here was asked to leave.
    pub fn was_asked_to_leave(&self) -> bool {
        self.leaving
    }

    /// Who it meets first at its next start.
    pub fn set_seeds(&mut self, seeds: Vec<String>) {
        if !self.config.bootstrap {
            self.config.seeds = seeds;
        }
    }

    /// Whether it takes the place of a dead node.
    pub fn is_to_replace(&self) -> bool {
        self.config.replace.is_some()
    }

    /// It takes nobody's place at its next start.
    pub fn replace_nobody(&mut self) {
        self.config.replace = None;
    }

    /// The node's parts, while it runs.
    pub fn parts(&self) -> Option<&Arc<Parts<Wires>>> {
        self.running.as_ref().map(|running| &running.parts)
    }

    /// The plug of the running node.
    pub fn plug(&self) -> Option<&Arc<Plug>> {
        self.running.as_ref().map(|running| &running.plug)
    }

    /// Tasks that belong to the running node.
    pub fn tasks(&self) -> Option<usize> {
        let running = self.running.as_ref()?;
        Some(running.parts.tasks() + running.tasks.len())
    }

    /// Whether this is the address of the node that runs here, and if so its parts and what tells that it went down.
    pub fn answers(&self, life: u64) -> Option<(Arc<Parts<Wires>>, Down)> {
        let running = self.running.as_ref()?;
        if life != self.life || !running.accepts {
            return None;
        }
        Some((Arc::clone(&running.parts), running.down.clone()))
    }

    /// The id of the node that ran here last; it is kept on the disk.
    pub fn id(&self) -> Option<NodeId> {
        self.id
    }

    /// Which of its nodes runs here: the disk's number, and the start's.
    pub fn start_number(&self) -> (u64, u64) {
        (self.life, self.starts)
    }

    /// Its address.
    pub fn address(&self, place: usize) -> String {
        address(place, self.life)
    }

    /// Why the node must stop, where it said so.
    pub fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// Notes that the node must stop.
    pub fn note_ended(&mut self, start: (u64, u64), reason: String) {
        if start == self.start_number() && !self.stopping {
            self.ended = Some(reason);
        }
    }

    /// Moves the wall clock.
    pub fn jump_clock(&self, by_ms: i64) {
        self.clock_skew_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// Copies the disk as it would be found after a power loss now.
    pub fn back_up(&mut self) {
        self.backup = Some(self.disk.image(0));
    }

    /// Whether there is a copy that is older than the disk.
    pub fn has_backup(&self) -> bool {
        self.backup.is_some()
    }

    /// Sets what fails.
    pub fn fail(&self, point: FaultPoint, failing: Failing) {
        self.disk.fail(point, failing);
    }

    /// Fills the disk, or makes room.
    pub fn set_full(&self, full: bool) {
        self.disk.set_full(full);
    }

    /// Ends all faults of the disk.
    pub fn heal(&self) {
        disk::heal(&self.disk);
        if let Some(plug) = self.plug() {
            plug.spare();
        }
    }

    /// Starts a node on the disk as it is.
    ///
    /// # Errors
    /// Why it does not start, in its words.
    pub fn start(&mut self, world: &Arc<World>, place: usize) -> Result<(), String> {
        self.starts += 1;
        self.ended = None;
        self.stopping = false;
        let random_seed = world.draw_seed();
        let plug = Arc::new(Plug::new(self.disk.clone()));
        let clock = Arc::clone(world);
        let around = Surroundings {
            engine: Arc::clone(&plug) as Arc<dyn Engine>,
            sync_mode: SyncMode::Manual,
            random_seed,
            wall_clock: wall_clock(move || clock.now(), &self.clock_skew_ms),
            address: self.address(place),
        };
        let down = Down::default();
        let connect = |book| Wires::new(Arc::clone(world), place, book, down.clone());
        let parts =
            Parts::start(&self.config, around, connect).map_err(|error| error.to_string())?;
        let parts = Arc::new(parts);
        self.id = Some(parts.id());
        let mut tasks = JoinSet::new();
        let (clock, syncing) = (Arc::clone(world), Arc::clone(&plug));
        let store = Arc::clone(parts.store());
        tasks.spawn(async move { syncing.keep_synced(&store, || clock.sync_time(place)).await });
        tasks.spawn(watch_end(
            Arc::clone(world),
            place,
            self.start_number(),
            Arc::clone(&parts),
        ));
        tasks.spawn(watch_power(
            Arc::clone(world),
            place,
            self.start_number(),
            Arc::clone(&plug),
        ));
        self.running = Some(Running {
            parts,
            plug,
            down,
            accepts: true,
            tasks,
        });
        Ok(())
    }

    /// Ends the node without warning.
    pub fn crash(&mut self, crash: Crash) {
        let Some(running) = self.running.take() else {
            return;
        };
        running.down.set();
        let store = Arc::clone(running.parts.store());
        self.disk = match crash {
            Crash::Process => self.disk.kill(),
            Crash::Power { kept } => self.disk.crash_keeping(kept),
        };
        // What goes on of the dead process fails: nobody syncs for it any more, and it would wait for ever.
        let _ = store.close();
    }

    /// See [`disk::safe_copies`].
    pub fn safe_copies(&self, keys: &[Key], power_may_go: bool) -> BTreeMap<Key, State> {
        disk::safe_copies(&self.disk, keys, power_may_go)
    }

    /// Writes that a power loss would lose.
    pub fn unsynced(&self) -> usize {
        self.disk.unsynced()
    }

    /// Whether the node is being stopped cleanly.
    pub fn is_stopping(&self) -> bool {
        self.stopping && self.running.is_some()
    }

    /// A clean stop begins.
    pub fn begin_stop(&mut self) {
        self.stopping = true;
    }

    /// Takes no more requests, in view of a clean stop.
    pub fn close_door(&mut self) {
        if let Some(running) = &mut self.running {
            running.accepts = false;
        }
    }

    /// Throws the disk away: the next node here is a new one, at a new address, and may take the place of a dead one.
    pub fn replace_disk(&mut self, seeds: Vec<String>, replace: Option<NodeId>) {
        self.disk = empty_disk();
        self.backup = None;
        self.vacant = false;
        self.leaving = false;
        self.older = false;
        self.id = None;
        self.life += 1;
        self.config.replace = replace.map(|dead| dead.to_string());
        self.config.bootstrap = false;
        self.config.seeds = seeds;
    }

    /// Puts the older copy, if there is one, in the place of the disk.
    pub fn restore_backup(&mut self) {
        if let Some(backup) = self.backup.take() {
            self.disk = backup;
            self.older = true;
        }
    }
}

/// What the node at a place is told; the first one founds the cluster.
pub(crate) fn config(plan: &Plan, place: usize) -> NodeConfig {
    let mut config = NodeConfig::default();
    config.engine = EngineKind::Memory;
    config.durability = match plan.durability {
        Durability::Sync => DurabilityMode::Sync,
        Durability::Interval => DurabilityMode::Interval,
        Durability::Os => DurabilityMode::Os,
    };
    config.partitions = plan.partitions;
    config.replicas = plan.replicas;
    config.gossip_interval_ms = GOSSIP_INTERVAL_MS;
    config.exchange_interval_ms = EXCHANGE_INTERVAL_MS;
    if let Some(grace) = plan.grace {
        config.tombstone_grace_s = grace.as_secs();
        config.hint_age_max_s = HELD_FOR.as_secs();
        config.tombstone_interval_ms = TOMBSTONE_INTERVAL_MS;
    }
    // Small and slow, so that faults meet transfers half-way.
    config.transfer_page_kib = 1;
    config.transfer_mib_per_second = 1;
    config.hints_max = plan.hints_max;
    config.bootstrap = place == 0;
    if place != 0 {
        config.seeds = vec![address(0, 0)];
    }
    config.name = Place::Node(place).to_string();
    config
}

/// A wall clock that is off by `skew` milliseconds; `now` is the time since the run began.
pub(crate) fn wall_clock(
    now: impl Fn() -> Duration + Send + Sync + 'static,
    skew_ms: &Arc<AtomicI64>,
) -> WallClock {
    let skew_ms = Arc::clone(skew_ms);
    Arc::new(move || {
        let now = EPOCH_MS + now().as_millis() as i64;
        (now + skew_ms.load(Ordering::Relaxed)).max(0) as u64
    })
}

async fn watch_end(world: Arc<World>, place: usize, start: (u64, u64), parts: Arc<Parts<Wires>>) {
    let reason = parts.ended().await.to_string();
    world.note(Place::Node(place), format_args!("must stop: {reason}"));
    world.host(place, |host| host.note_ended(start, reason));
}

async fn watch_power(world: Arc<World>, place: usize, start: (u64, u64), plug: Arc<Plug>) {
    plug.power_lost().await;
    let kept = world.host(place, |host| host.unsynced());
    // Not from within: the crash aborts this task.
    tokio::spawn(async move { world.crash_at(place, start, kept) });
}

/// A disk with the families of a node, and nothing in them.
pub(crate) fn empty_disk() -> FaultEngine {
    FaultEngine::new(Family::CLUSTER)
}

/// The address of the node on the disk of that number at a place.
pub(crate) fn address(place: usize, life: u64) -> String {
    format!("n{place}:{}", FIRST_PORT + life)
}

/// The place and the disk's number of an address.
pub(crate) fn place_of(address: &str) -> Option<(usize, u64)> {
    let (place, port) = address.strip_prefix('n')?.split_once(':')?;
    let port: u64 = port.parse().ok()?;
    Some((place.parse().ok()?, port.checked_sub(FIRST_PORT)?))
}

const FIRST_PORT: u64 = 7_000;
const GOSSIP_INTERVAL_MS: u64 = 200;
const EXCHANGE_INTERVAL_MS: u64 = 500;
const TOMBSTONE_INTERVAL_MS: u64 = 1_000;
/// The wall clocks' time when a run begins, in milliseconds since the Unix epoch.
const EPOCH_MS: i64 = 1_700_000_000_000;
