//! Tells many that a node went down, in the order in which they began to wait. (A `watch` channel wakes them in an order of
//! its own.)

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// One life of a node. Clones tell of the same life.
#[derive(Debug, Clone, Default)]
pub struct Down(Arc<Life>);

#[derive(Debug, Default)]
struct Life {
    over: AtomicBool,
    ended: Notify,
}

impl Down {
    /// The node goes down.
    pub fn set(&self) {
        self.0.over.store(true, Ordering::Relaxed);
        self.0.ended.notify_waiters();
    }

    /// Whether it is down.
    pub fn is_set(&self) -> bool {
        self.0.over.load(Ordering::Relaxed)
    }

    /// Completes when it is down.
    pub async fn wait(&self) {
        let ended = self.0.ended.notified();
        if !self.is_set() {
            ended.await;
        }
    }
}
