//! What happened, event by event: a digest always, and the words for who wants to read them.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use xxhash_rust::xxh3::Xxh3;

/// The events of a run. Two runs with the same digest were the same to the last event.
pub struct Trace {
    digest: Xxh3,
    events: u64,
    line: String,
    kept: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace, which keeps its lines if asked to.
    pub fn new(keep: bool) -> Self {
        Self {
            digest: Xxh3::new(),
            events: 0,
            line: String::new(),
            kept: keep.then(Vec::new),
        }
    }

    /// Notes an event: its virtual time, whose it is, and what it is.
    pub fn note(&mut self, at: Duration, who: &dyn fmt::Display, what: fmt::Arguments<'_>) {
        self.line.clear();
        // Writing to a string does not fail.
        let _ = write!(self.line, "{:>11.6} {who:<4} {what}", at.as_secs_f64());
        self.digest.update(self.line.as_bytes());
        self.events += 1;
        if let Some(kept) = &mut self.kept {
            kept.push(self.line.clone());
        }
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// One number for all of them.
    pub fn digest(&self) -> u64 {
        self.digest.digest()
    }

    /// The lines, where they were kept.
    pub fn lines(&self) -> &[String] {
        self.kept.as_deref().unwrap_or_default()
    }
}
