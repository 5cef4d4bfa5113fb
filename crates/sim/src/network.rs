//! The simulated network: what becomes of each message.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::dice::Dice;

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The node at this place of the cluster.
    Node(usize),
    /// A client.
    Client(u32),
    /// No end of anything: what concerns all.
    Everybody,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` heeds the width that the trace asks for.
        match self {
            Self::Node(place) => f.pad(&format!("n{place}")),
            Self::Client(client) => f.pad(&format!("c{client}")),
            Self::Everybody => f.pad("all"),
        }
    }
}

/// What becomes of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// When it arrives; `None` if it never does.
    pub arrives: Option<Duration>,
    /// When it arrives once more.
    pub again: Option<Duration>,
}

/// The weather between all places. Everything is per mille of messages, or a duration.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    /// Messages that are lost.
    pub loss: u32,
    /// Messages that arrive twice.
    pub duplication: u32,
    /// Messages that are held up, and for how long at most.
    pub delay: (u32, Duration),
    /// Added to every message at random, so that they overtake each other.
    pub jitter: Duration,
}

/// Who reaches whom, and how well.
#[derive(Debug)]
pub struct Network {
    dice: Dice,
    weather: Weather,
    cut: BTreeSet<(Place, Place)>,
    /// Links of one direction that lose so many messages of a thousand.
    lossy: BTreeMap<(Place, Place), u32>,
    slow: BTreeSet<Place>,
    /// Who stands still, and until when.
    paused: BTreeMap<Place, Duration>,
}

impl Network {
    /// A good network: every message arrives once, within a millisecond.
    pub fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed, "network"),
            weather: Weather::default(),
            cut: BTreeSet::new(),
            lossy: BTreeMap::new(),
            slow: BTreeSet::new(),
            paused: BTreeMap::new(),
        }
    }

    /// Draws the fate of a message that is sent now.
    pub fn fate(&mut self, now: Duration, from: Place, to: Place) -> Fate {
        let lossy = self.lossy.get(&(from, to)).copied().unwrap_or_default();
        let lost = self.dice.chance(self.weather.loss.max(lossy));
        let twice = self.dice.chance(self.weather.duplication);
        let standstill = self.standstill(now, from).max(self.standstill(now, to));
        let arrives = standstill + self.journey(from, to);
        let again = standstill + self.journey(from, to);
        if lost || self.is_cut(from, to) {
            return Fate {
                arrives: None,
                again: None,
            };
        }
        Fate {
            arrives: Some(arrives),
            again: twice.then_some(again),
        }
    }

    fn journey(&mut self, from: Place, to: Place) -> Duration {
        let mut journey = self.dice.duration(SHORTEST, SHORT);
        journey += self.dice.duration(Duration::ZERO, self.weather.jitter);
        let (held_up, longest) = self.weather.delay;
        if self.dice.chance(held_up) {
            journey += self.dice.duration(Duration::ZERO, longest);
        }
        if self.is_slow(from) || self.is_slow(to) {
            journey += self.dice.duration(Duration::ZERO, SLOW);
        }
        journey
    }

    /// Whether nothing gets from the one to the other.
    pub fn is_cut(&self, from: Place, to: Place) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Cuts one direction.
    pub fn cut(&mut self, from: Place, to: Place) {
        self.cut.insert((from, to));
    }

    /// Loses so many messages of a thousand in one direction.
    pub fn lose(&mut self, from: Place, to: Place, per_mille: u32) {
        self.lossy.insert((from, to), per_mille);
    }

    /// Mends all cuts and all links that lose messages.
    pub fn mend(&mut self) {
        self.cut.clear();
        self.lossy.clear();
    }

    /// A place stands still until then: what it has sent or is sent arrives when it goes on.
    pub fn pause(&mut self, place: Place, until: Duration) {
        self.paused.insert(place, until);
    }

    /// Everybody goes on.
    pub fn go_on(&mut self) {
        self.paused.clear();
    }

    /// How long a place will stand still yet.
    pub fn standstill(&self, now: Duration, place: Place) -> Duration {
        let until = self.paused.get(&place).copied().unwrap_or_default();
        until.saturating_sub(now)
    }

    /// Whether a place is slow.
    pub fn is_slow(&self, place: Place) -> bool {
        self.slow.contains(&place)
    }

    /// Makes a place slow.
    pub fn slow_down(&mut self, place: Place) {
        self.slow.insert(place);
    }

    /// Nobody is slow any more.
    pub fn hurry(&mut self) {
        self.slow.clear();
    }

    /// Changes the weather.
    pub fn weather(&mut self) -> &mut Weather {
        &mut self.weather
    }

    /// A good network again.
    pub fn clear_up(&mut self) {
        self.weather = Weather::default();
        self.mend();
        self.hurry();
        self.go_on();
    }
}

const SHORTEST: Duration = Duration::from_micros(50);
const SHORT: Duration = Duration::from_millis(1);
const SLOW: Duration = Duration::from_millis(400);
