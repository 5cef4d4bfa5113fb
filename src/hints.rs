//! The hint log, a bell that rings when something was marked, and what became of it.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::sync::Arc;

use dynamokv_coordinator::{HintSink, WallClock};
use dynamokv_handoff::{Delivered, HintBounds, HintLog, HintPage, PageLimits, Shipment};
use dynamokv_ring::NodeId;
use dynamokv_storage::{Batch, Error, ObjectKey, ObjectStore};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What is let go of is read in pages of this size.
const FORGET_ITEMS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1_023);
const FORGET_BYTES: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 20) - 1);

/// The hint log of one node.
pub(crate) struct Hints {
    log: HintLog,
    wall_clock: WallClock,
    marked: Notify,
    deliveries: Mutex<BTreeMap<NodeId, Deliveries>>,
}

/// What one target has got since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Deliveries {
    /// Objects in all.
    pub(crate) objects: u64,
    /// When it took the last one, in milliseconds since the Unix epoch.
    pub(crate) last_ms: u64,
    /// Objects of the present pass, and when their delivery began.
    pass: Option<(u64, u64)>,
}

impl Hints {
    pub(crate) fn open(
        store: Arc<ObjectStore>,
        bounds: HintBounds,
        wall_clock: WallClock,
    ) -> Result<Self, Error> {
        Ok(Self {
            log: HintLog::open(store, bounds)?,
            wall_clock,
            marked: Notify::new(),
            deliveries: Mutex::default(),
        })
    }

    /// Lets go of everything that is held for others, but for what `keeps` says is this node's own; how many objects that was.
    pub(crate) fn forget(&self, keeps: impl Fn(&ObjectKey) -> bool) -> Result<u64, Error> {
        let limits = PageLimits {
            items: FORGET_ITEMS,
            bytes: FORGET_BYTES,
            held_before_ms: None,
        };
        let mut forgotten = 0;
        for target in self.log.targets() {
            let mut shipment = Shipment { target, from: None };
            loop {
                let HintPage { page, pending } = self.log.batch(&shipment, &limits)?;
                let all = vec![true; page.entries.len()];
                let done = self.log.acknowledge(pending, &all, &keeps)?;
                forgotten += done.released as u64;
                match done.next {
                    Some(next) => shipment.from = Some(next),
                    None => break,
                }
            }
        }
        Ok(forgotten)
    }

    /// Completes when something was marked since the last call.
    pub(crate) async fn marked(&self) {
        self.marked.notified().await;
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn now_ms(&self) -> u64 {
        (self.wall_clock)()
    }

    /// Takes note of a shipment that got through.
    pub(crate) fn on_delivered(&self, target: NodeId, delivered: &Delivered) {
        let now_ms = self.now_ms();
        let mut deliveries = self.deliveries.lock();
        let of = deliveries.entry(target).or_default();
        if delivered.released > 0 {
            let released = delivered.released as u64;
            if of.pass.is_none() {
                tracing::info!(%target, "what is held for the node is on its way");
            }
            let (objects, _) = of.pass.get_or_insert((0, now_ms));
            *objects += released;
            of.objects += released;
            of.last_ms = now_ms;
        }
        if delivered.next.is_none()
            && let Some((objects, began_ms)) = of.pass.take()
        {
            let took_ms = now_ms.saturating_sub(began_ms);
            tracing::info!(%target, objects, took_ms, "what was held for the node is handed over");
        }
    }

    /// Takes note of a shipment that failed.
    pub(crate) fn on_failed(&self, target: NodeId, error: &crate::Error) {
        let pass = self
            .deliveries
            .lock()
            .get_mut(&target)
            .and_then(|of| of.pass.take());
        match pass {
            Some((objects, _)) => {
                tracing::info!(%target, objects, %error, "the handover was broken off; it goes on later");
            }
            None => tracing::debug!(%target, %error, "hints wait"),
        }
    }

    /// What each target has got since the start.
    pub(crate) fn deliveries(&self) -> BTreeMap<NodeId, Deliveries> {
        self.deliveries.lock().clone()
    }
}

impl Deref for Hints {
    type Target = HintLog;

    fn deref(&self) -> &HintLog {
        &self.log
    }
}

impl HintSink for Hints {
    fn mark(&self, batch: &mut Batch, key: &ObjectKey, target: NodeId) {
        self.log.mark(batch, key, target, self.now_ms());
        self.marked.notify_one();
    }

    fn is_marked(&self, key: &ObjectKey) -> Result<bool, Error> {
        self.log.is_marked(key)
    }
}
