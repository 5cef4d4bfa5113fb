//! The one error type of the composition.

use std::path::{Path, PathBuf};

use dynamokv_coordinator::ReplicaError;
use dynamokv_gossip::Refusal;
use dynamokv_ring::{NodeId, PartitionId};

use crate::ConfigError;

/// Why a node does not start, or must stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting cannot be used. Nothing was started; correct it.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// The address cannot be listened on. Nothing was started; choose another one, or stop who has it.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: String,
        /// The operating system's words.
        reason: std::io::Error,
    },
    /// The process cannot be told to stop, so it does not run. Start it where signals can be received.
    #[error("cannot listen for signals: {reason}")]
    Signals {
        /// The operating system's words.
        reason: std::io::Error,
    },
    /// The store cannot be opened or failed.
    #[error("storage: {0}")]
    Storage(#[from] dynamokv_storage::Error),
    /// The data directory cannot be used; the reason says what to do. Nothing runs.
    #[error("data directory {}: {reason}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: dynamokv_storage::Error,
    },
    /// A snapshot was not restored. The data directory is as it was.
    #[error("{} cannot be restored: {reason}", path.display())]
    Restore {
        /// What is in the way: the snapshot, the data directory or the folder beside it.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// Gossip cannot go on.
    #[error("gossip: {0}")]
    Gossip(#[from] dynamokv_gossip::Error),
    /// No ring can be built.
    #[error("ring: {0}")]
    Ring(#[from] dynamokv_ring::Error),
    /// The server failed, or something stored or received cannot be decoded.
    #[error("rpc: {0}")]
    Rpc(#[from] dynamokv_rpc::Error),
    /// Another node did not do what it was asked; it is tried again.
    #[error("another node: {0}")]
    Peer(#[from] ReplicaError),
    /// What a peer sent in an exchange makes no sense: it is of another release, or at fault. It is asked again.
    #[error("exchange: {0}")]
    Exchange(#[from] dynamokv_antientropy::Error),
    /// The cluster has changed since an exchange began; it begins anew.
    #[error("the cluster has changed since the exchange with {peer} began")]
    ExchangeOver {
        /// With whom.
        peer: NodeId,
    },
    /// Some owners did not take what they own: their rings differ for the moment; it is tried again.
    #[error("{refused} objects of partition {partition} were not taken by all of their owners")]
    HandoverRefused {
        /// The partition.
        partition: PartitionId,
        /// Objects not taken.
        refused: usize,
    },
    /// A node that leaves still holds hints; they are delivered first.
    #[error("hints for {target} are not delivered yet")]
    HintsLeft {
        /// Whose hints.
        target: NodeId,
    },
    /// A part of the node ended that must not end: stop the node, start it again, and report what it logged.
    #[error("the node's {part} ended unexpectedly; start the node again")]
    PartEnded {
        /// The part.
        part: &'static str,
    },
    /// What the node remembers of the cluster cannot be read: restore the data directory, or start empty under a new id.
    #[error(
        "the remembered {entry} is unreadable: restore the data directory, or start with an empty one"
    )]
    BadMemory {
        /// The entry.
        entry: &'static str,
    },
    /// A peer would not talk to this node while it waited to be let in: what it says must be corrected.
    #[error("{address} refuses this node: {refusal}")]
    RefusedBy {
        /// The peer.
        address: String,
        /// Why.
        refusal: Refusal,
    },
    /// The cluster remembers more of this node than its disk does: the disk was emptied or restored from an older copy, so
    /// acknowledged writes may be missing on it. It is never taken up again.
    #[error(
        "this data directory was emptied or is an older copy: {why}; remove this node from the cluster and start with an empty \
         directory and no `id`"
    )]
    OlderDisk {
        /// What the cluster remembers.
        why: String,
    },
    /// The others removed this node. What it holds is theirs already; it may come back only empty, under a new id.
    #[error(
        "this node was removed from the cluster; it may come back with an empty data directory and a new id"
    )]
    Removed,
    /// The node handed everything over and has left, as it was asked to.
    #[error("this node has left the cluster, as it was asked to")]
    Left,
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopped,
}

impl Error {
    /// Names the directory where the store's own words do not.
    pub(crate) fn in_folder(self, path: &Path) -> Self {
        match self {
            Self::Storage(reason) if !reason.to_string().contains(&*path.to_string_lossy()) => {
                Self::DataDir {
                    path: path.to_owned(),
                    reason,
                }
            }
            error => error,
        }
    }

    pub(crate) fn listen(address: &str, reason: std::io::Error) -> Self {
        Self::Listen {
            address: address.to_owned(),
            reason,
        }
    }
}
