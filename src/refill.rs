//! What a restored node may have forgotten: it counts in no read of a partition before it has compared it with so many other
//! owners that one of them has whatever was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use dynamokv_coordinator::{Membership, View};
use dynamokv_ring::{NodeId, PartitionId};

use crate::core::Core;
use crate::exchange::Pair;
use crate::persist;
use crate::transport::Transport;

/// With whom the partitions were compared since the start.
#[derive(Default)]
pub(crate) struct Refill {
    compared: BTreeMap<PartitionId, BTreeSet<NodeId>>,
    unsaved: bool,
}

impl Refill {
    /// The whole of a partition was compared with an owner that has forgotten nothing of it.
    pub(crate) fn compared<T: Transport>(&mut self, core: &Core<T>, pair: Pair) {
        let view = core.cluster.view();
        let Pair { partition, peer } = pair;
        if !view.forgotten.contains(&partition) {
            return;
        }
        self.compared.entry(partition).or_default().insert(peer);
        if self.is_complete(&view, partition, core.write_quorum.get()) {
            self.recall(core, &BTreeSet::from([partition]));
        }
    }

    /// Looks at all partitions again, for the ring may have changed, and remembers which are left. O(those forgotten).
    pub(crate) fn review<T: Transport>(&mut self, core: &Core<T>) {
        let view = core.cluster.view();
        let write_quorum = core.write_quorum.get();
        let complete = |partition: &&PartitionId| {
            view.current.owns(core.me, **partition)
                && self.is_complete(&view, **partition, write_quorum)
        };
        let recalled: BTreeSet<PartitionId> =
            view.forgotten.iter().filter(complete).copied().collect();
        if !recalled.is_empty() {
            self.recall(core, &recalled);
        }
        if self.unsaved {
            self.save(core, &core.cluster.view().forgotten);
        }
    }

    fn recall<T: Transport>(&mut self, core: &Core<T>, partitions: &BTreeSet<PartitionId>) {
        let left: BTreeSet<PartitionId> = &*core.cluster.view().forgotten - partitions;
        let owned = |partition: &PartitionId| core.cluster.view().current.owns(core.me, *partition);
        let is_last = !left.iter().any(owned);
        self.unsaved = true;
        // The last is noted before anybody can see it: a stop right after must not ask for all of it again.
        if is_last {
            self.save(core, &left);
        }
        core.cluster.recalled(partitions);
        self.compared
            .retain(|partition, _| !partitions.contains(partition));
        if is_last {
            tracing::info!("all partitions are refilled: this node counts in reads again");
        }
    }

    fn save<T: Transport>(&mut self, core: &Core<T>, left: &BTreeSet<PartitionId>) {
        match persist::save_forgotten(&core.store, left) {
            Ok(()) => self.unsaved = false,
            Err(error) => tracing::warn!(%error, "what was refilled could not be noted"),
        }
    }

    fn is_complete(&self, view: &View, partition: PartitionId, write_quorum: usize) -> bool {
        let owners = view.current.owners_of(partition);
        let peers = self.compared.get(&partition);
        let compared = owners
            .iter()
            .filter(|owner| peers.is_some_and(|peers| peers.contains(owner)));
        let others = owners.len().saturating_sub(1);
        compared.count() >= needed(view.current.replicas_wanted(), write_quorum, others)
    }
}

/// Of the N-1 others at least W-1 have what this node has acknowledged, so any N-W+1 of them include one that has it. With
/// fewer others all of them are enough: more cannot be had.
fn needed(replicas: usize, write_quorum: usize, others: usize) -> usize {
    (replicas + 1).saturating_sub(write_quorum).min(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All sets of `of` nodes that have so many members, as bits.
    fn sets(of: usize, members: usize) -> impl Iterator<Item = u32> {
        (0..1_u32 << of).filter(move |set| set.count_ones() as usize == members)
    }

    #[test]
    fn whoever_is_compared_with_one_has_what_was_acknowledged_and_fewer_would_not_do() {
        for replicas in 1..=6 {
            // With W = 1 nobody else need have it.
            for write_quorum in 2..=replicas {
                let others = replicas - 1;
                let needed = needed(replicas, write_quorum, others);
                let missed = |compared: usize| {
                    sets(others, compared)
                        .any(|asked| sets(others, write_quorum - 1).any(|have| asked & have == 0))
                };
                assert!(!missed(needed), "N = {replicas}, W = {write_quorum}");
                assert!(missed(needed - 1), "N = {replicas}, W = {write_quorum}");
            }
        }
        assert_eq!(needed(3, 1, 2), 2, "all that there are");
        assert_eq!(needed(3, 2, 0), 0, "there is nobody to ask");
    }
}
