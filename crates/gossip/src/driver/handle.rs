use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::timeout;

use crate::{Event, Gossip, Message, Result};

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
            // Nobody needs to listen.
            let _ = self.shared.events.send(event);
        }
        if happened {
            self.shared.version.send_modify(|version| *version += 1);
        }
        result
    }

    /// Takes a message that arrived: for the receiving end of the transport.
    ///
    /// # Errors
    /// As [`Gossip::handle`]: give the peer the [`refusal`](crate::Error::refusal).
    pub fn receive(&self, message: Message) -> Result<Option<Message>> {
        let now = now();
        let answer = self.with(|gossip| gossip.handle(now, message));
        if let Err(error) = &answer {
            tracing::warn!(%error, "refused a gossip message");
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

    /// Tells the others that this process is about to end, and ends the loop. Takes at most two seconds.
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
