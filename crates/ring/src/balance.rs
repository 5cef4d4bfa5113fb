use std::collections::BTreeMap;

use crate::spread::Spread;
use crate::{NodeId, Placement, shares};

/// How evenly a placement spreads the tokens over the nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance {
    /// One entry a member, in the order of the ids.
    pub nodes: Vec<NodeLoad>,
}

/// What one node owns. All figures are fractions of the tokens of the ring: a node that holds a replica of everything
/// has `owned` 1.0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodeLoad {
    /// The node.
    pub id: NodeId,
    /// Replicas held.
    pub owned: f64,
    /// Replicas held as the first in the preference list.
    pub primary: f64,
    /// The replicas that are its share by weight: the weighted part of all, but one replica of a partition at most.
    /// Zones are not taken into account.
    pub share: f64,
    /// The share that can be had: as `share`, and every zone takes as many copies of a partition as the spread over the
    /// zones lets it. The same as `share` where the zones weigh about the same.
    pub feasible: f64,
}

impl Balance {
    /// Measures a placement. O(partitions x N + members x log members).
    pub fn of(placement: &(impl Placement + ?Sized)) -> Balance {
        let mut loads: BTreeMap<NodeId, NodeLoad> = shares(placement);
        for partition in placement.partition_ids() {
            let range = placement.range_of(partition);
            let width = (range.last.0 - range.first.0) as f64 / u64::MAX as f64;
            for (place, owner) in placement.owners_of(partition).iter().enumerate() {
                if let Some(load) = loads.get_mut(owner) {
                    load.owned += width;
                    load.primary += if place == 0 { width } else { 0.0 };
                }
            }
        }
        Balance {
            nodes: loads.into_values().collect(),
        }
    }

    /// The greatest `owned / share` of any node: 1.0 is perfect; 0.0 without nodes.
    pub fn peak(&self) -> f64 {
        self.greatest(|node| node.owned / node.share)
    }

    /// The greatest `primary / (share of the primaries)` of any node; 0.0 without nodes.
    pub fn peak_primary(&self) -> f64 {
        let shares: f64 = self.nodes.iter().map(|node| node.share).sum();
        self.greatest(|node| node.primary / (node.share / shares))
    }

    /// The greatest `owned / feasible` of any node: 1.0 is the optimum, which always exists; 0.0 without nodes.
    pub fn excess(&self) -> f64 {
        self.greatest(|node| node.owned / node.feasible)
    }

    /// The greatest `primary / (feasible share of the primaries)` of any node; 0.0 without nodes.
    pub fn excess_primary(&self) -> f64 {
        let copies: f64 = self.nodes.iter().map(|node| node.feasible).sum();
        self.greatest(|node| node.primary / (node.feasible / copies))
    }

    fn greatest(&self, of: impl Fn(&NodeLoad) -> f64) -> f64 {
        self.nodes.iter().map(of).fold(0.0, f64::max)
    }
}

/// Empty loads with the share of each member: weights in proportion, none above one copy of everything.
fn shares(placement: &(impl Placement + ?Sized)) -> BTreeMap<NodeId, NodeLoad> {
    let mut by_weight: Vec<_> = placement.members().iter().collect();
    by_weight.sort_by_key(|member| std::cmp::Reverse(member.weight));
    let mut copies = placement.replicas_wanted().min(by_weight.len()) as f64;
    let mut weights: f64 = by_weight.iter().map(|m| f64::from(m.weight.get())).sum();
    let feasible = feasible(placement);
    let mut loads = BTreeMap::new();
    for member in by_weight {
        let weight = f64::from(member.weight.get());
        let share = (copies * weight / weights).min(1.0);
        if share == 1.0 {
            // What is above its one copy falls to the lighter ones.
            copies -= 1.0;
            weights -= weight;
        }
        loads.insert(
            member.id,
            NodeLoad {
                id: member.id,
                owned: 0.0,
                primary: 0.0,
                share,
                feasible: feasible.get(&member.id).copied().unwrap_or(share),
            },
        );
    }
    loads
}

fn feasible(placement: &(impl Placement + ?Sized)) -> BTreeMap<NodeId, f64> {
    let members = placement.members();
    let spread = Spread::new(members, placement.replicas_wanted());
    let shares = shares::shares(members, &spread, RESOLUTION_BITS);
    let whole = (1u64 << (RESOLUTION_BITS + shares::SHARE_BITS)) as f64;
    let ids = members.iter().map(|member| member.id);
    ids.zip(shares.iter().map(|&share| share as f64 / whole))
        .collect()
}

/// Shares are reckoned in 2^-16 of 2^-16 of the tokens.
const RESOLUTION_BITS: u32 = 16;
