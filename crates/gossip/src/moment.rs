use std::time::Duration;

/// A point on a machine's own time line, in microseconds: half the size of an [`Instant`](std::time::Instant), of which
/// there are two for each of thousands of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// `elapsed` after the machine began. What happened up to a year before that has a moment as well.
    pub(crate) fn after(elapsed: Duration) -> Self {
        Moment(BEGINNING).plus(elapsed)
    }

    pub(crate) fn plus(self, time: Duration) -> Self {
        Moment(self.0.saturating_add(micros(time)))
    }

    pub(crate) fn minus(self, time: Duration) -> Self {
        Moment(self.0.saturating_sub(micros(time)))
    }

    /// The time since an earlier moment; zero for a later one.
    pub(crate) fn since(self, earlier: Moment) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

const BEGINNING: u64 = 365 * 24 * 3600 * 1_000_000;
