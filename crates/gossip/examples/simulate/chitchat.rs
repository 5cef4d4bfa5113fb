//! The crate `chitchat`: scuttlebutt with phi accrual. It has no machine without I/O, so each node gets a runtime of its own
//! whose clock stands still until the simulation moves it, and a socket that is two queues. Its randomness cannot be
//! seeded: these runs differ a little from each other.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chitchat::transport::{ChannelTransport, RecvOutcome, SendOutcome, Socket, Transport};
use chitchat::{
    ChitchatConfig, ChitchatEnvelope, ChitchatHandle, ChitchatId, FailureDetectorConfig,
    ProtocolVersion, spawn_chitchat,
};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::protocol::{Place, Protocol, Sent, Start, Verdict};

pub struct Chitchat {
    runtime: Runtime,
    handle: ChitchatHandle,
    place: Place,
    /// When its first tick was; the others follow at regular intervals.
    started: Option<Instant>,
    now: Instant,
    interval: Duration,
    ticks: u32,
    inbox: UnboundedSender<RecvOutcome>,
    outbox: Outbox,
    live: BTreeSet<Place>,
    verdicts: Vec<Verdict>,
}

type Outbox = Arc<Mutex<Vec<(SocketAddr, Metered)>>>;

/// A message and its size.
pub struct Metered {
    envelope: ChitchatEnvelope,
    bytes: usize,
}

impl Protocol for Chitchat {
    type Message = Metered;
    const NAME: &'static str = "chitchat 0.13";

    fn start(start: Start) -> Self {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without threads");
        let config = ChitchatConfig {
            chitchat_id: id_of(start.place, start.generation),
            cluster_id: "simulated".to_owned(),
            gossip_interval: start.interval,
            listen_addr: address_of(start.place),
            seed_nodes: start
                .seeds
                .iter()
                .map(|seed| address_of(*seed).to_string())
                .collect(),
            failure_detector_config: FailureDetectorConfig::default(),
            marked_for_deletion_grace_period: Duration::from_secs(3600),
            catchup_callback: None,
            extra_liveness_predicate: None,
            protocol_version: ProtocolVersion::V1,
        };
        let (inbox, messages) = unbounded_channel();
        let outbox = Outbox::default();
        let handle = runtime.block_on(async {
            let wire = Wire {
                address: config.listen_addr,
                messages,
                outbox: Arc::clone(&outbox),
                scales: Scales::new().await?,
            };
            let wires = Wires(Mutex::new(Some(wire)));
            spawn_chitchat(config, Vec::new(), &wires).await
        });
        Chitchat {
            runtime,
            handle: handle.expect("a socket that always opens"),
            place: start.place,
            started: None,
            now: start.now,
            interval: start.interval,
            ticks: 0,
            inbox,
            outbox,
            live: BTreeSet::from([start.place]),
            verdicts: Vec::new(),
        }
    }

    fn wakes_at(&self) -> Instant {
        self.started.unwrap_or(self.now) + self.interval * self.ticks
    }

    fn wake(&mut self, now: Instant, out: &mut Vec<Sent<Metered>>) {
        self.run_until(now, out);
        while self.wakes_at() <= now {
            self.ticks += 1;
        }
        self.judge();
    }

    fn receive(
        &mut self,
        now: Instant,
        from: Place,
        message: Metered,
        out: &mut Vec<Sent<Metered>>,
    ) {
        let arrived = RecvOutcome {
            from_addr: address_of(from),
            num_bytes_received: message.bytes,
            envelope: message.envelope,
        };
        // A node that has left listens no more.
        let _ = self.inbox.send(arrived);
        self.run_until(now, out);
    }

    fn bytes(message: &Metered) -> usize {
        message.bytes
    }

    fn write(&mut self, value: u64, now: Instant, out: &mut Vec<Sent<Metered>>) {
        let chitchat = self.handle.chitchat();
        chitchat.blocking_lock().self_node_state().set(FACT, value);
        self.run_until(now, out);
    }

    fn reads(&self, of: Place) -> Option<u64> {
        let chitchat = self.handle.chitchat();
        let chitchat = chitchat.blocking_lock();
        let states = chitchat
            .node_states()
            .range(id_of(of, 0)..=id_of(of, u64::MAX));
        let facts = states.filter_map(|(_, state)| state.get(FACT)?.parse().ok());
        facts.max()
    }

    /// There is no word for leaving: the node falls silent.
    fn leave(&mut self, now: Instant, out: &mut Vec<Sent<Metered>>) {
        let _ = self.handle.initiate_shutdown();
        self.run_until(now, out);
    }

    fn knows(&self, of: Place) -> bool {
        self.live.contains(&of)
    }

    fn takes_for_live(&self, of: Place) -> bool {
        self.live.contains(&of)
    }

    fn verdicts(&mut self) -> Vec<Verdict> {
        std::mem::take(&mut self.verdicts)
    }
}

impl Chitchat {
    fn run_until(&mut self, now: Instant, out: &mut Vec<Sent<Metered>>) {
        let passed = now.saturating_duration_since(self.now);
        self.now = now;
        self.started.get_or_insert(now);
        self.runtime.block_on(async {
            tokio::time::advance(passed).await;
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
        });
        for (to, message) in self.outbox.lock().drain(..) {
            let to = place_at(to);
            out.push(Sent { to, message });
        }
    }

    /// Whom it takes for live changes with its ticks only.
    fn judge(&mut self) {
        let chitchat = self.handle.chitchat();
        let chitchat = chitchat.blocking_lock();
        let live: BTreeSet<Place> = chitchat.live_nodes().map(place_of).collect();
        let verdict = |down| {
            move |about: &Place| Verdict {
                about: *about,
                down,
            }
        };
        let others = |place: &&Place| **place != self.place;
        let gone = self.live.difference(&live).filter(others);
        self.verdicts.extend(gone.map(verdict(true)));
        let new = live.difference(&self.live).filter(others);
        self.verdicts.extend(new.map(verdict(false)));
        self.live = live;
    }
}

/// Opens the one socket that there is.
struct Wires(Mutex<Option<Wire>>);

struct Wire {
    address: SocketAddr,
    messages: UnboundedReceiver<RecvOutcome>,
    outbox: Outbox,
    scales: Scales,
}

/// Two sockets of the crate's own: what goes through them comes out unchanged, with its size, which the crate tells nobody
/// otherwise.
struct Scales {
    sender: Box<dyn Socket>,
    receiver: Box<dyn Socket>,
}

impl Scales {
    async fn new() -> anyhow::Result<Self> {
        let transport = ChannelTransport::with_mtu(DATAGRAM_BYTES_MAX);
        Ok(Scales {
            sender: transport.open(address_of(1)).await?,
            receiver: transport.open(address_of(2)).await?,
        })
    }

    async fn weigh(&mut self, envelope: ChitchatEnvelope) -> anyhow::Result<Metered> {
        let address = self.receiver.local_addr()?;
        self.sender.send(address, envelope).await?;
        let received = self.receiver.recv().await?;
        Ok(Metered {
            envelope: received.envelope,
            bytes: received.num_bytes_received,
        })
    }
}

#[async_trait]
impl Transport for Wires {
    async fn open(&self, _: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let wire = self.0.lock().take();
        Ok(Box::new(wire.ok_or(anyhow::anyhow!("open already"))?))
    }
}

#[async_trait]
impl Socket for Wire {
    fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.address)
    }

    async fn send(
        &mut self,
        to: SocketAddr,
        envelope: ChitchatEnvelope,
    ) -> anyhow::Result<SendOutcome> {
        let metered = self.scales.weigh(envelope).await?;
        let num_bytes_sent = metered.bytes;
        self.outbox.lock().push((to, metered));
        Ok(SendOutcome { num_bytes_sent })
    }

    async fn recv(&mut self) -> anyhow::Result<RecvOutcome> {
        let message = self.messages.recv().await;
        message.ok_or(anyhow::anyhow!("the simulation is over"))
    }
}

fn id_of(place: Place, generation: u64) -> ChitchatId {
    ChitchatId::new(format!("{place:06}"), generation, address_of(place))
}

fn place_of(id: &ChitchatId) -> Place {
    place_at(id.gossip_advertise_addr)
}

fn address_of(place: Place) -> SocketAddr {
    (Ipv4Addr::from_bits(TEN | place as u32), 7000).into()
}

fn place_at(address: SocketAddr) -> Place {
    match address {
        SocketAddr::V4(address) => (address.ip().to_bits() & !TEN) as Place,
        SocketAddr::V6(_) => unreachable!("all addresses are of the fourth version"),
    }
}

const FACT: &str = "fact";
/// The network 10.0.0.0.
const TEN: u32 = 10 << 24;
const DATAGRAM_BYTES_MAX: usize = 65_507;
/// Enough for the one task of a runtime to come to rest.
const TURNS: usize = 64;
