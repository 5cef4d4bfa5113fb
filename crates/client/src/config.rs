//! Settings of a client.

use std::time::Duration;

use crate::Error;

/// How a client connects, retries and hedges.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientConfig {
    /// How long a call may take where its options do not say, all attempts together.
    pub timeout: Duration,
    /// How long one attempt may take before the next one is made.
    pub attempt_timeout: Duration,
    /// How often a request is sent at most, hedges not counted.
    pub attempts_max: u32,
    /// The pause before the second attempt where the cluster asked for one; it doubles from attempt to attempt, with jitter.
    pub backoff_min: Duration,
    /// The longest such pause.
    pub backoff_max: Duration,
    /// Retries that an ordinary request earns, 0 to 1: in the long run no more are made than this part of all requests.
    pub retry_ratio: f64,
    /// Retries that may be saved up, and are there to begin with.
    pub retry_burst: u32,
    /// Hedges that an ordinary read earns, 0 to 1; 0 with a burst of 0 makes none.
    pub hedge_ratio: f64,
    /// Hedges that may be saved up.
    pub hedge_burst: u32,
    /// A read is hedged when it takes longer than 95 % of those before, but not before this time.
    pub hedge_after_min: Duration,
    /// A read is hedged after this time at the latest.
    pub hedge_after_max: Duration,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How often the topology is asked for where no answer said that it has changed.
    pub follow_interval: Duration,
    /// The greatest answer that is read, in bytes: several values of one key.
    pub message_bytes_max: usize,
    /// How often [`update`](crate::Client::update) merges and writes before it gives up.
    pub update_rounds_max: u32,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(4),
            attempt_timeout: Duration::from_secs(1),
            attempts_max: 5,
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_millis(500),
            retry_ratio: 0.2,
            retry_burst: 100,
            hedge_ratio: 0.05,
            hedge_burst: 10,
            hedge_after_min: Duration::from_millis(5),
            hedge_after_max: Duration::from_millis(200),
            connect_timeout: Duration::from_millis(500),
            follow_interval: Duration::from_secs(10),
            message_bytes_max: 64 << 20,
            update_rounds_max: 10,
        }
    }
}

impl ClientConfig {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let refuse = |field, reason| Err(Error::Config { field, reason });
        for (field, time) in [
            ("timeout", self.timeout),
            ("attempt_timeout", self.attempt_timeout),
            ("backoff_min", self.backoff_min),
            ("connect_timeout", self.connect_timeout),
            ("follow_interval", self.follow_interval),
        ] {
            if time.is_zero() {
                return refuse(field, "must be above 0");
            }
        }
        for (field, ratio) in [
            ("retry_ratio", self.retry_ratio),
            ("hedge_ratio", self.hedge_ratio),
        ] {
            if !(0.0..=1.0).contains(&ratio) {
                return refuse(field, "must be 0 to 1");
            }
        }
        if self.attempts_max == 0 {
            return refuse("attempts_max", "must be 1 at least");
        }
        if self.update_rounds_max == 0 {
            return refuse("update_rounds_max", "must be 1 at least");
        }
        if self.backoff_max < self.backoff_min {
            return refuse("backoff_max", "must be `backoff_min` at least");
        }
        Ok(())
    }
}
