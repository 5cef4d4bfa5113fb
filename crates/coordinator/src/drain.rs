//! Waiting until every operation begun under an earlier phase has ended.
//!
//! A node may enter the next stage of a membership change only when nothing of its own still acts on
//! the rules of the one before.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Counts the operations under way, by the phase of the view that they began with.
#[derive(Debug, Default)]
pub struct Drain {
    under_way: Mutex<BTreeMap<u64, usize>>,
    ended: Notify,
}

/// One operation under way; dropping it ends the operation.
#[derive(Debug)]
pub struct DrainGuard {
    drain: Arc<Drain>,
    phase: u64,
}

impl Drain {
    /// Begins an operation under the phase that `phase` reads.
    ///
    /// Counted before the phase is read again, so that no operation can slip in under an old phase after
    /// [`ended_before`](Self::ended_before) has looked.
    pub fn enter<V>(self: &Arc<Self>, view: impl Fn() -> (u64, V)) -> (DrainGuard, V) {
        loop {
            let (phase, _) = view();
            *self.under_way.lock().entry(phase).or_default() += 1;
            let guard = DrainGuard {
                drain: Arc::clone(self),
                phase,
            };
            let (now, value) = view();
            if now == phase {
                return (guard, value);
            }
        }
    }

    /// Completes when no operation is under way that began under a phase below `phase`.
    pub async fn ended_before(&self, phase: u64) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.under_way.lock().range(..phase).next().is_none() {
                return;
            }
            ended.await;
        }
    }

    /// How many operations are under way.
    pub fn len(&self) -> usize {
        self.under_way.lock().values().sum()
    }

    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.lock().is_empty()
    }
}

impl Drop for DrainGuard {
    fn drop(&mut self) {
        let mut under_way = self.drain.under_way.lock();
        if let Some(count) = under_way.get_mut(&self.phase) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.phase);
                drop(under_way);
                self.drain.ended.notify_waiters();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_for_older_operations_only() {
        let drain = Arc::new(Drain::default());
        let (old, ()) = drain.enter(|| (1, ()));
        let (_new, ()) = drain.enter(|| (2, ()));
        let waited = tokio::time::timeout(Duration::from_secs(1), drain.ended_before(2)).await;
        assert!(
            waited.is_err(),
            "an operation of phase 1 is still under way"
        );
        drop(old);
        drain.ended_before(2).await;
        assert_eq!(drain.len(), 1);
    }

    #[test]
    fn an_operation_that_races_with_a_phase_change_counts_under_the_new_phase() {
        let drain = Arc::new(Drain::default());
        let reads = AtomicU64::new(0);
        // The phase changes between the first and the second look.
        let (guard, phase) = drain.enter(|| {
            let phase = if reads.fetch_add(1, Ordering::SeqCst) == 0 {
                1
            } else {
                2
            };
            (phase, phase)
        });
        assert_eq!((guard.phase, phase), (2, 2));
        assert_eq!(drain.len(), 1);
    }
}
