//! How much is under way, of how much that may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for so many at once; those that found none are counted.
#[derive(Debug, Clone)]
pub(super) struct Room {
    max: usize,
    places: Arc<Semaphore>,
    refused: Arc<AtomicU64>,
}

impl Room {
    pub(super) fn new(max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self {
            max,
            places: Arc::new(Semaphore::new(max)),
            refused: Arc::default(),
        }
    }

    /// So many places, if they are free. They are free again when what is returned is dropped.
    pub(super) fn take(&self, places: usize) -> Option<OwnedSemaphorePermit> {
        let wanted = u32::try_from(places).unwrap_or(u32::MAX);
        let taken = Arc::clone(&self.places).try_acquire_many_owned(wanted).ok();
        if taken.is_none() {
            self.refused.fetch_add(places as u64, Relaxed);
        }
        taken
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    fn usage(&self) -> Usage {
        Usage {
            in_use: self.max.saturating_sub(self.places.available_permits()),
            max: self.max,
            refused: self.refused.load(Relaxed),
        }
    }
}

/// How much of something bounded is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// At this moment.
    pub in_use: usize,
    /// At most.
    pub max: usize,
    /// How often there was too much, since the start.
    pub refused: u64,
}

/// What a server has to do. Cheap to clone; all clones look at the same server.
#[derive(Debug, Clone)]
pub struct Load {
    pub(super) clients: Room,
    pub(super) peers: Room,
    pub(super) connections: Room,
}

impl Load {
    /// Requests of clients.
    pub fn client_requests(&self) -> Usage {
        self.clients.usage()
    }

    /// Requests of other nodes, gossip aside.
    pub fn peer_requests(&self) -> Usage {
        self.peers.usage()
    }

    /// Connections of both.
    pub fn connections(&self) -> Usage {
        self.connections.usage()
    }
}
