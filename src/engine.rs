//! The engine that a configuration names.

use std::sync::Arc;
use std::time::Duration;

use dynamokv_storage::{Durability, Engine, Family, MemoryEngine};

use crate::config::{DurabilityMode, EngineKind};
use crate::{Error, NodeConfig};

/// Opens the engine with the families of a cluster's node, or of the raw service in standalone mode.
pub(crate) fn open(config: &NodeConfig) -> Result<Arc<dyn Engine>, Error> {
    let families = if config.standalone {
        config.raw_families()?
    } else {
        Family::CLUSTER.to_vec()
    };
    Ok(match config.engine {
        EngineKind::Memory => Arc::new(MemoryEngine::new(families)),
        #[cfg(feature = "rocksdb")]
        EngineKind::Rocksdb => Arc::new(
            dynamokv_storage::RocksEngine::open(
                &config.data_dir,
                families,
                &dynamokv_storage::RocksOptions {
                    memory_bytes: config.memory_mib.saturating_mul(1 << 20),
                    ..Default::default()
                },
            )
            .map_err(|error| Error::from(error).in_folder(&config.data_dir))?,
        ),
        #[cfg(not(feature = "rocksdb"))]
        EngineKind::Rocksdb => {
            let reason = "is `rocksdb`, which this program was built without: say `memory`";
            return Err(crate::ConfigError::new("engine", reason).into());
        }
    })
}

pub(crate) fn durability(config: &NodeConfig) -> Durability {
    match config.durability {
        DurabilityMode::Sync => Durability::Sync,
        DurabilityMode::Interval => {
            Durability::Interval(Duration::from_millis(config.sync_interval_ms))
        }
        DurabilityMode::Os => Durability::Os,
    }
}
