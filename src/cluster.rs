//! The node's live view of the cluster: gossip and the stages of the open change, made into snapshots.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use dynamokv_coordinator::{Fence, Membership, ReadPhase, View, WritePhase};
use dynamokv_gossip::{
    ChangeId, ClusterFacts, Gossip, GossipHandle, Reads, Stage, StageMark, Writes,
};
use dynamokv_ring::{NodeId, PartitionId, PartitionRing, Placement};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::changes::{Changes, Follower};

/// How often a node that waits for news asks for them again.
const CATCH_UP_EVERY: Duration = Duration::from_millis(50);

/// What this node knows and how it acts on it.
pub(crate) struct Cluster {
    me: NodeId,
    gossip: GossipHandle,
    view: ArcSwap<View>,
    /// The ring of who knows no cluster.
    nobody: Arc<PartitionRing>,
    acting: Mutex<Acting>,
    changes: Arc<Changes>,
    swept: watch::Sender<Option<u64>>,
}

/// The stage whose rules this node acts on, and the rings that belong to the facts.
struct Acting {
    mark: Option<StageMark>,
    rings: Rings,
    /// Peers of the time before the start that gossip has not met yet: they count as live until a request fails.
    presumed: BTreeSet<NodeId>,
    /// See [`View::forgotten`].
    forgotten: Arc<BTreeSet<PartitionId>>,
    /// Whether this node acts as if it had not met its cluster yet; see [`Cluster::stand_aside`].
    aside: bool,
}

impl Acting {
    /// The facts that this node acts on.
    fn facts<'a>(&self, gossip: &'a Gossip) -> Option<&'a ClusterFacts> {
        gossip.facts().filter(|_| !self.aside)
    }
}

/// The rings of some facts; built again only when these change.
struct Rings {
    of: Option<(u64, Option<ChangeId>)>,
    current: Arc<PartitionRing>,
    next: Option<Arc<PartitionRing>>,
}

impl Rings {
    fn of(
        facts: Option<&ClusterFacts>,
        nobody: &Arc<PartitionRing>,
    ) -> Result<Self, dynamokv_gossip::Error> {
        let Some(facts) = facts else {
            return Ok(Self {
                of: None,
                current: Arc::clone(nobody),
                next: None,
            });
        };
        Ok(Self {
            of: Some((facts.current.number, facts.open_id())),
            current: Arc::new(facts.current_ring()?),
            next: facts.next_ring()?.map(Arc::new),
        })
    }
}

impl Cluster {
    pub(crate) fn new(
        me: NodeId,
        gossip: GossipHandle,
        mark: Option<StageMark>,
        presumed: BTreeSet<NodeId>,
        forgotten: BTreeSet<PartitionId>,
    ) -> Result<Self, crate::Error> {
        let nobody = Arc::new(PartitionRing::new(1, 1, [])?);
        let rings = gossip.with(|gossip| Rings::of(gossip.facts(), &nobody))?;
        let acting = Acting {
            mark,
            rings,
            presumed,
            forgotten: Arc::new(forgotten),
            aside: false,
        };
        let view = gossip.with(|gossip| snapshot(me, gossip, &acting, 0));
        Ok(Self {
            me,
            gossip,
            view: ArcSwap::from_pointee(view),
            nobody,
            acting: Mutex::new(acting),
            changes: Arc::default(),
            swept: watch::Sender::new(None),
        })
    }

    pub(crate) fn gossip(&self) -> &GossipHandle {
        &self.gossip
    }

    /// Rings whenever the view was replaced.
    pub(crate) fn changes(&self) -> Follower {
        self.changes.follow()
    }

    pub(crate) fn fence(&self) -> Fence {
        self.view.load().fence
    }

    /// Acts on the rules of a stage from now on; returns the phase of the new view.
    pub(crate) fn act_on(&self, mark: Option<StageMark>) -> u64 {
        self.acting.lock().mark = mark;
        self.refresh()
    }

    /// Makes a new snapshot of what gossip knows; returns its phase.
    pub(crate) fn refresh(&self) -> u64 {
        self.renew(self.acting.lock())
    }

    fn renew(&self, mut acting: MutexGuard<'_, Acting>) -> u64 {
        let old = self.view.load_full();
        let view = self.gossip.with(|gossip| {
            let facts = acting.facts(gossip);
            if acting.rings.of != facts.map(|facts| (facts.current.number, facts.open_id())) {
                match Rings::of(facts, &self.nobody) {
                    Ok(rings) => acting.rings = rings,
                    // Facts are validated before gossip takes them.
                    Err(error) => {
                        tracing::error!(%error, "no ring can be built from the cluster facts")
                    }
                }
            }
            snapshot(self.me, gossip, &acting, old.phase)
        });
        let phase = view.phase;
        self.view.store(Arc::new(view));
        drop(acting);
        self.changes.announce();
        phase
    }

    /// From now on, until [`step_in`](Self::step_in), this node gossips, but serves nobody and asks nobody for anything: it sees
    /// itself as one that has not met its cluster yet.
    pub(crate) fn stand_aside(&self) {
        let mut acting = self.acting.lock();
        acting.aside = true;
        self.renew(acting);
    }

    /// Ends that.
    pub(crate) fn step_in(&self) {
        let mut acting = self.acting.lock();
        acting.aside = false;
        self.renew(acting);
    }

    pub(crate) fn stands_aside(&self) -> bool {
        self.acting.lock().aside
    }

    /// Waits while this node stands aside.
    pub(crate) async fn stepped_in(&self) {
        let mut changes = self.changes();
        while self.stands_aside() {
            changes.changed().await;
        }
    }

    /// This node has again what was acknowledged of these partitions.
    pub(crate) fn recalled(&self, partitions: &BTreeSet<PartitionId>) {
        let mut acting = self.acting.lock();
        let left = acting.forgotten.difference(partitions).copied().collect();
        acting.forgotten = Arc::new(left);
        drop(acting);
        self.refresh();
    }

    /// Everything that this node does not own was handed over under the ring of that change.
    pub(crate) fn swept(&self, number: u64) {
        self.swept.send_replace(Some(number));
    }

    /// The number of the change whose strays were handed over last.
    pub(crate) fn last_swept(&self) -> watch::Receiver<Option<u64>> {
        self.swept.subscribe()
    }
}

fn snapshot(me: NodeId, gossip: &Gossip, acting: &Acting, phase: u64) -> View {
    let (rings, mark) = (&acting.rings, acting.mark);
    let facts = acting.facts(gossip);
    let open = facts.and_then(ClusterFacts::open_id);
    let stage = open.and_then(|open| mark.and_then(|mark| mark.stage_of(open)));
    let number = facts.map_or(0, |facts| facts.current.number);
    let open_number = open.map_or(number, |open| open.number);
    let in_a_ring = |id: &NodeId| {
        rings.current.contains(*id) || rings.next.as_ref().is_some_and(|next| next.contains(*id))
    };
    let unmet = |id: &NodeId| in_a_ring(id) && gossip.address_of(*id).is_none();
    let live: BTreeSet<NodeId> = gossip
        .members()
        .map(|state| state.id)
        .filter(|id| gossip.is_live(*id))
        .chain(acting.presumed.iter().copied().filter(unmet))
        .collect();
    let next = rings
        .next
        .as_ref()
        .map(|next| Arc::clone(next) as Arc<dyn Placement>);
    View {
        me,
        current: Arc::clone(&rings.current) as Arc<dyn Placement>,
        next,
        next_complete: stage >= Some(Stage::Streamed),
        forgotten: Arc::clone(&acting.forgotten),
        writes: match Stage::writes_to(stage) {
            Writes::Current => WritePhase::Current,
            Writes::Both => WritePhase::Both,
            Writes::Next => WritePhase::Next,
        },
        reads: match Stage::reads_from(stage) {
            Reads::Current => ReadPhase::Current,
            Reads::Next => ReadPhase::Next,
        },
        phase: phase + 1,
        fence: Fence {
            cluster: facts.map_or(0, |facts| facts.cluster_id),
            number,
            fingerprint: rings.current.fingerprint(),
            seen: if stage.is_some() { open_number } else { number },
        },
        required: if stage >= Some(Stage::Double) {
            open_number
        } else {
            number
        },
        live: Arc::new(live),
    }
}

impl Membership for Cluster {
    fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    fn report(&self, node: NodeId, reached: bool) {
        let now = tokio::time::Instant::now().into_std();
        if !reached && self.acting.lock().presumed.remove(&node) {
            self.refresh();
        }
        self.gossip.with(|gossip| {
            if reached {
                gossip.report_success(node, now);
            } else {
                gossip.report_failure(node, now);
            }
        });
    }

    async fn catch_up(&self, _with: NodeId, seen: Fence) {
        let mut changes = self.changes();
        while self.fence() == seen {
            self.gossip.kick();
            // A time-out is no failure: the next kick may find the one who knows.
            let _ = tokio::time::timeout(CATCH_UP_EVERY, changes.changed()).await;
        }
    }
}
