//! The network between nodes: a gate before each of them, which lets through whom it may.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::origin::opener_of;

/// What becomes of traffic between two sides of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Nothing arrives, as where packets are dropped; it does when the partition heals, as TCP would send it again.
    Silence,
    /// Connections break, and new ones too.
    Reset,
}

/// Who is cut off from the rest, and how.
#[derive(Debug, Clone)]
struct Cut {
    island: BTreeSet<usize>,
    manner: Manner,
}

/// A TCP network of nodes that can be cut in two. It lets nobody else through: clients go to the nodes themselves.
pub struct Network {
    cut: watch::Sender<Option<Cut>>,
    processes: Arc<Mutex<BTreeMap<usize, u32>>>,
    gates: JoinSet<()>,
}

impl Network {
    pub fn new() -> Self {
        Self {
            cut: watch::Sender::new(None),
            processes: Arc::default(),
            gates: JoinSet::new(),
        }
    }

    /// Opens the gate before a node that listens on `address`; gives the address at which others reach it.
    pub async fn open_gate(&mut self, node: usize, address: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let advertised = listener.local_addr().unwrap().to_string();
        let (cut, processes) = (self.cut.subscribe(), Arc::clone(&self.processes));
        self.gates.spawn(async move {
            let mut guests = JoinSet::new();
            loop {
                let Ok((stream, peer)) = listener.accept().await else {
                    continue;
                };
                let (address, cut) = (address.clone(), cut.clone());
                let processes = Arc::clone(&processes);
                // By itself: to look for the origin takes a while, and nobody else shall wait for it.
                guests.spawn(async move {
                    // Not one of the nodes, or gone again.
                    let Some(origin) = origin(peer, &processes).await else {
                        return;
                    };
                    let ends = (origin, node);
                    let_through(stream, address, Link { ends, cut }).await;
                });
                while guests.try_join_next().is_some() {}
            }
        });
        advertised
    }

    /// From now on the node runs as this process.
    pub fn runs_as(&self, node: usize, pid: u32) {
        self.processes.lock().insert(node, pid);
    }

    pub fn cut(&self, island: BTreeSet<usize>, manner: Manner) {
        self.cut.send_replace(Some(Cut { island, manner }));
    }

    pub fn heal(&self) {
        self.cut.send_replace(None);
    }
}

async fn origin(peer: SocketAddr, processes: &Mutex<BTreeMap<usize, u32>>) -> Option<usize> {
    let processes = processes.lock().clone();
    let opener = tokio::task::spawn_blocking(move || opener_of(peer, processes));
    opener.await.unwrap()
}

/// A connection between two nodes.
#[derive(Clone)]
struct Link {
    ends: (usize, usize),
    cut: watch::Receiver<Option<Cut>>,
}

impl Link {
    /// How the link is cut at present, if it is.
    fn manner(&mut self) -> Option<Manner> {
        let cut = self.cut.borrow_and_update();
        let ((from, to), cut) = (self.ends, cut.as_ref()?);
        let apart = cut.island.contains(&from) != cut.island.contains(&to);
        apart.then_some(cut.manner)
    }

    /// Waits until the link is whole. False if it broke.
    async fn whole(&mut self) -> bool {
        loop {
            match self.manner() {
                None => return true,
                Some(Manner::Reset) => return false,
                Some(Manner::Silence) => {}
            }
            if self.cut.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Completes when the link breaks.
    async fn broken(&mut self) {
        while self.manner() != Some(Manner::Reset) {
            if self.cut.changed().await.is_err() {
                return;
            }
        }
    }
}

async fn let_through(guest: TcpStream, address: String, mut link: Link) {
    if !link.whole().await {
        return;
    }
    let Ok(host) = TcpStream::connect(&address).await else {
        return;
    };
    for stream in [&guest, &host] {
        // What cannot be set costs time only.
        let _ = stream.set_nodelay(true);
    }
    let (guest_reads, guest_writes) = guest.into_split();
    let (host_reads, host_writes) = host.into_split();
    let mut breaks = link.clone();
    tokio::select! {
        () = breaks.broken() => {}
        _ = async {
            tokio::join!(
                pump(guest_reads, host_writes, link.clone()),
                pump(host_reads, guest_writes, link.clone()),
            )
        } => {}
    }
}

/// Carries bytes one way until an end closes.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut link: Link) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if !link.whole().await || read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            // The other side is told by the end of the stream.
            let _ = to.shutdown().await;
            return;
        }
    }
}

const BUFFER_BYTES: usize = 64 << 10;
