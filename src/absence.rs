//! How long a node was away before its start. Beyond the grace time of tombstones what it holds for others may have been
//! deleted, and the delete been forgotten: that is let go of. What it owns is as good as ever: nothing is collected without it.

use std::time::Duration;

use dynamokv_coordinator::Membership;
use dynamokv_storage::ObjectKey;

use crate::core::Core;
use crate::persist;
use crate::transport::Transport;

/// Looks how long this node was away, and lets go of its hints if that was too long; says so. Before anything is served.
pub(crate) fn end<T: Transport>(core: &Core<T>, grace: Duration) -> Result<bool, crate::Error> {
    let now_ms = (core.wall_clock)();
    let alive_ms = persist::load_alive(&core.store)?.unwrap_or(now_ms);
    persist::save_alive(&core.store, now_ms)?;
    let away = Duration::from_millis(now_ms.saturating_sub(alive_ms));
    if away <= grace {
        return Ok(false);
    }
    let view = core.cluster.view();
    let keeps = |key: &ObjectKey| view.stores(core.me, key.token());
    let objects = core.hints.forget(keeps)?;
    tracing::warn!(
        ?away,
        objects,
        "away for longer than `tombstone-grace-s`: what was held for other nodes is let go of"
    );
    Ok(true)
}
