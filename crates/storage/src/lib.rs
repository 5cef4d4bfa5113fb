#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod engine;
mod error;
mod hash;
mod key;
mod name;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod raw;
mod record;
mod store;
mod sync;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod value;

pub use engine::{Batch, Engine, EngineStatistics, Family, MemoryEngine, Snapshot};
pub use engine::{Failing, FaultEngine, FaultPoint};
#[cfg(feature = "rocksdb")]
pub use engine::{RocksEngine, RocksOptions};
pub use error::{Damage, Error, Result};
pub use hash::StateHash;
pub use key::{KEY_BYTES_MAX, Keyspace, ObjectKey};
pub use name::{NAME_BYTES_MAX, NameKind};
pub use raw::{RawOptions, RawPage, RawStore};
pub use store::{
    Applied, Change, Counters, Cursor, DamagedRecord, Joined, Moment, ObjectStore, Observer,
    Opened, Page, Proof, Purged, RangeStatistics, Scrubbed, Settle, Settled, StoreOptions,
    Tombstone, VerifyReport, Walked,
};
pub use sync::{Durability, SyncMode, SyncWait, WriteSeq};
pub use value::{State, Value, decode_state, encode_state, shown};
