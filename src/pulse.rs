//! Whether this process has run without a break: one that stood still may go on with what it began before, however old that is.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Between two beats.
const BEAT: Duration = Duration::from_secs(1);
/// A beat that comes later than this means that the process stood still.
const LATE: Duration = Duration::from_secs(30);
/// All that was begun before a standstill has ended so long after it: the longest deadline.
const ENDED_AFTER: Duration = Duration::from_secs(60);

/// The beats of one process.
#[derive(Debug)]
pub(crate) struct Pulse(Mutex<Beats>);

#[derive(Debug)]
struct Beats {
    last: Instant,
    /// When the process went on after its last standstill.
    woke: Option<Instant>,
}

impl Pulse {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(Beats {
            last: now,
            woke: None,
        }))
    }

    /// Beats for as long as the node runs.
    pub(crate) async fn beat(&self) {
        loop {
            tokio::time::sleep(BEAT).await;
            self.is_steady(Instant::now());
        }
    }

    /// Whether nothing that was begun before a standstill can be under way any more.
    pub(crate) fn is_steady(&self, now: Instant) -> bool {
        let mut beats = self.0.lock();
        if now.saturating_duration_since(beats.last) > LATE {
            beats.woke = Some(now);
        }
        beats.last = now;
        beats
            .woke
            .is_none_or(|woke| now.saturating_duration_since(woke) > ENDED_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stood_still_is_unsteady_until_all_that_was_begun_before_has_ended() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let pulse = Pulse::new(start);
        assert!(pulse.is_steady(at(30)));
        assert!(!pulse.is_steady(at(61)), "31 s without a beat");
        let beats = (62..=121).map(|second| pulse.is_steady(at(second)));
        assert_eq!(beats.filter(|steady| *steady).count(), 0);
        assert!(pulse.is_steady(at(122)));
    }
}
