//! How many requests may be sent beyond those that were asked for.

/// A token bucket that is filled by ordinary requests: each brings a fraction of a token, each further attempt takes a whole one.
/// So a cluster in trouble gets a bounded part of additional load, however many clients retry, and a single failure
/// of a quiet client is retried all the same. (The retry budget of Finagle.)
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    /// In thousandths of a token.
    per_request: u64,
    burst: u64,
    tokens: u64,
}

impl Budget {
    /// `ratio` tokens a request (0 to 1), at most `burst` of them saved, and as many to begin with.
    pub(crate) fn new(ratio: f64, burst: u32) -> Self {
        let burst = u64::from(burst) * WHOLE;
        Self {
            // The cast saturates, and turns no number into none.
            per_request: (ratio * WHOLE as f64) as u64,
            burst,
            tokens: burst,
        }
    }

    /// A request was made.
    pub(crate) fn earn(&mut self) {
        self.tokens = self.tokens.saturating_add(self.per_request).min(self.burst);
    }

    /// Whether one more attempt may be made; it is paid for then.
    pub(crate) fn spend(&mut self) -> bool {
        let left = self.tokens.checked_sub(WHOLE);
        self.tokens = left.unwrap_or(self.tokens);
        left.is_some()
    }
}

const WHOLE: u64 = 1_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn further_attempts_stay_within_the_ratio_and_the_burst(
            spends in prop::collection::vec(any::<bool>(), 0..2_000),
            ratio in 0..=1_000_u64,
            burst in 0..20_u32,
        ) {
            let mut budget = Budget::new(ratio as f64 / 1_000.0, burst);
            let (mut requests, mut extra) = (0_u64, 0_u64);
            for spend in spends {
                if spend {
                    extra += u64::from(budget.spend());
                } else {
                    requests += 1;
                    budget.earn();
                }
                prop_assert!(extra * 1_000 <= requests * ratio + u64::from(burst) * 1_000);
            }
        }
    }

    #[test]
    fn the_burst_is_there_at_once_and_again_after_as_many_requests_as_it_costs() {
        let mut budget = Budget::new(0.2, 3);
        for _ in 0..2 {
            let spent = std::iter::repeat_with(|| budget.spend());
            assert_eq!(spent.take_while(|spent| *spent).count(), 3);
            for _ in 0..100 {
                budget.earn();
            }
        }
    }
}
