use std::time::{Duration, Instant};

/// How long a sync waits for company.
///
/// Those whom one sync answered mostly come back with their next write. A sync that began with the first of them would
/// leave the others to the one after it, so that every writer waited for two. So it waits until as many are there as
/// last time, but no longer than a part of what the last sync took: whoever does not come back costs little.
#[derive(Default)]
pub(super) struct Gather {
    answered: usize,
    patience: Duration,
}

/// A disk that hung once must not make everybody wait afterwards.
const PATIENCE_MAX: Duration = Duration::from_millis(2);

impl Gather {
    /// Learns from a sync that answered that many and took that long.
    pub(super) fn after(answered: usize, took: Duration) -> Self {
        Self::new(answered, (took / 4).min(PATIENCE_MAX))
    }

    pub(super) fn new(answered: usize, patience: Duration) -> Self {
        Self { answered, patience }
    }

    /// How many must wait for the next sync to begin at once.
    pub(super) fn wanted(&self) -> usize {
        self.answered
    }

    /// When the next sync begins at the latest, the first waiter having been there at `now`.
    pub(super) fn deadline(&self, now: Instant) -> Instant {
        now + self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_awaited_as_were_answered_but_not_for_long() {
        let now = Instant::now();
        let gather = Gather::after(64, Duration::from_millis(4));
        assert_eq!(gather.wanted(), 64);
        assert_eq!(gather.deadline(now), now + Duration::from_millis(1));
        let hung = Gather::after(64, Duration::from_secs(60));
        assert_eq!(hung.deadline(now), now + PATIENCE_MAX);
    }

    #[test]
    fn the_first_sync_waits_for_nobody() {
        let now = Instant::now();
        assert_eq!(Gather::default().wanted(), 0);
        assert_eq!(Gather::default().deadline(now), now);
    }
}
