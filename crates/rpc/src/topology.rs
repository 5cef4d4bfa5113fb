//! Who keeps which keys, as clients are told.

use prost::Message;
use tonic::metadata::{Ascii, MetadataValue};
use xxhash_rust::xxh3::xxh3_64;

use crate::pb;

/// A topology and its version, made once for all the answers that carry it.
#[derive(Debug, Clone)]
pub struct Topology {
    message: pb::Topology,
    version: u64,
    header: Option<MetadataValue<Ascii>>,
}

impl Topology {
    /// The topology that this message tells of. O(members).
    pub fn new(message: pb::Topology) -> Self {
        let version = xxh3_64(&message.encode_to_vec());
        Self {
            message,
            version,
            // Hexadecimal digits always fit a header.
            header: format!("{version:016x}").parse().ok(),
        }
    }

    /// That of a front: all requests go to it.
    pub(crate) fn front(cluster_id: u64) -> Self {
        Self::new(pb::Topology {
            cluster_id,
            front: true,
            ..pb::Topology::default()
        })
    }

    /// Equal for equal topologies, different for different ones but for chance (2^-64).
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The answer to somebody who knows this version.
    pub(crate) fn answer(&self, known: Option<u64>) -> pb::TopologyResponse {
        pb::TopologyResponse {
            version: self.version,
            topology: (known != Some(self.version)).then(|| self.message.clone()),
        }
    }

    pub(crate) fn header(&self) -> Option<MetadataValue<Ascii>> {
        self.header.clone()
    }
}

/// The version of the topology that an answer or a status tells of.
pub fn topology_version(metadata: &tonic::metadata::MetadataMap) -> Option<u64> {
    let text = metadata.get(TOPOLOGY_HEADER)?.to_str().ok()?;
    u64::from_str_radix(text, 16).ok()
}

/// The metadata that carries the version.
pub(crate) const TOPOLOGY_HEADER: &str = "dynamokv-topology";
