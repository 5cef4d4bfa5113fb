//! Heartbeats: sent in a stretch of three bytes a node, taken where both sides know the same nodes.

use std::time::Duration;

use dynamokv_ring::NodeId;

use super::Gossip;
use crate::moment::Moment;
use crate::roster::{BucketSums, Buckets};
use crate::{Beat, Beats, BucketRoster, Error, Header, NodeState, Result};

impl Gossip {
    /// The sums of the view, this node's latest state included. O(nodes).
    pub(super) fn sums(&mut self, buckets: Buckets) -> Vec<BucketSums> {
        let now = self.moment();
        let NodeState {
            id,
            generation,
            version,
            ..
        } = self.local;
        if let Some(row) = self.roster.get_mut(id)
            && row.know(generation, version)
        {
            self.own_learned = now;
        }
        self.roster.sums(buckets, self.left.keys().copied())
    }

    /// What a message says of everybody's heartbeats: of as many buckets as fit, beginning anywhere. Of two views with
    /// the sums `ours` and `theirs` only the buckets that agree.
    pub(super) fn beats(
        &mut self,
        buckets: Buckets,
        ours: &[BucketSums],
        theirs: Option<&Beats>,
    ) -> Beats {
        let room = self.config.max_message_bytes / 2 / BEAT_BYTES;
        let now = self.moment();
        let unit = age_unit(self.config.interval);
        let windows = self.roster.len().div_ceil(room.max(1)).max(1);
        let first = if windows == 1 {
            0
        } else {
            self.random_below(buckets.count())
        };
        let mut beats = Beats {
            buckets: u32::try_from(buckets.count()).unwrap_or(u32::MAX),
            first: u32::try_from(first).unwrap_or(u32::MAX),
            ..Beats::default()
        };
        for (bucket, sums) in ours.iter().enumerate().skip(first) {
            let rows = self.roster.slice(self.roster.range(buckets.span(bucket)));
            if beats.beats.len() + rows.len() > room {
                break;
            }
            let sum = fold(sums.roster);
            let agreed = theirs.is_none_or(|theirs| theirs.sum_of(bucket) == Some(sum));
            let rows = if agreed { rows } else { &[] };
            let nodes = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            beats.rosters.push(BucketRoster { sum, nodes });
            beats.beats.extend(rows.iter().map(|row| Beat {
                number: row.pulse.heartbeat as u16,
                age: age_in(row.pulse.age(now), unit),
            }));
        }
        beats
    }

    /// Takes the heartbeats that are news, and notes whether the sender knows this life of the node. O(nodes).
    pub(super) fn take_beats(&mut self, header: &Header, beats: &Beats) {
        let Some(buckets) = Buckets::of_count(beats.buckets as usize) else {
            return;
        };
        let now = self.moment();
        self.heard_at = now;
        let sums = self.sums(buckets);
        let mut rest = beats.beats.as_slice();
        let mut awake = Vec::new();
        for (bucket, roster) in (beats.first as usize..).zip(&beats.rosters) {
            let Some((these, others)) = rest.split_at_checked(roster.nodes as usize) else {
                break;
            };
            rest = others;
            let range = self.roster.range(buckets.span(bucket));
            let same = sums
                .get(bucket)
                .is_some_and(|sums| fold(sums.roster) == roster.sum);
            if same && range.len() == these.len() {
                let unit = age_unit(header.interval);
                let own = self.take_bucket(range, these, unit, now, &mut awake);
                if let Some(own) = own {
                    self.meet_own(header.from, own);
                }
            }
        }
        for id in awake {
            self.judge(id);
        }
    }

    /// What a peer knows as this node's heartbeat, however old. What this life has not made was made by an earlier one of the same
    /// generation: a double at another address would have been refused.
    fn meet_own(&mut self, from: NodeId, number: u16) {
        let own = self.heard(self.local.id);
        let ago = (own as u16).wrapping_sub(number);
        if u64::from(ago) > own.saturating_sub(self.first_heartbeat) {
            self.report_generation(self.local.generation);
        } else {
            self.taken_up_by.insert(from);
        }
    }

    /// Heartbeats of one bucket, that of this node aside, which is given back; `awake` are those on whom the verdict may change.
    fn take_bucket(
        &mut self,
        range: std::ops::Range<usize>,
        beats: &[Beat],
        unit: Duration,
        now: Moment,
        awake: &mut Vec<NodeId>,
    ) -> Option<u16> {
        let window = self.lag_window();
        let stale = self.config.interval * STALE;
        let mut own = None;
        let rows = self.roster.slice_mut(range).iter_mut();
        for (row, beat) in rows.zip(beats) {
            if row.id == self.local.id {
                own = Some(beat.number);
                continue;
            }
            if beat.age == Beat::TOO_OLD {
                continue;
            }
            let pulse = &mut row.pulse;
            let advance = beat.number.wrapping_sub(pulse.heartbeat as u16);
            // Serial numbers: what is more than half of all numbers ahead is behind, unless this node has heard none for long.
            let newer = (1..=i16::MAX as u16).contains(&advance);
            if !newer && (advance == 0 || pulse.known_for(now) < stale) {
                continue;
            }
            let heartbeat = pulse.heartbeat.saturating_add(advance.into());
            let made = now.minus(unit * u32::from(beat.age));
            if let Some(age) = pulse.beat(now, heartbeat, made, &self.usual_lag) {
                self.usual_lag.learn_usual(age, window);
            }
            if !pulse.live || self.probing.suspects(row.id) {
                awake.push(row.id);
            }
        }
        own
    }

    /// A heartbeat that came by itself. Whether it was news.
    pub(super) fn take_beat(
        &mut self,
        id: NodeId,
        generation: u64,
        heartbeat: u64,
        age: u8,
        unit: Duration,
    ) -> bool {
        let (now, window) = (self.moment(), self.lag_window());
        let Some(row) = self
            .roster
            .get_mut(id)
            .filter(|row| row.generation() == generation)
        else {
            return false;
        };
        row.pulse.heard = row.pulse.heard.max(heartbeat);
        if heartbeat <= row.pulse.heartbeat || age == Beat::TOO_OLD {
            return false;
        }
        let made = now.minus(unit * u32::from(age));
        if let Some(age) = row.pulse.beat(now, heartbeat, made, &self.usual_lag) {
            self.usual_lag.learn_usual(age, window);
        }
        true
    }

    /// This node's heartbeat for a new round.
    pub(super) fn beat(&mut self) {
        let now = self.moment();
        if let Some(row) = self.roster.get_mut(self.local.id)
            && row.pulse.heartbeat < self.heartbeats_allowed
        {
            let heartbeat = row.pulse.heartbeat + 1;
            row.pulse.heard = heartbeat;
            row.pulse.beat(now, heartbeat, now, &self.usual_lag);
        }
    }

    /// How many rounds a node has made, as far as is known: over all its lives if it keeps count of them. O(log nodes).
    pub fn heartbeats(&self, id: NodeId) -> Option<u64> {
        let heartbeat = self.roster.get(id)?.pulse.heartbeat;
        Some(heartbeat.checked_sub(LASTING).unwrap_or(heartbeat))
    }

    /// What is passed on in full.
    pub(super) fn heard(&self, id: NodeId) -> u64 {
        self.roster.get(id).map_or(0, |row| row.pulse.heard)
    }

    /// For a node that keeps count of its heartbeats: makes none beyond `upto` until more are allowed, so that after any crash
    /// [`LocalNode::heartbeats_before`](crate::LocalNode::heartbeats_before) can be told without a write for each. `upto` must
    /// be durable already. One that has used them up falls silent.
    pub fn allow_heartbeats(&mut self, upto: u64) {
        self.heartbeats_allowed = LASTING.saturating_add(upto);
    }

    /// A node that keeps count of its heartbeats never goes back in it, in no life. One that does has lost its memory: what it
    /// acknowledged since, too. Its life is refused, and whoever believes in it will be told of the one before.
    pub(super) fn check_memory(
        &mut self,
        id: NodeId,
        generation: u64,
        heartbeat: u64,
    ) -> Result<()> {
        let known = self.heard(id);
        if !has_lost_memory(heartbeat, known) {
            return Ok(());
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.refused = peer.refused.max(Some(generation));
        }
        Err(Error::LostMemory {
            id,
            known: known - LASTING,
            given: heartbeat.saturating_sub(LASTING),
        })
    }

    /// The age of what is known of a node, for a message.
    pub(super) fn age_of(&self, id: NodeId) -> u8 {
        let unit = age_unit(self.config.interval);
        let row = self.roster.get(id);
        row.map_or(Beat::TOO_OLD, |row| {
            age_in(row.pulse.age(self.moment()), unit)
        })
    }

    fn lag_window(&self) -> u32 {
        let nodes = u32::try_from(self.roster.len()).unwrap_or(u32::MAX);
        nodes.saturating_mul(SAMPLES_A_NODE)
    }
}

impl Beats {
    fn sum_of(&self, bucket: usize) -> Option<u32> {
        let index = bucket.checked_sub(self.first as usize)?;
        self.rosters.get(index).map(|roster| roster.sum)
    }
}

/// What ages are counted in.
pub(super) fn age_unit(interval: Duration) -> Duration {
    (interval / 8).min(UNIT_MAX)
}

/// The first heartbeat of a life.
pub(super) fn first(before: Option<u64>) -> u64 {
    before.map_or(0, |before| LASTING.saturating_add(before))
}

/// Whether a life that begins with `heartbeat` has forgotten another that came to `known`.
pub(super) fn has_lost_memory(heartbeat: u64, known: u64) -> bool {
    known >= LASTING && heartbeat < known
}

/// When a heartbeat of that age was made.
pub(super) fn made_at(now: Moment, age: u8, unit: Duration) -> Option<Moment> {
    (age != Beat::TOO_OLD).then(|| now.minus(unit * u32::from(age)))
}

/// Rounded up, so that nothing grows younger on its way.
fn age_in(age: Duration, unit: Duration) -> u8 {
    let units = age.as_micros().div_ceil(unit.as_micros().max(1));
    u8::try_from(units).unwrap_or(Beat::TOO_OLD)
}

/// A sum for the wire.
pub(super) fn fold(sum: u64) -> u32 {
    (sum >> 32) as u32 ^ sum as u32
}

const BEAT_BYTES: usize = 3;
/// From here on heartbeats are of nodes that keep count of them over all their lives. No single life comes so far.
const LASTING: u64 = 1 << 40;
const UNIT_MAX: Duration = Duration::from_secs(3600);
/// Intervals without a heartbeat after which any other number is taken for a newer one.
const STALE: u32 = 8192;
/// How many samples of each node the usual lag remembers.
const SAMPLES_A_NODE: u32 = 32;
