use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::timeout;

use super::metrics::{Counters, Metrics, count_message};
use crate::{Event, Gossip, Message, Result, Snapshot};

/// A running [`Gossip`], shared: cheap to clone, safe to call from anywhere. No call blocks for longer than one pass
/// over the nodes.
#[derive(Clone, Debug)]
pub struct GossipHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    gossip: Mutex<Gossip>,
    kick: Notify,
    stop: watch::Sender<bool>,
    stopped: watch::Sender<bool>,
    events: broadcast::Sender<Event>,
    version: watch::Sender<u64>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    /// The view changed since the last snapshot.
    changed: Notify,
    /// There is something to send besides rounds and answers.
    outgoing: Notify,
    counters: Counters,
}

impl GossipHandle {
    /// A handle whose loop does not run yet: see [`run`](crate::run).
    pub fn new(gossip: Gossip) -> Self {
        GossipHandle {
            shared: Arc::new(Shared {
                gossip: Mutex::new(gossip),
                kick: Notify::new(),
                stop: watch::Sender::new(false),
                stopped: watch::Sender::new(false),
                events: broadcast::Sender::new(EVENTS_BUFFERED),
                version: watch::Sender::new(0),
                snapshots: watch::Sender::default(),
                changed: Notify::new(),
                outgoing: Notify::new(),
                counters: Counters::default(),
            }),
        }
    }

    /// Looks at the machine or changes it, and passes on the events of that. `work` must not block or call this
    /// handle. [Kick](Self::kick) afterwards if the others should hear of it at once.
    pub fn with<R>(&self, work: impl FnOnce(&mut Gossip) -> R) -> R {
        let mut gossip = self.shared.gossip.lock();
        let result = work(&mut gossip);
        let mut happened = false;
        // Under the lock, so that events keep their order.
        while let Some(event) = gossip.poll_event() {
            happened = true;
            tracing::debug!(?event, "gossip");
            self.shared.counters.count(&event);
            // Nobody needs to listen.
            let _ = self.shared.events.send(event);
        }
        if happened {
            self.shared.version.send_modify(|version| *version += 1);
            self.shared.changed.notify_one();
        }
        if gossip.has_outgoing() {
            self.shared.outgoing.notify_one();
        }
        result
    }

    /// Takes a message that arrived: for the receiving end of the transport.
    ///
    /// # Errors
    /// As [`Gossip::handle`]: give the peer the [`refusal`](crate::Error::refusal).
    pub fn receive(&self, message: Message) -> Result<Option<Message>> {
        let now = now();
        let counters = &self.shared.counters;
        count_message(
            &counters.messages_received,
            &counters.bytes_received,
            message.encoded_len(),
        );
        let answer = self.with(|gossip| gossip.handle(now, message));
        match &answer {
            Ok(Some(answer)) => self.count_sent(answer),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "refused a gossip message"),
        }
        answer
    }

    /// Begins exchanges at once instead of waiting for the next round. Several kicks at the same time are one.
    pub fn kick(&self) {
        self.shared.kick.notify_one();
    }

    /// Everything that happens from now on. A receiver that falls behind by more than 1024 loses the oldest and is
    /// told so.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// A number that grows whenever something happened: for those who look at the whole view again.
    pub fn version(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }

    /// The view, and every later one: while several things happen at once, only what they lead to. Published by the
    /// running loop.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        let receiver = self.shared.snapshots.subscribe();
        self.publish();
        receiver
    }

    /// What was done so far, and every node's phi. O(nodes).
    pub fn metrics(&self) -> Metrics {
        let now = now();
        let (phi, sickness) = self.with(|gossip| {
            let phi = |id| Some((id, gossip.phi(id, now)?));
            let ids = gossip.members().map(|state| state.id);
            (ids.filter_map(phi).collect(), gossip.sickness())
        });
        self.shared.counters.read(phi, sickness)
    }

    /// Tells the others that this process is about to end, and ends the loop: as soon as all live peers, or
    /// [`kick_fanout`](crate::Config::kick_fanout) of them, have shown that they know. Takes at most two seconds.
    pub async fn stop(&self) {
        let mut stopped = self.shared.stopped.subscribe();
        self.shared.stop.send_replace(true);
        // A loop that was aborted, or never ran, does not answer.
        let _ = timeout(STOP_MAX, stopped.wait_for(|stopped| *stopped)).await;
    }

    pub(super) fn stop_requested(&self) -> watch::Receiver<bool> {
        self.shared.stop.subscribe()
    }

    pub(super) fn set_stopped(&self) {
        self.shared.stopped.send_replace(true);
    }

    pub(super) async fn kicked(&self) {
        self.shared.kick.notified().await;
    }

    pub(super) async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    pub(super) async fn outgoing(&self) {
        self.shared.outgoing.notified().await;
    }

    /// A snapshot for those who watch, if any do.
    pub(super) fn publish(&self) {
        if self.shared.snapshots.receiver_count() > 0 {
            let snapshot = Arc::new(self.with(|gossip| gossip.snapshot()));
            self.shared.snapshots.send_replace(snapshot);
        }
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    pub(super) fn count_sent(&self, message: &Message) {
        let counters = &self.shared.counters;
        count_message(
            &counters.messages_sent,
            &counters.bytes_sent,
            message.encoded_len(),
        );
    }

    pub(super) fn next_interval(&self) -> Duration {
        self.with(Gossip::next_interval)
    }
}

/// Tokio's clock, so that paused time works.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

const EVENTS_BUFFERED: usize = 1024;
const STOP_MAX: Duration = Duration::from_secs(2);
