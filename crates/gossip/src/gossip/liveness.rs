//! Who counts as live: a local, temporary opinion.

use std::time::Instant;

use dynamokv_ring::NodeId;

use super::Gossip;
use crate::{Event, NodeState};

impl Gossip {
    /// Whether the node counts as live; this one always does. O(log nodes).
    pub fn is_live(&self, id: NodeId) -> bool {
        id == self.local.id || self.peers.get(&id).is_some_and(|peer| peer.live)
    }

    /// How many count as live, this node included. O(nodes).
    pub fn live_count(&self) -> usize {
        1 + self.peers.values().filter(|peer| peer.live).count()
    }

    /// The suspicion against a node: see [`Config::phi_threshold`](crate::Config::phi_threshold).
    pub fn phi(&self, id: NodeId, now: Instant) -> Option<f64> {
        let peer = self.peers.get(&id)?;
        Some(peer.detector.phi(now, &self.bounds()))
    }

    /// A request to the node was answered: it is not taken for dead.
    pub fn report_success(&mut self, id: NodeId, now: Instant) {
        self.advance(now);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.detector.success(self.now);
            self.judge(id);
        }
    }

    /// A request to the node failed or timed out: some in a row convict it at once.
    pub fn report_failure(&mut self, id: NodeId, now: Instant) {
        self.advance(now);
        let bounds = self.bounds();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.detector.failure(&bounds);
            self.judge(id);
        }
    }

    /// Takes the node's heartbeat, if it is news.
    pub(super) fn heartbeat(&mut self, id: NodeId, generation: u64, heartbeat: u64) {
        let (now, bounds) = (self.now, self.bounds());
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if peer.state.generation == generation && heartbeat > peer.state.heartbeat {
            peer.state.heartbeat = heartbeat;
            peer.detector.heartbeat(now, &bounds);
            self.judge(id);
        }
    }

    pub(super) fn judge_all(&mut self) {
        let ids: Vec<NodeId> = self.peers.keys().copied().collect();
        for id in ids {
            self.judge(id);
        }
    }

    pub(super) fn judge(&mut self, id: NodeId) {
        let (now, bounds) = (self.now, self.bounds());
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let live = !peer.state.is_stopping() && peer.detector.is_live(now, &bounds);
        if live != peer.live {
            peer.live = live;
            self.push(if live { Event::Up(id) } else { Event::Down(id) });
        }
    }

    /// After a pause of this process: its own lateness is nobody's fault.
    pub(super) fn forgive_all(&mut self) {
        let now = self.now;
        for peer in self.peers.values_mut().filter(|peer| peer.live) {
            peer.detector.forgive(now);
        }
    }

    /// Whether the node at that address is certainly alive, so that another address cannot be the same node.
    pub(super) fn holds_its_address(&self, state: &NodeState) -> bool {
        let bounds = self.bounds();
        let peer = self.peers.get(&state.id);
        peer.is_some_and(|peer| peer.live && peer.detector.is_beyond_doubt(self.now, &bounds))
    }
}
