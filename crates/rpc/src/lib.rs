#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod connection;
mod convert;
mod deadline;
mod error;
mod key_value;
mod keys;
pub mod pb;
mod peers;
mod server;
mod service;
mod shown;
mod status;
mod topology;
mod trace;

pub use connection::{Connection, Connector, Listener, channel_over};
pub use convert::{decode_facts, encode_facts};
pub use error::{Error, Result};
pub use key_value::{Front, KeyValue};
pub use keys::{KeyPage, KeyScan, KeyState, KeyStates, KeysRequest};
pub use peers::{AddressBook, Peers, PeersConfig};
pub use server::{Health, KvHandler, Load, ServerBuilder, ServerConfig, Usage};
pub use service::{AdminError, AdminService, KvService, PeerService};
pub use shown::{local_copy, values};
pub use status::{failure_in, of_failure as status_of};
pub use topology::{Topology, topology_version};
pub use trace::{REQUEST_ID_HEADER, RequestIds, name_call, request_id};

pub use dynamokv_coordinator::RequestId;
