//! Which target gets its next batch of hints, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::Bound;
use std::time::{Duration, Instant};

use dynamokv_ring::NodeId;

use crate::Place;
use crate::timing::{Backoff, Pace, later};

/// How hard hints are pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// Hints in one batch at most. Large enough that a round trip and a sync are shared by many.
    pub batch_items: NonZeroUsize,
    /// Bytes of states in one batch, about; a batch holds at least one hint.
    pub batch_bytes: NonZeroUsize,
    /// Targets that are served at once at most: bounds memory and the load on this node's disk.
    pub targets_max: NonZeroUsize,
    /// Hints sent in a second at most, over all targets: leaves the network and the targets' disks to clients.
    pub items_per_second: NonZeroU64,
    /// The wait after a first failure, and after a pass that left hints behind; each further one in a row doubles it.
    pub backoff_min: Duration,
    /// The greatest wait after a failure.
    pub backoff_max: Duration,
    /// How long after a target was found to have no hints it is looked at again. A marker can become
    /// visible a moment after [`Delivery::on_marked`], so the look after it alone could miss it; looking costs
    /// one seek.
    pub recheck: Duration,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            batch_items: NonZeroUsize::MIN.saturating_add(127),
            batch_bytes: NonZeroUsize::MIN.saturating_add((1 << 20) - 1),
            targets_max: NonZeroUsize::MIN.saturating_add(3),
            items_per_second: NonZeroU64::MIN.saturating_add(9_999),
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(30),
            recheck: Duration::from_secs(1),
        }
    }
}

/// One batch to deliver: read the page of what is held for `target` from `from` on, send it, report the outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipment {
    /// Whose hints.
    pub target: NodeId,
    /// Start here; `None` from the beginning.
    pub from: Option<Place>,
}

/// What became of a [`Shipment`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Objects that are done with: acknowledged and released.
    pub released: usize,
    /// Those of the page that remain: not accepted, changed since they were read, or unreadable.
    pub left: usize,
    /// Where the next page starts; `None` at the end.
    pub next: Option<Place>,
}

impl Delivered {
    /// Counts one object.
    pub(crate) fn count(&mut self, is_released: bool) {
        if is_released {
            self.released += 1;
        } else {
            self.left += 1;
        }
    }
}

/// The scheduler of deliveries: events in, [`Shipment`]s out, no I/O and no clock.
///
/// Each target's hints are delivered in passes from the first to the last, one batch under way at a time. Targets
/// take turns, a failing one waits longer and longer, and all share one rate limit. It holds nothing that
/// must survive: after a restart `on_marked` is called for each of [`HintLog::targets`](crate::HintLog::targets).
///
/// Every shipment is answered by exactly one [`on_delivered`](Self::on_delivered) or
/// [`on_failed`](Self::on_failed); until then its target gets no other one.
#[derive(Debug)]
pub struct Delivery {
    config: DeliveryConfig,
    pace: Pace,
    live: BTreeSet<NodeId>,
    courses: BTreeMap<NodeId, Course>,
    under_way: usize,
    served_last: Option<NodeId>,
}

/// How far one target is.
#[derive(Debug, Default)]
struct Course {
    under_way: bool,
    /// Where the pass goes on; `None` between passes.
    from: Option<Place>,
    /// Not before this time; `None` is at once.
    due: Option<Instant>,
    /// Something was marked since the pass began: it may lie behind the pass.
    marked: bool,
    /// Failures in a row.
    failures: u32,
    /// Passes in a row that got through and released nothing of what there was.
    stalls: u32,
    released: usize,
    left: usize,
}

impl Course {
    fn end_pass(&mut self) {
        self.from = None;
        (self.released, self.left) = (0, 0);
    }

    /// When to look again after a pass that got through to the end.
    fn rest(&mut self, backoff: Backoff, recheck: Duration, now: Instant) {
        let stalled = self.released == 0 && self.left > 0;
        self.stalls = if stalled {
            self.stalls.saturating_add(1)
        } else {
            0
        };
        self.due = match (self.left, self.marked) {
            (0, true) => None,
            (0, false) => Some(later(now, recheck)),
            _ => Some(later(now, backoff.after(self.stalls))),
        };
    }
}

impl Delivery {
    /// A scheduler that knows no target yet.
    pub fn new(config: DeliveryConfig) -> Self {
        Self {
            pace: Pace::new(config.items_per_second),
            config,
            live: BTreeSet::new(),
            courses: BTreeMap::new(),
            under_way: 0,
            served_last: None,
        }
    }

    /// The settings.
    pub fn config(&self) -> &DeliveryConfig {
        &self.config
    }

    /// There may be hints for `target`. The back-off after a failure goes on. O(log targets).
    pub fn on_marked(&mut self, target: NodeId) {
        let course = self.courses.entry(target).or_default();
        course.marked = true;
        if course.failures == 0 {
            course.due = None;
        }
    }

    /// `target` can be reached (again): its hints are due at once, whatever failed before. O(log targets).
    pub fn on_up(&mut self, target: NodeId) {
        self.live.insert(target);
        if let Some(course) = self.courses.get_mut(&target) {
            (course.failures, course.stalls) = (0, 0);
            course.due = None;
        }
    }

    /// `target` cannot be reached: its hints wait. O(log targets).
    pub fn on_down(&mut self, target: NodeId) {
        self.live.remove(&target);
    }

    /// The next batch to deliver, if one is due. Call until it gives `None`. O(targets).
    pub fn poll(&mut self, now: Instant) -> Option<Shipment> {
        if self.is_full() || self.pace.free_at(now) > now {
            return None;
        }
        let target = self.next_in_turn(now)?;
        let course = self.courses.get_mut(&target)?;
        if course.from.is_none() {
            course.marked = false;
        }
        course.under_way = true;
        self.under_way += 1;
        self.served_last = Some(target);
        let from = course.from.clone();
        self.pace.reserve(self.batch_units(), now);
        Some(Shipment { target, from })
    }

    /// A shipment got through: `outcome` says what became of its hints. O(log targets).
    pub fn on_delivered(&mut self, target: NodeId, outcome: Delivered, now: Instant) {
        let Delivered {
            released,
            left,
            next,
        } = outcome;
        let (backoff, batch_units) = (self.backoff(), self.batch_units());
        let Some(course) = land(&mut self.courses, &mut self.under_way, target) else {
            return;
        };
        self.pace.correct(batch_units, (released + left) as u64);
        course.released += released;
        course.left += left;
        course.failures = 0;
        course.due = None;
        course.from = next;
        if course.from.is_none() {
            course.rest(backoff, self.config.recheck, now);
            course.end_pass();
        }
    }

    /// A shipment failed, or its outcome is unknown: nothing was released. The next pass starts from the
    /// beginning after a back-off. O(log targets).
    pub fn on_failed(&mut self, target: NodeId, now: Instant) {
        let backoff = self.backoff();
        let Some(course) = land(&mut self.courses, &mut self.under_way, target) else {
            return;
        };
        course.end_pass();
        course.failures = course.failures.saturating_add(1);
        course.due = Some(later(now, backoff.after(course.failures)));
    }

    /// `target` left for good and holds no claim any more. A shipment under way may still be
    /// reported; it is ignored. O(log targets).
    pub fn forget(&mut self, target: NodeId) {
        self.live.remove(&target);
        if self
            .courses
            .remove(&target)
            .is_some_and(|course| course.under_way)
        {
            self.under_way -= 1;
        }
    }

    /// When [`poll`](Self::poll) will give a shipment, if nothing happens before. O(targets).
    pub fn next_wakeup(&self, now: Instant) -> Option<Instant> {
        if self.is_full() {
            return None;
        }
        let ready = |(target, course): (&NodeId, &Course)| {
            let waits = !course.under_way && self.live.contains(target);
            waits.then(|| course.due.unwrap_or(now))
        };
        let due = self.courses.iter().filter_map(ready).min()?;
        Some(due.max(self.pace.free_at(now)))
    }

    /// The first due target after the one that was served last, round about.
    fn next_in_turn(&self, now: Instant) -> Option<NodeId> {
        let due = |(target, course): (&NodeId, &Course)| {
            let due = !course.under_way
                && course.due.is_none_or(|at| at <= now)
                && self.live.contains(target);
            due.then_some(*target)
        };
        let beyond = self.served_last.map_or(Bound::Unbounded, Bound::Excluded);
        let later_ids = self.courses.range((beyond, Bound::Unbounded));
        later_ids.chain(&self.courses).find_map(due)
    }

    fn is_full(&self) -> bool {
        self.under_way >= self.config.targets_max.get()
    }

    fn backoff(&self) -> Backoff {
        Backoff {
            min: self.config.backoff_min,
            max: self.config.backoff_max,
        }
    }

    fn batch_units(&self) -> u64 {
        self.config.batch_items.get() as u64
    }
}

/// Takes note that the shipment to `target` is over; `None` if none was under way.
fn land<'a>(
    courses: &'a mut BTreeMap<NodeId, Course>,
    under_way: &mut usize,
    target: NodeId,
) -> Option<&'a mut Course> {
    let course = courses.get_mut(&target).filter(|course| course.under_way)?;
    course.under_way = false;
    *under_way -= 1;
    Some(course)
}
