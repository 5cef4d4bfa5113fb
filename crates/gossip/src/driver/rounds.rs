use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use dynamokv_ring::NodeId;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::handle::{GossipHandle, now};
use super::transport::{GossipTransport, TransportError};
use crate::{Gossip, Message, Outgoing};

/// The loop: rounds, kicks and their exchanges, each of which is a task of its own, one at a time for each address.
pub(super) struct Rounds<T> {
    handle: GossipHandle,
    transport: Arc<T>,
    exchanges: JoinSet<()>,
    /// Where the running exchanges go.
    busy: BTreeMap<Id, (String, Option<NodeId>)>,
    /// Busy ones that a kick passed over: each is contacted once more when its exchange has ended.
    passed_over: BTreeSet<NodeId>,
}

impl<T: GossipTransport> Rounds<T> {
    pub(super) fn new(handle: GossipHandle, transport: Arc<T>) -> Self {
        Rounds {
            handle,
            transport,
            exchanges: JoinSet::new(),
            busy: BTreeMap::new(),
            passed_over: BTreeSet::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut stop = self.handle.stop_requested();
        let mut next_round = Instant::now();
        loop {
            tokio::select! {
                biased;
                // An error would mean that the handle is gone, but this loop holds one.
                _ = stop.wait_for(|stop| *stop) => break,
                Some(ended) = self.exchanges.join_next_with_id() => {
                    self.ended(ended.map(|(id, ())| id));
                }
                () = sleep_until(next_round) => {
                    next_round = Instant::now() + self.handle.next_interval();
                    self.handle.counters().rounds.fetch_add(1, Relaxed);
                    self.begin(Gossip::tick);
                }
                () = self.handle.kicked() => {
                    let busy = self.begin(Gossip::spread);
                    self.passed_over.extend(busy);
                }
                () = self.handle.outgoing() => {
                    self.begin(|_, _| Vec::new());
                }
                () = self.handle.changed() => self.handle.publish(),
            }
        }
        self.say_goodbye().await;
        self.handle.publish();
        self.handle.set_stopped();
    }

    /// Begins the exchanges that are chosen; gives the nodes that were busy with an earlier one.
    fn begin(
        &mut self,
        choose: impl FnOnce(&mut Gossip, std::time::Instant) -> Vec<Outgoing>,
    ) -> Vec<NodeId> {
        let now = now();
        let mut passed_over = Vec::new();
        let outgoing = self.handle.with(|gossip| {
            let mut outgoing = choose(gossip, now);
            outgoing.extend(std::iter::from_fn(|| gossip.poll_outgoing()));
            outgoing
        });
        for outgoing in outgoing {
            let to = outgoing.to.clone();
            let to_node = outgoing.to_node;
            // Questions about life and death do not wait for an exchange that hangs.
            let waits = matches!(outgoing.message, Message::Syn(_));
            if waits && self.busy.values().any(|(busy, _)| *busy == to) {
                passed_over.extend(to_node);
                continue;
            }
            let exchange = exchange(self.handle.clone(), self.transport.clone(), outgoing);
            let id = self.exchanges.spawn(exchange).id();
            self.busy.insert(id, (to, to_node));
        }
        passed_over
    }

    fn ended(&mut self, ended: Result<Id, tokio::task::JoinError>) {
        let id = match &ended {
            Ok(id) => *id,
            Err(panicked) => panicked.id(),
        };
        let Some((to, to_node)) = self.busy.remove(&id) else {
            return;
        };
        if let Err(panicked) = ended {
            tracing::error!(to, %panicked, "the gossip transport panicked");
            self.handle.counters().panics.fetch_add(1, Relaxed);
            failed(&self.handle, to_node);
        }
        if let Some(node) = to_node.filter(|node| self.passed_over.remove(node)) {
            self.begin(|gossip, now| gossip.contact(now, node).into_iter().collect());
        }
    }

    /// The others shall know at once, not after many missed heartbeats.
    async fn say_goodbye(&mut self) {
        self.handle.with(Gossip::announce_stop);
        let deadline = Instant::now() + GOODBYE_MAX;
        // What runs already may have read the state before the goodbye.
        self.finish_exchanges(deadline).await;
        let mut wanted = usize::MAX;
        while Instant::now() < deadline && self.handle.with(|gossip| gossip.told()) < wanted {
            self.begin(Gossip::spread);
            self.finish_exchanges(deadline).await;
            wanted = self.handle.with(|gossip| {
                let peers = gossip.live_count() - 1;
                peers.min(gossip.config().kick_fanout)
            });
            if self.handle.with(|gossip| gossip.told()) < wanted {
                // Answers of a transport that does not wait for them.
                sleep_until(deadline.min(Instant::now() + GOODBYE_EVERY)).await;
            }
        }
        self.exchanges.shutdown().await;
    }

    async fn finish_exchanges(&mut self, deadline: Instant) {
        while let Ok(Some(ended)) = timeout_at(deadline, self.exchanges.join_next_with_id()).await {
            self.ended(ended.map(|(id, ())| id));
        }
    }
}

async fn exchange<T: GossipTransport>(handle: GossipHandle, transport: Arc<T>, outgoing: Outgoing) {
    let Outgoing {
        to,
        to_node,
        message,
    } = outgoing;
    // Each answer may call for one more message; three are the most that an exchange has.
    let mut message = Some(message);
    while let Some(sent) = message.take() {
        if let Some(answer) = send(&handle, &*transport, &to, to_node, sent).await {
            // `receive` tells of an error by itself.
            message = handle.receive(answer).ok().flatten();
        }
    }
}

async fn send<T: GossipTransport>(
    handle: &GossipHandle,
    transport: &T,
    to: &str,
    to_node: Option<NodeId>,
    message: Message,
) -> Option<Message> {
    handle.count_sent(&message);
    let sent = timeout(EXCHANGE_MAX, transport.exchange(to, message)).await;
    if !matches!(sent, Ok(Ok(_))) {
        handle.counters().exchanges_failed.fetch_add(1, Relaxed);
    }
    match sent {
        Ok(Ok(answer)) => answer,
        Ok(Err(TransportError::Refused(refusal))) => {
            handle.with(|gossip| gossip.refused(to, refusal));
            None
        }
        Ok(Err(TransportError::Unreachable { reason })) => {
            tracing::debug!(to, reason, "a gossip exchange failed");
            failed(handle, to_node);
            None
        }
        Err(_elapsed) => {
            tracing::debug!(to, "a gossip exchange timed out");
            failed(handle, to_node);
            None
        }
    }
}

fn failed(handle: &GossipHandle, to_node: Option<NodeId>) {
    if let Some(id) = to_node {
        let now = now();
        handle.with(|gossip| gossip.report_failure(id, now));
    }
}

const EXCHANGE_MAX: Duration = Duration::from_secs(5);
const GOODBYE_MAX: Duration = Duration::from_secs(1);
const GOODBYE_EVERY: Duration = Duration::from_millis(50);
