//! One comparison with one peer: of everything at once, then partition by partition, and the mending of those that differ.

use std::collections::BTreeSet;
use std::time::Duration;

use dynamokv_antientropy::{Answer, Parent, Prefix, Question, Sight, Verdict, leads, verdicts};
use dynamokv_coordinator::{Fence, Membership, ReplicaError, View};
use dynamokv_handoff::Entry;
use dynamokv_ring::{NodeId, PartitionId};
use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use super::{Pair, Rounds, mend, takes_writes};
use crate::core::Core;
use crate::transport::Transport;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// So many partitions are mended together: their questions share messages.
const PARTITIONS_TOGETHER: usize = 4;

/// So many such groups at once: one is compared or sent while another is joined.
const GROUPS_MAX: usize = 2;

/// Someone to compare with, under one view of the cluster.
pub(super) struct Peer<'a, T> {
    pub(super) core: &'a Core<T>,
    pub(super) id: NodeId,
    fence: Fence,
}

impl<T: Transport> Peer<'_, T> {
    /// Asks a question; refused when the cluster has changed since the comparison began.
    pub(super) async fn ask(
        &self,
        question: &Question<Entry>,
    ) -> Result<Answer<Entry>, crate::Error> {
        if self.core.cluster.fence() != self.fence {
            return Err(crate::Error::ExchangeOver { peer: self.id });
        }
        let transport = &self.core.transport;
        let answer = transport
            .exchange_trees(self.id, self.fence, question, ANSWER_TIMEOUT)
            .await;
        self.core.report(self.id, &answer);
        Ok(answer?)
    }

    /// Asks for the sums of some places.
    pub(super) async fn sums(
        &self,
        places: Vec<Parent>,
    ) -> Result<(Vec<Parent>, Vec<dynamokv_antientropy::Sums>), crate::Error> {
        let question = Question::Sums(places);
        let answer = self.ask(&question).await?;
        match (question, answer) {
            (Question::Sums(asked), Answer::Sums(sums)) => Ok((asked, sums)),
            _ => Err(unfit()),
        }
    }
}

/// An answer of another kind than the question's.
pub(super) fn unfit() -> crate::Error {
    ReplicaError::Failed("the answer does not fit the question".to_owned()).into()
}

pub(super) async fn compare<T: Transport>(
    core: &Core<T>,
    id: NodeId,
    rounds: &Rounds,
) -> Result<(), crate::Error> {
    let view = core.cluster.view();
    let fence = view.fence;
    let peer = Peer { core, id, fence };
    let same = |partition: PartitionId| {
        let pair = Pair {
            partition,
            peer: id,
        };
        core.ledger.same(pair, Instant::now());
        rounds.refill.lock().compared(core, pair);
    };
    let shared = Shared::of(&view, id);
    if shared.forgotten.is_empty()
        && let Some(sum) = shared.led_sum(core)
        && !shared.led.is_empty()
    {
        let overview = Question::Overview { from: core.me, sum };
        match peer.ask(&overview).await? {
            Answer::Same(true) => {
                shared.led.iter().for_each(|(id, _)| same(*id));
                return Ok(());
            }
            Answer::Same(false) => {}
            _ => return Err(unfit()),
        }
    }
    let all: BTreeSet<(PartitionId, Prefix)> =
        shared.led.union(&shared.forgotten).copied().collect();
    if all.is_empty() {
        return Ok(());
    }
    let asked = all.iter().map(|(_, prefix)| Parent::itself(*prefix));
    let (asked, sums) = peer.sums(asked.collect()).await?;
    let verdicts = verdicts(&core.trees, &asked, &sums)?;
    let mut differing = Vec::new();
    for ((partition, prefix), verdict) in all.into_iter().zip(verdicts) {
        match verdict {
            Verdict::Same => same(partition),
            Verdict::NotReady => {}
            Verdict::Differs => differing.push((partition, prefix)),
        }
    }
    mend_all(&peer, differing, &view, rounds).await
}

/// Mends all that differs.
async fn mend_all<T: Transport>(
    peer: &Peer<'_, T>,
    mut differing: Vec<(PartitionId, Prefix)>,
    view: &View,
    rounds: &Rounds,
) -> Result<(), crate::Error> {
    differing.sort_by_key(|(partition, _)| turn(view, peer.id, *partition));
    let now = Instant::now();
    for (partition, _) in &differing {
        let pair = Pair {
            partition: *partition,
            peer: peer.id,
        };
        peer.core.ledger.differs(pair, now);
    }
    let groups = differing.chunks(PARTITIONS_TOGETHER);
    let groups: Vec<_> = groups
        .map(|group| mend::group(peer, group, rounds))
        .collect();
    let groups = stream::iter(groups).buffer_unordered(GROUPS_MAX);
    let outcomes: Vec<_> = groups.collect().await;
    outcomes.into_iter().collect()
}

/// When a partition's turn comes in a round of this node with `peer`. Two owners who have what a third lacks come to it at
/// different times, or it would get everything twice: of the pairs of owners some begin at the start of the ring, some at its
/// end and go backwards, some in the middle.
fn turn(view: &View, peer: NodeId, partition: PartitionId) -> u32 {
    let owners = view.current.owners_of(partition);
    let place = |node| owners.iter().position(|owner| *owner == node).unwrap_or(0);
    let (at, all) = (partition.0, view.current.partitions());
    match (place(view.me) + place(peer)) % 3 {
        0 => at,
        1 => all - 1 - at.min(all - 1),
        _ => (at + all / 2) % all,
    }
}

/// The partitions that a node compares with a peer.
struct Shared {
    /// Those whose exchanges it leads.
    led: BTreeSet<(PartitionId, Prefix)>,
    /// Those of which it may have forgotten something: it asks everybody.
    forgotten: BTreeSet<(PartitionId, Prefix)>,
}

impl Shared {
    fn of(view: &View, peer: NodeId) -> Self {
        let ring = view.current.as_ref();
        let (mut led, mut forgotten) = (BTreeSet::new(), BTreeSet::new());
        for partition in ring.partition_ids() {
            let range = ring.range_of(partition);
            let shared = ring.owns(view.me, partition) && ring.owns(peer, partition);
            let (true, true, Some(prefix)) = (
                shared,
                takes_writes(view, view.me, range.first),
                Prefix::covering(range),
            ) else {
                continue;
            };
            if view.forgotten.contains(&partition) {
                forgotten.insert((partition, prefix));
            } else if leads(view.me, peer, partition) {
                led.insert((partition, prefix));
            }
        }
        Self { led, forgotten }
    }

    /// `None` while something is not counted.
    fn led_sum<T>(&self, core: &Core<T>) -> Option<u128> {
        self.led
            .iter()
            .try_fold(0, |sum, (_, prefix)| match core.trees.see(*prefix) {
                Sight::Sum(of) => Some(sum ^ of),
                Sight::TooFine | Sight::NotReady => None,
            })
    }
}
