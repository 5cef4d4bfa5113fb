//! What a change of membership will do, before it does it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Balance, Move, NodeId, PartitionId, PartitionRing, Placement, Release, Result, Zone, diff,
    releases,
};

/// What the way from one ring to the next moves, and how the next one stands.
///
/// ```
/// # use dynamokv_ring::{Forecast, Member, NodeId, PartitionRing};
/// let nodes = |count| (1..=count).map(|id| Member::new(NodeId(id)));
/// let four = PartitionRing::new(64, 1, [])?.next(3, nodes(4))?;
/// let forecast = Forecast::of(&four, &four.next(3, nodes(5))?)?;
/// assert_eq!(forecast.moves.len(), 38, "a fifth of the 192 replicas");
/// assert_eq!(forecast.least, 38);
/// # Ok::<(), dynamokv_ring::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The replicas that are brought to new owners.
    pub moves: Vec<Move>,
    /// The replicas that are let go.
    pub releases: Vec<Release>,
    /// No ring of the next members moves fewer replicas and gives every member its share: a lower bound, which
    /// takes no account of zones.
    pub least: usize,
    /// What a node of the next ring holds at most, by its feasible share: see [`Balance::excess`].
    pub excess: f64,
    /// The partitions of the next ring that have fewer than N copies: all of them, where there are fewer members.
    pub short: usize,
    /// The zones that have more than one copy of a partition in the next ring, and of which partitions.
    pub crowded: BTreeMap<Zone, BTreeSet<PartitionId>>,
}

impl Forecast {
    /// What a change from one ring to the next does. O(partitions x N^2).
    ///
    /// # Errors
    /// [`Error::PartitionsDiffer`](crate::Error::PartitionsDiffer) if the rings have different numbers of partitions.
    pub fn of(current: &PartitionRing, next: &PartitionRing) -> Result<Self> {
        let wanted = next.replicas_wanted();
        let short = |partition: &PartitionId| next.owners_of(*partition).len() < wanted;
        Ok(Self {
            moves: diff(current, next)?,
            releases: releases(current, next)?,
            least: least_moves(current, next),
            excess: Balance::of(next).excess(),
            short: next.partition_ids().filter(short).count(),
            crowded: crowded(next),
        })
    }

    /// How many replicas each node gains, by node.
    pub fn gained(&self) -> BTreeMap<NodeId, usize> {
        count(self.moves.iter().map(|mv| mv.to))
    }

    /// How many replicas each node loses, by node.
    pub fn lost(&self) -> BTreeMap<NodeId, usize> {
        count(self.releases.iter().map(|release| release.node))
    }
}

fn count(nodes: impl Iterator<Item = NodeId>) -> BTreeMap<NodeId, usize> {
    let mut counts = BTreeMap::new();
    for node in nodes {
        *counts.entry(node).or_default() += 1;
    }
    counts
}

/// The replicas that change hands come to places that are new or whose owner is gone; and whoever holds less than its share, rounded
/// down, must be brought the rest. Both are least numbers of moves.
fn least_moves(current: &PartitionRing, next: &PartitionRing) -> usize {
    let held = |ring: &PartitionRing| {
        count(
            ring.partition_ids()
                .flat_map(|partition| ring.owners_of(partition).iter().copied()),
        )
    };
    let before = held(current);
    let places: usize = held(next).values().sum();
    let stay = |(id, held): (&NodeId, &usize)| next.member(*id).map_or(0, |_| *held);
    let vacant = places.saturating_sub(before.iter().map(stay).sum());
    let partitions = f64::from(next.partitions());
    let lacking = Balance::of(next).nodes.into_iter().map(|node| {
        // A hair above, as the share may be a whole number less a rounding error.
        let share = (node.feasible * partitions + 1e-6).floor() as usize;
        share.saturating_sub(before.get(&node.id).copied().unwrap_or_default())
    });
    vacant.max(lacking.sum())
}

fn crowded(ring: &PartitionRing) -> BTreeMap<Zone, BTreeSet<PartitionId>> {
    let mut crowded: BTreeMap<Zone, BTreeSet<PartitionId>> = BTreeMap::new();
    for partition in ring.partition_ids() {
        let mut taken = BTreeSet::new();
        let zones = ring.owners_of(partition).iter();
        for zone in zones.filter_map(|id| Some(&ring.member(*id)?.zone)) {
            if !taken.insert(zone) {
                crowded.entry(zone.clone()).or_default().insert(partition);
            }
        }
    }
    crowded
}
