//! A second opinion before a verdict, and how much this node may trust its own (SWIM, Das et al. 2002; Lifeguard,
//! Dadgar et al. 2018).
//!
//! A node that has been silent for too long is pinged, and some others are asked to ping it. Only if nobody hears it
//! within [`Config::probe_timeout`](crate::Config::probe_timeout) it counts as down. That wait grows with every sign that
//! this node is itself the slow one: a late round, or a suspect that others reach.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use dynamokv_ring::NodeId;

use super::{Gossip, Outgoing};
use crate::moment::Moment;
use crate::{Event, Header, Message, Probe, Vouch};

/// Questions under way, to others and from them.
#[derive(Debug, Default)]
pub(super) struct Probing {
    /// Those that are asked about, and since when.
    suspects: BTreeMap<NodeId, Moment>,
    /// Who wants to know of whom.
    askers: VecDeque<Asker>,
    outgoing: VecDeque<Outgoing>,
    begun_this_round: usize,
    /// 0: this node is in good health; up to [`SICKNESS_MAX`].
    sickness: u32,
    /// Whether anybody answered since the last round.
    answered: bool,
}

#[derive(Debug)]
struct Asker {
    target: NodeId,
    id: NodeId,
    address: String,
    asked: Moment,
}

impl Probing {
    pub(super) fn poll_outgoing(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    pub(super) fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    pub(super) fn suspects(&self, id: NodeId) -> bool {
        self.suspects.contains_key(&id)
    }

    fn push(&mut self, outgoing: Outgoing) {
        if self.outgoing.len() >= OUTGOING_MAX {
            self.outgoing.pop_front();
        }
        self.outgoing.push_back(outgoing);
    }
}

impl Gossip {
    /// How much this node mistrusts itself: 0 in good health, up to 8. Each step makes it wait longer before a verdict.
    pub fn sickness(&self) -> u32 {
        self.probing.sickness
    }

    /// The nodes that others are asked about now, by id.
    pub fn suspects(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.probing.suspects.keys().copied()
    }

    /// A new round: `late` if it comes much later than it should.
    pub(super) fn assess_own_health(&mut self, late: bool) {
        let probing = &mut self.probing;
        probing.begun_this_round = 0;
        if late {
            probing.sickness = (probing.sickness + 1).min(SICKNESS_MAX);
        } else if std::mem::take(&mut probing.answered) {
            probing.sickness = probing.sickness.saturating_sub(1);
        }
    }

    /// Somebody answered this node in time.
    pub(super) fn was_answered(&mut self) {
        self.probing.answered = true;
    }

    /// A silent node that still counts as live: whether the time for others to hear it is over.
    pub(super) fn is_convicted(&mut self, id: NodeId) -> bool {
        let now = self.moment();
        let patience = self.config.probe_timeout * (1 + self.probing.sickness);
        if let Some(since) = self.probing.suspects.get(&id) {
            let over = now.since(*since) >= patience;
            if over {
                self.probing.suspects.remove(&id);
            }
            return over;
        }
        self.probing.suspects.insert(id, now);
        self.push(Event::Suspected(id));
        // Where half of the cluster is silent, some samples tell as much as all.
        if self.probing.begun_this_round < PROBED_A_ROUND {
            self.probing.begun_this_round += 1;
            self.ping(id);
            let target = Probe {
                header: self.header(),
                target: id,
            };
            for helper in self.random_peers(true, self.config.probe_helpers + 1) {
                if helper != id {
                    self.send_to(helper, Message::Probe(target.clone()));
                }
            }
        }
        false
    }

    pub(super) fn acquit(&mut self, id: NodeId) {
        self.probing.suspects.remove(&id);
    }

    /// Some have a look at a node that is nearly suspect; with luck its heartbeat reaches the others in time.
    pub(super) fn look_after(&mut self, id: NodeId, live: usize) {
        if self.chance(LOOKED_AFTER_BY / live.max(1) as f64) {
            self.ping(id);
        }
    }

    /// Pings the target on behalf of the sender.
    pub(super) fn handle_probe(&mut self, probe: Probe) {
        let Probe { header, target } = probe;
        if !self.peers.contains_key(&target) {
            return;
        }
        let now = self.moment();
        let expired = self.config.interval * ASKED_FOR;
        self.probing
            .askers
            .retain(|asker| now.since(asker.asked) < expired);
        let pinged = self.probing.askers.iter().any(|asker| {
            asker.target == target && now.since(asker.asked) < self.config.probe_timeout
        });
        if self.probing.askers.len() >= ASKERS_MAX {
            self.probing.askers.pop_front();
        }
        let Header { from, address, .. } = header;
        self.probing.askers.push_back(Asker {
            target,
            id: from,
            address,
            asked: now,
        });
        // One ping answers all who ask at about the same time.
        if !pinged {
            self.ping(target);
        }
    }

    /// The sender answered a ping: whoever asked about it is told.
    pub(super) fn handle_pong(&mut self, from: &Header) {
        let (asked, rest) = std::mem::take(&mut self.probing.askers)
            .into_iter()
            .partition::<VecDeque<Asker>, _>(|asker| asker.target == from.from);
        self.probing.askers = rest;
        for asker in asked {
            let message = Message::Vouch(Vouch {
                header: self.header(),
                target: from.from,
                generation: from.generation,
                heartbeat: from.heartbeat,
            });
            self.probing.push(Outgoing {
                to: asker.address,
                to_node: Some(asker.id),
                message,
            });
        }
    }

    /// Somebody else reached a node that this one may not have heard.
    pub(super) fn handle_vouch(&mut self, vouch: &Vouch) {
        let Vouch {
            target,
            generation,
            heartbeat,
            ..
        } = *vouch;
        let now = self.moment();
        if self
            .roster
            .get(target)
            .is_none_or(|row| row.generation() != generation)
            || target == self.local.id
        {
            return;
        }
        self.take_beat(target, generation, heartbeat, 0, Duration::ZERO);
        if let Some(row) = self.roster.get_mut(target) {
            row.pulse.vouched(now);
        }
        if self.probing.suspects(target) {
            self.probing.sickness = (self.probing.sickness + 1).min(SICKNESS_MAX);
        }
        self.judge(target);
    }

    fn ping(&mut self, id: NodeId) {
        let message = Message::Ping(self.header());
        self.send_to(id, message);
    }

    fn send_to(&mut self, id: NodeId, message: Message) {
        if let Some(to) = self.address_of(id).map(str::to_owned) {
            self.probing.push(Outgoing {
                to,
                to_node: Some(id),
                message,
            });
        }
    }
}

/// Suspects that are pinged in one round.
const PROBED_A_ROUND: usize = 16;
/// How many nodes of the cluster look after one that is nearly suspect, in each round.
const LOOKED_AFTER_BY: f64 = 3.0;
const SICKNESS_MAX: u32 = 8;
const ASKERS_MAX: usize = 1024;
/// Intervals after which nobody waits for an answer any more.
const ASKED_FOR: u32 = 4;
const OUTGOING_MAX: usize = 1024;
