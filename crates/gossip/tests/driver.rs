//! The tokio driver over an in-memory network, in paused time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dynamokv_gossip::{
    Event, GossipHandle, GossipTransport, Message, Refusal, TransportError, spawn,
};
use dynamokv_ring::NodeId;
use parking_lot::Mutex;
use support::{SECOND, address, machine};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Who is where; an address without anybody refuses connections.
#[derive(Clone, Default)]
struct Network {
    nodes: Arc<Mutex<BTreeMap<String, GossipHandle>>>,
    panics: Arc<Mutex<bool>>,
    exchanges: Arc<Mutex<u64>>,
    /// Of three messages, two arrive.
    lossy: Arc<Mutex<bool>>,
}

impl GossipTransport for Network {
    async fn exchange(
        &self,
        to_address: &str,
        message: Message,
    ) -> Result<Option<Message>, TransportError> {
        let number = {
            let mut exchanges = self.exchanges.lock();
            *exchanges += 1;
            *exchanges
        };
        // Some are nearer than others.
        let distance = to_address.bytes().map(u64::from).sum::<u64>() % 7;
        sleep(Duration::from_millis(1 + distance)).await;
        assert!(!*self.panics.lock(), "a bug in the transport");
        if *self.lossy.lock() && number % 3 == 0 {
            return Ok(None);
        }
        let to = self.nodes.lock().get(to_address).cloned();
        let to = to.ok_or_else(|| TransportError::Unreachable {
            reason: "connection refused".to_owned(),
        })?;
        to.receive(message)
            .map_err(|error| TransportError::Refused(error.refusal()))
    }
}

impl Network {
    fn start(&self, gossip: dynamokv_gossip::Gossip) -> (GossipHandle, JoinHandle<()>) {
        let address = gossip.local().profile.address.clone();
        let (handle, task) = spawn(gossip, Arc::new(self.clone()));
        self.nodes.lock().insert(address, handle.clone());
        (handle, task)
    }

    fn start_all(&self, count: u64) -> Vec<(GossipHandle, JoinHandle<()>)> {
        let now = Instant::now().into_std();
        (1..=count)
            .map(|id| self.start(machine(id, &[1], now)))
            .collect()
    }
}

async fn until(limit: Duration, holds: impl Fn() -> bool) {
    let all = async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(limit, all).await.expect("in time");
}

fn live(handle: &GossipHandle) -> usize {
    handle.with(|gossip| gossip.live_count())
}

#[tokio::test(start_paused = true)]
async fn nodes_find_each_other_and_a_kick_spreads_news_at_network_speed() {
    let network = Network::default();
    let nodes = network.start_all(6);
    until(20 * SECOND, || {
        nodes.iter().all(|(node, _)| live(node) == 6)
    })
    .await;

    let mut events = nodes[5].0.events();
    let mut version = nodes[5].0.version();
    version.mark_unchanged();
    let kicked = Instant::now();
    nodes[0]
        .0
        .with(|gossip| gossip.set_kv("colour", "red"))
        .unwrap();
    nodes[0].0.kick();
    let known =
        |node: &GossipHandle| node.with(|gossip| gossip.kv(NodeId(1), "colour") == Some("red"));
    until(SECOND, || nodes.iter().all(|(node, _)| known(node))).await;
    assert!(
        kicked.elapsed() < Duration::from_millis(50),
        "{:?}",
        kicked.elapsed()
    );
    assert_eq!(events.recv().await, Ok(Event::StateChanged(NodeId(1))));
    assert!(version.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn kicks_that_overlap_end_in_silence() {
    let network = Network::default();
    let nodes = network.start_all(6);
    until(20 * SECOND, || {
        nodes.iter().all(|(node, _)| live(node) == 6)
    })
    .await;
    let before = *network.exchanges.lock();
    for _ in 0..5 {
        nodes[0].0.kick();
        sleep(Duration::from_millis(1)).await;
    }
    sleep(SECOND).await;
    let exchanges = *network.exchanges.lock() - before;
    // Five kicks, each to five others and once again to those that were busy, two messages each; and a round or two.
    assert!(
        exchanges < 150,
        "{exchanges} messages: kicks lead to further kicks"
    );
}

#[tokio::test(start_paused = true)]
async fn a_crashed_node_is_noticed_and_a_stopped_one_says_goodbye() {
    let network = Network::default();
    let nodes = network.start_all(4);
    until(20 * SECOND, || {
        nodes.iter().all(|(node, _)| live(node) == 4)
    })
    .await;

    let stopping = Instant::now();
    nodes[3].0.stop().await;
    assert!(stopping.elapsed() < 2 * SECOND);
    timeout(SECOND, async {
        while !nodes[3].1.is_finished() {
            sleep(Duration::from_millis(1)).await
        }
    })
    .await
    .expect("the loop ended");
    for (node, _) in &nodes[..3] {
        assert!(!node.with(|gossip| gossip.is_live(NodeId(4))));
    }

    network.nodes.lock().remove(&address(3));
    nodes[2].1.abort();
    until(30 * SECOND, || {
        nodes[..2].iter().all(|(node, _)| live(node) == 2)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panicking_transport_does_not_end_the_loop() {
    let network = Network::default();
    let nodes = network.start_all(2);
    until(20 * SECOND, || {
        nodes.iter().all(|(node, _)| live(node) == 2)
    })
    .await;
    *network.panics.lock() = true;
    until(60 * SECOND, || {
        nodes.iter().all(|(node, _)| live(node) == 1)
    })
    .await;
    *network.panics.lock() = false;
    until(60 * SECOND, || {
        nodes.iter().all(|(node, _)| live(node) == 2)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_node_is_told_why() {
    let network = Network::default();
    let now = Instant::now().into_std();
    let (first, _first_task) = network.start(machine(1, &[], now));
    let config = dynamokv_gossip::Config::new("other");
    let stranger =
        dynamokv_gossip::Gossip::new(config, support::local(2, 1), vec![address(1)], 2, now);
    let stranger = GossipHandle::new(stranger.unwrap());
    let mut events = stranger.events();
    let _task = tokio::spawn(dynamokv_gossip::run(stranger, Arc::new(network.clone())));
    let refused = Event::Refused {
        address: address(1),
        refusal: Refusal::WrongClusterName,
    };
    assert_eq!(
        timeout(5 * SECOND, events.recv()).await.unwrap(),
        Ok(refused)
    );
    assert_eq!(live(&first), 1);
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_is_known_before_it_ends_even_if_messages_are_lost() {
    let network = Network::default();
    let nodes = network.start_all(5);
    until(20 * SECOND, || {
        nodes.iter().all(|(node, _)| live(node) == 5)
    })
    .await;
    *network.lossy.lock() = true;
    nodes[4].0.stop().await;
    for (node, _) in &nodes[..4] {
        assert!(!node.with(|gossip| gossip.is_live(NodeId(5))));
    }
    assert_eq!(nodes[4].0.with(|gossip| gossip.told()), 4);
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_to_nobody_ends_too() {
    let network = Network::default();
    let nodes = network.start_all(2);
    until(20 * SECOND, || {
        nodes.iter().all(|(node, _)| live(node) == 2)
    })
    .await;
    network.nodes.lock().clear();
    let stopping = Instant::now();
    nodes[1].0.stop().await;
    assert!(stopping.elapsed() <= 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn snapshots_follow_the_view_and_metrics_count_what_it_took() {
    let network = Network::default();
    let nodes = network.start_all(4);
    let mut view = nodes[0].0.snapshots();
    let whole = view.wait_for(|view| view.members.values().filter(|seen| seen.live).count() == 4);
    let whole = timeout(20 * SECOND, whole).await.unwrap().unwrap().clone();
    assert!(whole.left.is_empty());

    network.nodes.lock().remove(&address(4));
    nodes[3].1.abort();
    let down = view.wait_for(|view| !view.members[&NodeId(4)].live);
    timeout(30 * SECOND, down).await.unwrap().unwrap();
    assert!(whole.members[&NodeId(4)].live, "a snapshot stays as it was");

    let metrics = nodes[0].0.metrics();
    assert!(metrics.rounds > 3);
    assert!(metrics.messages_sent > metrics.rounds);
    assert!(metrics.bytes_sent > 50 * metrics.messages_sent);
    assert!(metrics.bytes_received > 50 * metrics.messages_received);
    assert_eq!((metrics.ups, metrics.downs), (3, 1));
    assert!(
        metrics.exchanges_failed > 0,
        "connections to node 4 were refused"
    );
    assert_eq!(metrics.phi.len(), 3);
    assert!(metrics.phi.values().all(|phi| *phi >= 0.0));
}
