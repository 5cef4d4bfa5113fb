use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What one node thinks of the liveness of another: phi accrual (Hayashibara et al. 2004) in the exponential form that
/// Cassandra uses.
///
/// Suspicion grows with silence: phi = log10(e) * silence / mean interval of the heartbeats' arrivals. The outcomes of
/// requests feed it too: a success ends the silence, and some consecutive failures convict at once.
#[derive(Clone, Debug)]
pub(crate) struct Detector {
    intervals: VecDeque<Duration>,
    sum: Duration,
    last_heartbeat: Option<Instant>,
    /// The latest sign of life of any kind, or when watching began.
    last_sign: Instant,
    failures: u32,
}

/// What the judgement depends on besides the arrivals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) interval: Duration,
    pub(crate) grace: Duration,
    pub(crate) phi_threshold: f64,
    pub(crate) failures_to_suspect: u32,
}

impl Detector {
    pub(crate) fn new(now: Instant) -> Self {
        Detector {
            intervals: VecDeque::new(),
            sum: Duration::ZERO,
            last_heartbeat: None,
            last_sign: now,
            failures: 0,
        }
    }

    /// The node's heartbeat advanced.
    pub(crate) fn heartbeat(&mut self, now: Instant, bounds: &Bounds) {
        if let Some(last) = self.last_heartbeat {
            // A node that was down and returned did not beat slowly all the while.
            let interval = now
                .saturating_duration_since(last)
                .min(bounds.interval * MEAN_MAX);
            self.intervals.push_back(interval);
            self.sum += interval;
            if self.intervals.len() > SAMPLES_MAX {
                let oldest = self.intervals.pop_front().unwrap_or_default();
                self.sum = self.sum.saturating_sub(oldest);
            }
        }
        self.last_heartbeat = Some(now);
        self.sign(now);
        // It lives, but may still be unreachable from here: one heartbeat makes up for one failure.
        self.failures = self.failures.saturating_sub(1);
    }

    /// The node answered or wrote to this one.
    pub(crate) fn success(&mut self, now: Instant) {
        self.sign(now);
        self.failures = 0;
    }

    /// A request to the node failed.
    pub(crate) fn failure(&mut self, bounds: &Bounds) {
        self.failures = (self.failures + 1).min(bounds.failures_to_suspect * 2);
    }

    /// This process slept: nobody could be heard for that long.
    pub(crate) fn forgive(&mut self, now: Instant) {
        self.sign(now);
        self.last_heartbeat = self.last_heartbeat.map(|_| now);
    }

    /// The suspicion: 0 at a sign of life, growing linearly in silence.
    pub(crate) fn phi(&self, now: Instant, bounds: &Bounds) -> f64 {
        let silence = now.saturating_duration_since(self.last_sign).as_secs_f64();
        std::f64::consts::LOG10_E * silence / self.mean(bounds).as_secs_f64()
    }

    /// Whether the node counts as live.
    pub(crate) fn is_live(&self, now: Instant, bounds: &Bounds) -> bool {
        if self.failures >= bounds.failures_to_suspect {
            return false;
        }
        if self.last_heartbeat.is_none() {
            return now.saturating_duration_since(self.last_sign) < bounds.grace;
        }
        self.phi(now, bounds) < bounds.phi_threshold
    }

    /// Whether the node was just heard of and nothing speaks against it.
    pub(crate) fn is_beyond_doubt(&self, now: Instant, bounds: &Bounds) -> bool {
        self.failures == 0 && self.last_heartbeat.is_some() && self.phi(now, bounds) < DOUBT_PHI
    }

    fn sign(&mut self, now: Instant) {
        self.last_sign = self.last_sign.max(now);
    }

    /// The mean arrival interval, bootstrapped and bounded: a few lucky arrivals must not make it hasty, nor many late ones
    /// blind.
    fn mean(&self, bounds: &Bounds) -> Duration {
        let count = u32::try_from(self.intervals.len()).unwrap_or(u32::MAX);
        let total = self.sum + bounds.interval * BOOTSTRAP_SAMPLES;
        (total / (count + BOOTSTRAP_SAMPLES)).clamp(bounds.interval, bounds.interval * MEAN_MAX)
    }
}

const SAMPLES_MAX: usize = 100;
/// Arrivals at the configured interval that are assumed before any were seen.
const BOOTSTRAP_SAMPLES: u32 = 5;
/// The greatest mean, in intervals.
const MEAN_MAX: u32 = 5;
/// Below this (4.6 mean intervals of silence) a node that was heard of still holds its id and address.
const DOUBT_PHI: f64 = 2.0;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds {
        interval: Duration::from_secs(1),
        grace: Duration::from_secs(10),
        phi_threshold: 8.0,
        failures_to_suspect: 3,
    };

    fn beaten(gaps_ms: &[u64]) -> (Detector, Instant) {
        let mut now = Instant::now();
        let mut detector = Detector::new(now);
        detector.heartbeat(now, &BOUNDS);
        for gap in gaps_ms {
            now += Duration::from_millis(*gap);
            detector.heartbeat(now, &BOUNDS);
        }
        (detector, now)
    }

    proptest! {
        #[test]
        fn phi_grows_with_silence_and_never_shrinks(
            gaps in proptest::collection::vec(0u64..20_000, 0..150),
            first in 0u64..60_000,
            more in 1u64..60_000,
        ) {
            let (detector, now) = beaten(&gaps);
            let early = detector.phi(now + Duration::from_millis(first), &BOUNDS);
            let late = detector.phi(now + Duration::from_millis(first + more), &BOUNDS);
            prop_assert!(early >= 0.0 && early < late);
        }

        #[test]
        fn silence_convicts_within_the_bounds_of_the_mean(gaps in proptest::collection::vec(0u64..20_000, 0..150)) {
            let (detector, now) = beaten(&gaps);
            let mean_intervals = BOUNDS.phi_threshold * std::f64::consts::LN_10;
            prop_assert!(detector.is_live(now + Duration::from_secs_f64(mean_intervals - 0.01), &BOUNDS));
            let latest = mean_intervals * f64::from(MEAN_MAX) + 0.01;
            prop_assert!(!detector.is_live(now + Duration::from_secs_f64(latest), &BOUNDS));
        }

        #[test]
        fn a_sign_of_life_ends_the_suspicion(gaps in proptest::collection::vec(0u64..5_000, 0..50)) {
            let (mut detector, now) = beaten(&gaps);
            let late = now + Duration::from_secs(200);
            prop_assert!(!detector.is_live(late, &BOUNDS));
            detector.success(late);
            prop_assert!(detector.is_live(late, &BOUNDS));
        }
    }

    #[test]
    fn regular_heartbeats_are_convicted_after_18_missed_ones() {
        let (detector, now) = beaten(&[1000; 100]);
        assert!(detector.is_live(now + Duration::from_secs(18), &BOUNDS));
        assert!(!detector.is_live(now + Duration::from_secs(19), &BOUNDS));
    }

    #[test]
    fn a_node_never_heard_of_has_its_grace() {
        let now = Instant::now();
        let detector = Detector::new(now);
        assert!(detector.is_live(now + Duration::from_secs(9), &BOUNDS));
        assert!(!detector.is_live(now + Duration::from_secs(10), &BOUNDS));
    }

    #[test]
    fn failures_convict_at_once_and_a_success_acquits() {
        let (mut detector, now) = beaten(&[1000; 10]);
        for _ in 0..2 {
            detector.failure(&BOUNDS);
            assert!(detector.is_live(now, &BOUNDS));
        }
        detector.failure(&BOUNDS);
        assert!(!detector.is_live(now, &BOUNDS));
        detector.success(now);
        assert!(detector.is_live(now, &BOUNDS));
    }

    #[test]
    fn heartbeats_alone_do_not_acquit_a_node_that_goes_on_failing() {
        let (mut detector, mut now) = beaten(&[1000; 10]);
        for _ in 0..20 {
            now += Duration::from_secs(1);
            detector.heartbeat(now, &BOUNDS);
            (0..3).for_each(|_| detector.failure(&BOUNDS));
            assert!(!detector.is_live(now, &BOUNDS));
        }
        // Once the failures end it is trusted again within a few heartbeats.
        for _ in 0..6 {
            now += Duration::from_secs(1);
            detector.heartbeat(now, &BOUNDS);
        }
        assert!(detector.is_live(now, &BOUNDS));
    }
}
