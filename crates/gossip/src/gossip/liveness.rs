//! Who counts as live: a local, temporary opinion.

use std::time::{Duration, Instant};

use dynamokv_ring::NodeId;

use super::Gossip;
use crate::detector::Bounds;
use crate::{Event, NodeState};

impl Gossip {
    /// Whether the node counts as live; this one always does. O(log nodes).
    pub fn is_live(&self, id: NodeId) -> bool {
        id == self.local.id || self.roster.get(id).is_some_and(|row| row.pulse.live)
    }

    /// How many count as live, this node included. O(nodes).
    pub fn live_count(&self) -> usize {
        self.roster
            .rows()
            .iter()
            .filter(|row| row.pulse.live)
            .count()
    }

    /// The suspicion against a node: see [`Config::phi_threshold`](crate::Config::phi_threshold). O(log nodes).
    pub fn phi(&self, id: NodeId, now: Instant) -> Option<f64> {
        if id == self.local.id {
            return None;
        }
        let row = self.roster.get(id)?;
        Some(
            row.pulse
                .phi(self.moment_of(now.max(self.now)), &self.bounds()),
        )
    }

    /// A request to the node was answered: it is not taken for dead.
    pub fn report_success(&mut self, id: NodeId, now: Instant) {
        self.advance(now);
        self.answered_by(id);
    }

    /// A request to the node failed or timed out: some in a row convict it at once.
    pub fn report_failure(&mut self, id: NodeId, now: Instant) {
        self.advance(now);
        let bounds = self.bounds();
        if let Some(row) = self.roster.get_mut(id) {
            row.pulse.failure(&bounds);
            self.judge(id);
        }
    }

    /// The node itself wrote to this one, or answered it.
    pub(super) fn answered_by(&mut self, id: NodeId) {
        let now = self.moment();
        if let Some(row) = self.roster.get_mut(id) {
            row.pulse.success(now);
            self.judge(id);
        }
    }

    pub(super) fn judge_all(&mut self) {
        let (now, bounds) = (self.moment(), self.bounds());
        let (mut judged, mut doubtful, mut live) = (Vec::new(), Vec::new(), 0);
        for row in self.roster.rows() {
            let pulse = &row.pulse;
            live += usize::from(pulse.live);
            let dead = pulse.stopping || pulse.is_failing(&bounds) || pulse.is_silent(now, &bounds);
            if dead == pulse.live {
                judged.push(row.id);
            } else if pulse.live && pulse.is_in_doubt(now, &bounds) {
                doubtful.push(row.id);
            }
        }
        for id in judged {
            self.judge(id);
        }
        for id in doubtful {
            self.look_after(id, live);
        }
    }

    pub(super) fn judge(&mut self, id: NodeId) {
        let (now, bounds) = (self.moment(), self.bounds());
        let Some(pulse) = self.roster.get(id).map(|row| row.pulse) else {
            return;
        };
        if id == self.local.id {
            return;
        }
        let live = if pulse.stopping || pulse.is_failing(&bounds) {
            false
        } else if pulse.is_silent(now, &bounds) {
            pulse.live && !self.is_convicted(id)
        } else {
            self.acquit(id);
            true
        };
        if live != pulse.live {
            self.acquit(id);
            if let Some(row) = self.roster.get_mut(id) {
                row.pulse.live = live;
            }
            self.push(if live { Event::Up(id) } else { Event::Down(id) });
        }
    }

    /// After a pause of this process: its own lateness is nobody's fault.
    pub(super) fn forgive_all(&mut self, gap: Duration) {
        let now = self.moment();
        for (_, pulse) in self.roster.pulses_mut() {
            pulse.forgive(gap, now);
        }
    }

    /// Whether the node at that address is certainly alive, so that another address cannot be the same node.
    pub(super) fn holds_its_address(&self, state: &NodeState) -> bool {
        let row = self.roster.get(state.id);
        row.is_some_and(|row| {
            row.pulse.live && row.pulse.is_beyond_doubt(self.moment(), &self.bounds())
        })
    }

    fn bounds(&self) -> Bounds {
        let deaf = self.moment().since(self.heard_at);
        let patience = self.config.interval * (DEAF_EXCUSED + self.sickness());
        Bounds {
            interval: self.config.interval,
            grace: self.config.grace,
            failures_to_suspect: self.config.failures_to_suspect,
            deviations: self.deviations,
            usual: self.usual_lag,
            excused: deaf.min(patience),
        }
    }
}

/// Intervals of hearing nobody that are this node's own misfortune; more than that are taken for the others' silence.
const DEAF_EXCUSED: u32 = 2;
