//! The DynamoKV cluster in one thread and in virtual time, from one seed, under faults.
//!
//! A run is decided by its seed: the cluster, its clients, and everything that goes wrong. The nodes are the shipping
//! composition ([`dynamokv::Parts`]); around them are a simulated [network], [disks](disk), clocks and chance. In the
//! safety phase clients [work](workload) while the [nemesis] rages; in the liveness phase nothing more goes wrong, and
//! everything must come to [rest]. What clients were told stands in the [history]; the [invariants] look at it and at
//! how the cluster stands in the [end].
//!
//! That is the fast path, for most seeds. The full path, for fewer, has gRPC between the nodes and from the clients: [wire].
//!
//! ```
//! use dynamokv_sim::{Plan, run};
//!
//! let report = run(Plan::new(7, 50), false);
//! assert_eq!(report.violation, None);
//! assert_eq!(report.digest, run(Plan::new(7, 50), false).digest, "the same seed, the same run");
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod courier;
pub mod dice;
pub mod disk;
mod down;
pub mod end;
pub mod history;
mod host;
pub mod invariants;
pub mod kv;
pub mod nemesis;
pub mod network;
mod panics;
mod phone;
pub mod plan;
pub mod record;
pub mod rest;
mod run;
mod shrink;
pub mod trace;
mod transport;
pub mod wire;
pub mod workload;
mod world;

pub use plan::{Fault, Plan};
pub use run::{Report, SETTLING_MAX, run};
pub use shrink::shrink;
pub use transport::Wires;
pub use world::World;
