use std::time::Duration;

use crate::moment::Moment;

/// What one node thinks of the liveness of another: phi accrual (Hayashibara et al. 2004) on the age of what is known.
///
/// A heartbeat comes with its age, so silence counts from when it was made, not from when it happened to arrive here:
/// all observers of a crash come to their verdict at the same time, however late the last heartbeat reached them.
/// What is learned is how old the news of a node usually get before newer ones arrive (mean and deviation); suspicion is
/// the improbability of the present silence under that: phi = -log10(P(silence is longer)), with the normal
/// distribution. Outcomes of requests feed it too: a success ends the silence, and some consecutive failures convict at
/// once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulse {
    pub(crate) heartbeat: u64,
    /// The greatest heartbeat that came in full. Those made up from their last two bytes are right unless a message was
    /// under way for hours.
    pub(crate) heard: u64,
    pub(crate) live: bool,
    /// Whether it said that its process is about to end.
    pub(crate) stopping: bool,
    /// Whether the heartbeat was seen to advance.
    beats: bool,
    failures: u16,
    lag: Lag,
    /// When the latest heartbeat was made.
    beat_at: Moment,
    /// When this node learned of it.
    learned_at: Moment,
    /// The latest sign of life of any kind, or when watching began.
    sign_at: Moment,
}

/// What the judgement depends on besides one node's own pulse.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) interval: Duration,
    pub(crate) grace: Duration,
    pub(crate) failures_to_suspect: u32,
    /// Deviations from the mean at which the threshold of phi is reached.
    pub(crate) deviations: f64,
    /// The lag of all nodes together: nobody is expected to be faster.
    pub(crate) usual: Lag,
    /// Silence that is this node's own fault: it heard nothing from anybody.
    pub(crate) excused: Duration,
}

impl Pulse {
    /// A node that was learned of, with its latest heartbeat and when that was made; `None` if too long ago to
    /// tell: it counts as down until it is heard.
    pub(crate) fn new(now: Moment, heartbeat: u64, beat_at: Option<Moment>) -> Self {
        let long_ago = now.minus(LONG_AGO);
        Pulse {
            heartbeat,
            heard: heartbeat,
            live: beat_at.is_some(),
            stopping: false,
            beats: false,
            failures: 0,
            lag: Lag::default(),
            beat_at: beat_at.unwrap_or(long_ago),
            learned_at: now,
            sign_at: if beat_at.is_some() { now } else { long_ago },
        }
    }

    /// A newer heartbeat, made at `made`. Returns the age that it ends, if the node was live all the while.
    pub(crate) fn beat(
        &mut self,
        now: Moment,
        heartbeat: u64,
        made: Moment,
        usual: &Lag,
    ) -> Option<f32> {
        let age = now.since(self.beat_at).as_secs_f32();
        let counts = self.beats && self.live;
        if counts {
            self.lag.learn(age, usual, SAMPLES_OF_ONE);
        }
        self.heartbeat = heartbeat;
        self.beats = true;
        self.learned_at = now;
        self.beat_at = self.beat_at.max(made);
        self.sign_at = self.sign_at.max(made);
        // It lives, but may still be unreachable from here: one heartbeat makes up for one failure.
        self.failures = self.failures.saturating_sub(1);
        counts.then_some(age)
    }

    /// The node answered or wrote to this one, or to somebody who says so.
    pub(crate) fn success(&mut self, now: Moment) {
        self.sign_at = self.sign_at.max(now);
        self.failures = 0;
    }

    /// Somebody else reached the node; from here it may still be unreachable.
    pub(crate) fn vouched(&mut self, now: Moment) {
        self.sign_at = self.sign_at.max(now);
    }

    /// A request to the node failed.
    pub(crate) fn failure(&mut self, bounds: &Bounds) {
        let limit = bounds.failures_to_suspect.saturating_mul(2);
        self.failures = self
            .failures
            .saturating_add(1)
            .min(u16::try_from(limit).unwrap_or(u16::MAX));
    }

    /// This process stood still for that long: nobody could be heard.
    pub(crate) fn forgive(&mut self, gap: Duration, now: Moment) {
        self.sign_at = self.sign_at.plus(gap).min(now);
        self.beat_at = self.beat_at.plus(gap).min(now);
    }

    /// The age of the latest heartbeat.
    pub(crate) fn age(&self, now: Moment) -> Duration {
        now.since(self.beat_at)
    }

    /// How long it has been the latest for this node.
    pub(crate) fn known_for(&self, now: Moment) -> Duration {
        now.since(self.learned_at)
    }

    /// The suspicion: 0 at a sign of life, growing without bound in silence.
    pub(crate) fn phi(&self, now: Moment, bounds: &Bounds) -> f64 {
        let (mean, deviation) = self.expected(bounds);
        phi_at((self.silence(now, bounds).as_secs_f64() - mean) / deviation)
    }

    /// Whether requests to the node failed so often that nobody needs to be asked about it.
    pub(crate) fn is_failing(&self, bounds: &Bounds) -> bool {
        u32::from(self.failures) >= bounds.failures_to_suspect
    }

    /// Whether the node has been silent for too long.
    pub(crate) fn is_silent(&self, now: Moment, bounds: &Bounds) -> bool {
        let silence = self.silence(now, bounds);
        if !self.beats {
            return silence >= bounds.grace;
        }
        silence > self.limit(bounds)
    }

    /// Whether the node is about to become silent for too long: time to look after it.
    pub(crate) fn is_in_doubt(&self, now: Moment, bounds: &Bounds) -> bool {
        let (mean, deviation) = self.expected(bounds);
        self.beats && self.silence(now, bounds).as_secs_f64() > mean + DOUBT * deviation
    }

    /// Whether the node was just heard of and nothing speaks against it.
    pub(crate) fn is_beyond_doubt(&self, now: Moment, bounds: &Bounds) -> bool {
        let (mean, deviation) = self.expected(bounds);
        self.failures == 0
            && self.beats
            && self.silence(now, bounds).as_secs_f64() < mean + deviation
    }

    /// The silence at which phi reaches its threshold.
    fn limit(&self, bounds: &Bounds) -> Duration {
        let (mean, deviation) = self.expected(bounds);
        Duration::from_secs_f64(mean + bounds.deviations * deviation)
            .clamp(bounds.interval * LIMIT_MIN, bounds.interval * LIMIT_MAX)
    }

    fn silence(&self, now: Moment, bounds: &Bounds) -> Duration {
        now.since(self.sign_at).saturating_sub(bounds.excused)
    }

    /// Mean and deviation that silence is judged by: never less than those of all nodes, so that a few lucky arrivals
    /// make nobody hasty.
    fn expected(&self, bounds: &Bounds) -> (f64, f64) {
        let usual = bounds.usual;
        let floor = bounds.interval.as_secs_f64() * DEVIATION_MIN;
        let (mean, variance) = if self.lag.samples == 0 {
            (usual.mean, usual.variance)
        } else {
            (
                self.lag.mean.max(usual.mean),
                self.lag.variance.max(usual.variance),
            )
        };
        (f64::from(mean), f64::from(variance).sqrt().max(floor))
    }
}

/// The age that news reach before newer ones arrive, in seconds: a moving mean and variance.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lag {
    mean: f32,
    variance: f32,
    samples: u32,
}

impl Lag {
    /// What is assumed before anything was seen.
    pub(crate) fn assumed(interval: Duration) -> Self {
        let interval = interval.as_secs_f32();
        Lag {
            mean: 3.0 * interval,
            variance: interval * interval,
            samples: ASSUMED,
        }
    }

    /// Takes a sample, remembering about the last `window`; the first ones are weighed against what is `usual`.
    fn learn(&mut self, age: f32, usual: &Lag, window: u32) {
        if self.samples == 0 {
            *self = Lag {
                samples: ASSUMED,
                ..*usual
            };
        }
        self.samples = self.samples.saturating_add(1).min(window.max(ASSUMED));
        let weight = 1.0 / self.samples as f32;
        let difference = age - self.mean;
        self.mean += weight * difference;
        self.variance = (1.0 - weight) * (self.variance + weight * difference * difference);
    }

    /// Takes a sample of any node.
    pub(crate) fn learn_usual(&mut self, age: f32, window: u32) {
        let usual = *self;
        self.learn(age, &usual, window);
    }
}

/// -log10 of the probability that a normally distributed value is at least that many deviations above its mean
/// (the logistic approximation of Bowling et al. 2009); 0 at the mean and below.
fn phi_at(deviations: f64) -> f64 {
    if deviations <= 0.0 {
        return 0.0;
    }
    let exponent = deviations * (1.5976 + 0.070566 * deviations * deviations);
    // ln(1 + e^x) without overflow, less what it is at the mean, so that phi begins at 0.
    let odds = exponent + (-exponent).exp().ln_1p();
    (odds - std::f64::consts::LN_2) * std::f64::consts::LOG10_E
}

/// The deviations at which phi reaches `phi`: by halving, phi being monotone.
pub(crate) fn deviations_at(phi: f64) -> f64 {
    let (mut low, mut high) = (0.0, 32.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if phi_at(middle) < phi {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Samples of one node that count.
const SAMPLES_OF_ONE: u32 = 64;
/// Samples that what is assumed weighs as much as.
const ASSUMED: u32 = 8;
/// The least deviation, in intervals: a round comes when it comes.
const DEVIATION_MIN: f64 = 0.4;
/// Nobody is convicted before that many intervals of silence, and everybody after this many.
const LIMIT_MIN: u32 = 3;
const LIMIT_MAX: u32 = 30;
/// Deviations above the mean at which somebody has a look.
const DOUBT: f64 = 3.0;
const LONG_AGO: Duration = Duration::from_secs(300 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn bounds() -> Bounds {
        Bounds {
            interval: SECOND,
            grace: 10 * SECOND,
            failures_to_suspect: 3,
            deviations: deviations_at(8.0),
            usual: Lag::assumed(SECOND),
            excused: Duration::ZERO,
        }
    }

    fn start() -> Moment {
        Moment::after(Duration::ZERO)
    }

    /// A node whose heartbeats came at these gaps, each some milliseconds old.
    fn beaten(gaps_ms: &[(u64, u64)]) -> (Pulse, Moment) {
        let mut now = start();
        let mut pulse = Pulse::new(now, 0, Some(now));
        pulse.beat(now, 1, now, &bounds().usual);
        for ((gap, age), number) in gaps_ms.iter().zip(2..) {
            now = now.plus(Duration::from_millis(*gap));
            let made = now.minus(Duration::from_millis(*age));
            pulse.beat(now, number, made, &bounds().usual);
        }
        (pulse, now)
    }

    fn gaps() -> impl Strategy<Value = Vec<(u64, u64)>> {
        proptest::collection::vec((0u64..20_000, 0u64..30_000), 0..150)
    }

    proptest! {
        #[test]
        fn phi_grows_with_silence_and_never_shrinks(gaps in gaps(), first in 0u64..60_000, more in 1u64..60_000) {
            let (pulse, now) = beaten(&gaps);
            let early = pulse.phi(now.plus(Duration::from_millis(first)), &bounds());
            let late = pulse.phi(now.plus(Duration::from_millis(first + more)), &bounds());
            prop_assert!(early >= 0.0 && early <= late && late.is_finite());
        }

        #[test]
        fn silence_convicts_within_the_bounds_whatever_was_seen(gaps in gaps()) {
            let (mut pulse, now) = beaten(&gaps);
            pulse.success(now);
            prop_assert!(!pulse.is_silent(now.plus(SECOND * LIMIT_MIN), &bounds()));
            let latest = SECOND * LIMIT_MAX + Duration::from_millis(1);
            prop_assert!(pulse.is_silent(now.plus(latest), &bounds()));
        }

        #[test]
        fn the_threshold_of_phi_is_where_silence_convicts(gaps in proptest::collection::vec((500u64..2_000, 0u64..3_000), 0..50), silence in 0u64..40_000) {
            let (mut pulse, now) = beaten(&gaps);
            pulse.success(now);
            let at = now.plus(Duration::from_millis(silence));
            let phi = pulse.phi(at, &bounds());
            prop_assume!((phi - 8.0).abs() > 0.01);
            prop_assert_eq!(pulse.is_silent(at, &bounds()), phi > 8.0);
        }

        #[test]
        fn no_heartbeat_however_old_it_says_it_is_makes_a_node_older(gaps in gaps(), age in any::<u32>()) {
            let (mut pulse, now) = beaten(&gaps);
            let before = pulse.age(now);
            pulse.beat(now, pulse.heartbeat + 1, now.minus(Duration::from_secs(age.into())), &bounds().usual);
            prop_assert!(pulse.age(now) <= before);
        }

        #[test]
        fn a_sign_of_life_ends_the_suspicion(gaps in gaps()) {
            let (mut pulse, now) = beaten(&gaps);
            let late = now.plus(200 * SECOND);
            prop_assert!(pulse.is_silent(late, &bounds()));
            pulse.success(late);
            prop_assert!(!pulse.is_silent(late, &bounds()));
        }

        #[test]
        fn deviations_and_phi_belong_together(phi in 0.5f64..100.0) {
            prop_assert!((phi_at(deviations_at(phi)) - phi).abs() < 1e-6);
        }
    }

    #[test]
    fn a_late_but_steady_node_is_given_its_time() {
        let steady = beaten(&[(1_000, 0); 100]);
        let late = beaten(&[(1_000, 6_000); 100]);
        let judged =
            |(pulse, now): &(Pulse, Moment), silence| pulse.is_silent(now.plus(silence), &bounds());
        assert!(judged(&steady, 9 * SECOND));
        assert!(
            !judged(&late, 3 * SECOND),
            "its news are always six seconds old"
        );
    }

    #[test]
    fn a_node_never_heard_of_has_its_grace() {
        let pulse = Pulse::new(start(), 0, Some(start()));
        assert!(!pulse.is_silent(start().plus(9 * SECOND), &bounds()));
        assert!(pulse.is_silent(start().plus(10 * SECOND), &bounds()));
        assert!(
            !Pulse::new(start(), 0, None).live,
            "others have not heard it for long"
        );
    }

    #[test]
    fn failures_convict_at_once_and_a_success_acquits() {
        let (mut pulse, now) = beaten(&[(1_000, 0); 10]);
        for _ in 0..2 {
            pulse.failure(&bounds());
            assert!(!pulse.is_failing(&bounds()));
        }
        pulse.failure(&bounds());
        assert!(pulse.is_failing(&bounds()));
        pulse.success(now);
        assert!(!pulse.is_failing(&bounds()));
    }

    #[test]
    fn heartbeats_and_vouches_alone_do_not_acquit_a_node_that_goes_on_failing() {
        let (mut pulse, mut now) = beaten(&[(1_000, 0); 10]);
        for _ in 0..20 {
            now = now.plus(SECOND);
            pulse.beat(now, pulse.heartbeat + 1, now, &bounds().usual);
            pulse.vouched(now);
            (0..3).for_each(|_| pulse.failure(&bounds()));
            assert!(pulse.is_failing(&bounds()));
        }
        // Once the failures end it is trusted again within a few heartbeats.
        for _ in 0..6 {
            now = now.plus(SECOND);
            pulse.beat(now, pulse.heartbeat + 1, now, &bounds().usual);
        }
        assert!(!pulse.is_failing(&bounds()));
    }
}
