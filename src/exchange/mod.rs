//! Owners of a partition compare their hash trees all the time, and mend what differs: so replicas converge without
//! anybody reading. Nothing is deleted, only joined.

mod answer;
mod ledger;
mod mend;
mod peer;

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use dynamokv_coordinator::{Membership, View};
use dynamokv_handoff::{Entry, Pace};
use dynamokv_ring::{NodeId, PartitionId, Token};
use dynamokv_storage::WriteSeq;
#[cfg(feature = "planted-bugs")]
use dynamokv_storage::planted::{self, Bug};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::core::Core;
use crate::refill::Refill;
use crate::transport::Transport;

pub(crate) use answer::answer;
pub(crate) use ledger::Ledger;

/// How hard copies are compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExchangeConfig {
    /// Between two comparisons with the same peer.
    pub(crate) interval: Duration,
    /// Objects received and sent by the exchanges that this node leads, and what is read to count trees anew.
    pub(crate) bytes_per_second: NonZeroU64,
}

/// A partition, and another owner of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    pub(crate) partition: PartitionId,
    pub(crate) peer: NodeId,
}

/// What the exchanges of a node share.
struct Rounds {
    pace: Mutex<Pace>,
    refill: Mutex<Refill>,
}

/// Compares with every live owner of what this node owns, once an interval each, for as long as the node runs. A
/// peer with which much is to be mended holds up no other.
pub(crate) async fn run<T: Transport>(core: Arc<Core<T>>, config: ExchangeConfig) {
    let rounds = Arc::new(Rounds {
        pace: Mutex::new(Pace::new(config.bytes_per_second)),
        refill: Mutex::default(),
    });
    // Tasks of their own: what comes from several peers is joined on as many threads as the runtime has.
    let mut under_way = JoinSet::new();
    let mut busy = BTreeSet::new();
    loop {
        let next = Instant::now() + config.interval;
        loop {
            tokio::select! {
                biased;
                Some(ended) = under_way.join_next() => match ended {
                    Ok(peer) => {
                        busy.remove(&peer);
                    }
                    // They are aborted together with this future only.
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(_) => return,
                    },
                },
                () = tokio::time::sleep_until(next) => break,
            }
        }
        for peer in peers(&core.cluster.view()) {
            if busy.insert(peer) {
                under_way.spawn(compare(Arc::clone(&core), peer, Arc::clone(&rounds)));
            }
        }
        rounds.refill.lock().review(&core);
    }
}

async fn compare<T: Transport>(core: Arc<Core<T>>, peer: NodeId, rounds: Arc<Rounds>) -> NodeId {
    if let Err(error) = peer::compare(&core, peer, &rounds).await {
        tracing::debug!(%peer, %error, "copies could not be compared");
    }
    peer
}

/// The live nodes, but this one.
fn peers(view: &View) -> Vec<NodeId> {
    let others = view.live.iter().copied().filter(|node| *node != view.me);
    others.filter(|node| view.current.contains(*node)).collect()
}

/// Joins what this node takes under the present view; the next stage of a membership change waits meanwhile.
async fn join<T: Transport>(
    core: &Core<T>,
    entries: &[Entry],
) -> Result<Option<WriteSeq>, dynamokv_storage::Error> {
    let (_guard, view) = core.begin();
    let taken = |entry: &&Entry| takes_writes(&view, core.me, entry.key.token());
    #[cfg(feature = "planted-bugs")]
    if planted::is(Bug::ExchangeOverwrites) {
        for entry in entries.iter().filter(taken) {
            core.store
                .settle(&entry.key, |_, settle| settle.drop_record())?;
        }
    }
    core.join_all(entries.iter().filter(taken)).await
}

/// Whether writes go to `node` as an owner. Less than [`View::stores`]: what a node is about to let go of gets
/// nothing new, or it could be left behind there.
fn takes_writes(view: &View, node: NodeId, token: Token) -> bool {
    let sets = view.write_sets(token);
    sets.iter().any(|set| set.contains(&node))
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
