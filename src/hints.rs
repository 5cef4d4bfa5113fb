//! The hint log, and a bell that rings when something was marked.

use std::ops::Deref;
use std::sync::Arc;

use dynamokv_coordinator::HintSink;
use dynamokv_handoff::HintLog;
use dynamokv_ring::NodeId;
use dynamokv_storage::{Batch, Error, ObjectKey, ObjectStore};
use tokio::sync::Notify;

/// The hint log of one node.
#[derive(Debug)]
pub(crate) struct Hints {
    log: HintLog,
    marked: Notify,
}

impl Hints {
    pub(crate) fn open(store: Arc<ObjectStore>) -> Result<Self, Error> {
        Ok(Self {
            log: HintLog::open(store)?,
            marked: Notify::new(),
        })
    }

    /// Completes when something was marked since the last call.
    pub(crate) async fn marked(&self) {
        self.marked.notified().await;
    }
}

impl Deref for Hints {
    type Target = HintLog;

    fn deref(&self) -> &HintLog {
        &self.log
    }
}

impl HintSink for Hints {
    fn mark(&self, batch: &mut Batch, key: &ObjectKey, target: NodeId) {
        self.log.mark(batch, key, target);
        self.marked.notify_one();
    }

    fn is_marked(&self, key: &ObjectKey) -> Result<bool, Error> {
        self.log.is_marked(key)
    }
}
