//! Owners of a partition compare their copies all the time, and each pulls what differs: so replicas converge without
//! anybody reading. Nothing is pushed and nothing deleted, only joined.

use std::sync::Arc;
use std::time::Duration;

use dynamokv_coordinator::{Membership, View};
use dynamokv_handoff::{Entry, Page, Pair, RangePurpose, RangeRequest, Rotation, Stretch};
use dynamokv_ring::{NodeId, Token};
use dynamokv_storage::{ObjectKey, WriteSeq};

use crate::core::Core;
use crate::refill::Refill;
use crate::transport::Transport;

/// How much is compared at once. Bounded by items too, so that a scan stays short.
const STRETCH_ITEMS: usize = 128;
const STRETCH_BYTES: usize = 256 << 10;
/// An answer may have more than the stretch has here: what differs is what this node lacks.
const ANSWER_BYTES: usize = 1 << 20;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What one interval may use up, in bytes scanned here and received; a request counts as some too, whatever it moves.
const INTERVAL_BYTES: usize = 1 << 20;
const REQUEST_BYTES: usize = 8 << 10;

/// Goes round all pairs of this node and other owners for as long as the node runs.
pub(crate) async fn run<T: Transport>(core: Arc<Core<T>>, interval: Duration) {
    let mut rotation = Rotation::new(core.me);
    let mut budget = Budget { interval, left: 0 };
    let mut refill = Refill::default();
    budget.refill().await;
    loop {
        let view = core.cluster.view();
        match rotation.next_pair(view.current.as_ref(), &view.live) {
            Some(pair) => match exchange(&core, pair, &mut budget).await {
                Ok(whole) if whole => refill.compared(&core, pair),
                Ok(_) => {}
                Err(error) => {
                    let Pair { partition, peer } = pair;
                    tracing::debug!(%partition, %peer, %error, "copies could not be compared");
                }
            },
            None => {
                refill.review(&core);
                budget.refill().await;
            }
        }
    }
}

/// Compares one partition with one peer, stretch by stretch. Whether the whole of it was compared.
async fn exchange<T: Transport>(
    core: &Core<T>,
    pair: Pair,
    budget: &mut Budget,
) -> Result<bool, crate::Error> {
    let mut after = None;
    loop {
        budget.pause().await;
        match exchange_stretch(core, pair, after.as_ref(), budget).await? {
            Stretched::To(next) if Some(&next) > after.as_ref() => after = Some(next),
            // A peer that leads nowhere must not keep this node from the others.
            Stretched::To(_) | Stretched::Over => return Ok(false),
            Stretched::ToTheEnd => return Ok(true),
        }
    }
}

/// How far a comparison has come.
enum Stretched {
    /// To this key.
    To(ObjectKey),
    /// To the end of the partition.
    ToTheEnd,
    /// The two do not share the partition any more.
    Over,
}

/// Compares what lies behind `after` and joins what differs.
async fn exchange_stretch<T: Transport>(
    core: &Core<T>,
    pair: Pair,
    after: Option<&ObjectKey>,
    budget: &mut Budget,
) -> Result<Stretched, crate::Error> {
    let Pair { partition, peer } = pair;
    let view = core.cluster.view();
    let range = view.current.range_of(partition);
    if !view.current.owns(core.me, partition)
        || !view.current.owns(peer, partition)
        || !takes_writes(&view, core.me, range.first)
    {
        return Ok(Stretched::Over);
    }
    let own = core
        .store
        .scan(range, after, STRETCH_ITEMS, STRETCH_BYTES)?;
    let own = Page::from(own);
    budget.charge(REQUEST_BYTES + own.bytes());
    let request = RangeRequest {
        partition,
        after: after.cloned(),
        bytes_max: ANSWER_BYTES,
        purpose: RangePurpose::Exchange(Stretch::of(&own)),
    };
    let answer = core
        .transport
        .fetch_range(peer, view.fence, &request, ANSWER_TIMEOUT)
        .await;
    core.report(peer, &answer);
    let theirs = answer?;
    budget.charge(theirs.bytes());
    if let Some(newest) = join(core, &theirs.entries)? {
        tracing::debug!(%partition, %peer, objects = theirs.entries.len(), "differing copies joined");
        core.store.settled(newest).await?;
    }
    Ok(theirs.next.map_or(Stretched::ToTheEnd, Stretched::To))
}

/// Joins what this node takes under the present view; the next stage of a membership change waits meanwhile.
fn join<T: Transport>(
    core: &Core<T>,
    entries: &[Entry],
) -> Result<Option<WriteSeq>, dynamokv_storage::Error> {
    let (_guard, view) = core.begin();
    core.join_all(
        entries
            .iter()
            .filter(|entry| takes_writes(&view, core.me, entry.key.token())),
    )
}

/// Whether writes go to `node` as an owner. Less than [`View::stores`]: what a node is about to let go of gets
/// nothing new, or it could be left behind there.
fn takes_writes(view: &View, node: NodeId, token: Token) -> bool {
    let sets = view.write_sets(token);
    sets.iter().any(|set| set.contains(&node))
}

/// What may still be used up in this interval.
struct Budget {
    interval: Duration,
    left: usize,
}

impl Budget {
    fn charge(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// Lets others run; for an interval if nothing is left.
    async fn pause(&mut self) {
        if self.left == 0 {
            self.refill().await;
        } else {
            tokio::task::yield_now().await;
        }
    }

    async fn refill(&mut self) {
        tokio::time::sleep(self.interval).await;
        self.left = INTERVAL_BYTES;
    }
}

#[cfg(test)]
mod tests {
    use dynamokv_coordinator::WritePhase;

    use super::*;
    use crate::deliver::tests::view;

    #[test]
    fn what_an_exchange_brings_is_kept_by_those_alone_who_will_not_let_go_of_it() {
        let keepers = |writes| {
            let keeps = |id: &u64| takes_writes(&view(writes), NodeId(*id), Token(0));
            (1..=5).filter(keeps).collect::<Vec<u64>>()
        };
        assert_eq!(keepers(WritePhase::Current), [1, 2]);
        assert_eq!(keepers(WritePhase::Both), [1, 2, 3, 4]);
        assert_eq!(keepers(WritePhase::Next), [3, 4]);
    }
}
