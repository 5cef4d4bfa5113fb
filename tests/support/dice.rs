//! Chance that can be repeated: the choices of a run follow from its seed, though not the moments that they meet.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// SplitMix64.
pub struct Dice(u64);

impl Dice {
    /// From the environment variable, or the time of day; says which.
    pub fn new(variable: &str) -> Self {
        let seed = match std::env::var(variable) {
            Ok(seed) => seed
                .parse()
                .unwrap_or_else(|_| panic!("{variable} is a number")),
            Err(_) => seed_of_now(),
        };
        println!("{variable}={seed}");
        Self::seeded(seed)
    }

    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Other dice that follow from these.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Up to so many milliseconds, in microseconds.
    pub fn moment(&mut self, millis_max: u64) -> Duration {
        Duration::from_micros(self.below(millis_max * 1_000))
    }

    /// Bytes that nothing else is like: a value that is torn or mixed cannot be equal to another.
    pub fn bytes(&mut self, length_max: u64) -> Vec<u8> {
        let length = 8 + self.below(length_max);
        let words = (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes());
        words.take(length as usize).collect()
    }
}

/// One that nobody has used.
pub fn seed_of_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_nanos() as u64
}
