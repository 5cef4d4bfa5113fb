//! Telling tasks that something changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// A version that grows, and those who follow it. They are woken in the order in which they began to wait, not at random
/// as those of a `tokio::sync::watch`: so a simulated run can be repeated.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    version: AtomicU64,
    grown: Notify,
}

impl Changes {
    /// Wakes everyone who follows.
    pub(crate) fn announce(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
        self.grown.notify_waiters();
    }

    /// Follows what is announced from now on.
    pub(crate) fn follow(self: &Arc<Self>) -> Follower {
        Follower {
            seen: self.now(),
            changes: Arc::clone(self),
        }
    }

    fn now(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

/// One who follows [`Changes`].
#[derive(Debug)]
pub(crate) struct Follower {
    changes: Arc<Changes>,
    seen: u64,
}

impl Follower {
    /// Completes when something was announced since the last time, or since [`mark_seen`](Self::mark_seen). Nothing is
    /// lost when it is dropped before.
    pub(crate) async fn changed(&mut self) {
        loop {
            // Hears of everything that is announced after this.
            let grown = self.changes.grown.notified();
            let now = self.changes.now();
            if now != self.seen {
                self.seen = now;
                return;
            }
            grown.await;
        }
    }

    /// What was announced so far is known.
    pub(crate) fn mark_seen(&mut self) {
        self.seen = self.changes.now();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn a_follower_hears_once_of_what_it_has_not_seen() {
        let changes = Arc::<Changes>::default();
        changes.announce();
        let mut follower = changes.follow();
        assert!(
            follower.changed().now_or_never().is_none(),
            "that was before"
        );
        changes.announce();
        changes.announce();
        assert!(follower.changed().now_or_never().is_some());
        assert!(follower.changed().now_or_never().is_none());
        changes.announce();
        follower.mark_seen();
        assert!(follower.changed().now_or_never().is_none());
    }

    #[tokio::test]
    async fn followers_are_woken_in_the_order_in_which_they_wait() {
        let changes = Arc::<Changes>::default();
        let woken = Arc::<Mutex<Vec<usize>>>::default();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..50 {
            let (mut follower, woken) = (changes.follow(), Arc::clone(&woken));
            tasks.spawn(async move {
                follower.changed().await;
                woken.lock().push(number);
            });
        }
        tokio::task::yield_now().await;
        changes.announce();
        tasks.join_all().await;
        assert_eq!(*woken.lock(), (0..50).collect::<Vec<_>>());
    }
}
