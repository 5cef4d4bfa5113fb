use std::time::{Duration, Instant};

/// How long a sync waits for company.
///
/// Those whom one sync answered mostly come back with their next write, and others came meanwhile. A sync that began with the
/// first of them would leave the rest to the one after it: two groups would take turns, each write would wait for two syncs, and
/// each sync would serve half of those that it could. So it waits until as many are there as there are writers, as far as the
/// last sync has shown; but not beyond a lull of four syncs, 1 ms at most, in which nobody came, and not for more than four lulls,
/// 3 ms at most. A few writers have less to gain: their lull is that of one sync. Whoever is alone waits for nobody.
#[derive(Default)]
pub(super) struct Gather {
    writers: usize,
    lull: Duration,
    patience: Duration,
}

/// A disk that hung once must not make everybody wait afterwards.
const PATIENCE_MAX: Duration = Duration::from_millis(3);
const LULL_MAX: Duration = Duration::from_millis(1);
const FEW: usize = 3;

impl Gather {
    /// Learns from a sync that answered so many and took so long, at the end of which so many waited for the next.
    pub(super) fn after(answered: usize, waiting: usize, took: Duration) -> Self {
        let writers = answered + waiting;
        let lulls = if writers > FEW { 4 } else { 1 };
        let lull = lulls * took.min(PATIENCE_MAX);
        Self::new(writers, lull.min(LULL_MAX), (4 * lull).min(PATIENCE_MAX))
    }

    pub(super) fn new(writers: usize, lull: Duration, patience: Duration) -> Self {
        Self {
            writers,
            lull,
            patience,
        }
    }

    /// How many must wait for the next sync to begin at once.
    pub(super) fn wanted(&self) -> usize {
        self.writers
    }

    /// When to look again who has come, the last one having come before `now`: no later than the sync begins in any case.
    pub(super) fn look_at(&self, now: Instant, deadline: Instant) -> Instant {
        (now + self.lull).min(deadline)
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
    fn both_groups_are_awaited_but_not_for_long() {
        let now = Instant::now();
        let micros = Duration::from_micros;
        let waits = |gather: &Gather| {
            let deadline = gather.deadline(now);
            assert_eq!(gather.look_at(deadline, deadline), deadline);
            (gather.look_at(now, deadline) - now, deadline - now)
        };
        let many = Gather::after(40, 24, micros(150));
        assert_eq!(many.wanted(), 64);
        assert_eq!(waits(&many), (micros(600), micros(2_400)));
        let few = Gather::after(2, 1, micros(150));
        assert_eq!(few.wanted(), 3);
        assert_eq!(waits(&few), (micros(150), micros(600)));
        assert_eq!(waits(&Gather::after(3, 1, micros(150))), waits(&many));
        let hung = Gather::after(64, 0, Duration::from_secs(60));
        assert_eq!(waits(&hung), (LULL_MAX, PATIENCE_MAX));
    }

    #[test]
    fn the_first_sync_and_a_lone_writer_wait_for_nobody() {
        let now = Instant::now();
        assert_eq!(Gather::default().wanted(), 0);
        assert_eq!(Gather::default().deadline(now), now);
        assert_eq!(Gather::after(1, 0, Duration::from_millis(1)).wanted(), 1);
    }
}
