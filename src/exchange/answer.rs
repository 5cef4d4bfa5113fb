//! The other side of an exchange: answers, and remembers nothing.

use dynamokv_antientropy::{
    Answer, Difference, Forest, Listing, Matching, Prefix, Question, Sight, Sums, leads,
};
use dynamokv_coordinator::{FORGOTTEN, Refusal, ReplicaError, View};
use dynamokv_handoff::Entry;
use dynamokv_ring::{NodeId, PartitionId, TokenRange};

use super::join;
use crate::core::Core;
use crate::transport::Transport;

/// An answer holds so much at most, whatever is asked for.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Answers under `view`. Only an owner gives from a range, and only one that has forgotten nothing of it: nobody may take what is
/// here for all that there is.
pub(crate) async fn answer<T: Transport>(
    core: &Core<T>,
    view: &View,
    question: Question<Entry>,
) -> Result<Answer<Entry>, ReplicaError> {
    match question {
        Question::Overview { from, sum } => Ok(Answer::Same(
            sum_led_by(&core.trees, view, from) == Some(sum),
        )),
        Question::Sums(parents) => {
            let sums = core.trees.sums(&parents).map_err(failed)?;
            let known = parents.iter().zip(sums).map(|(parent, sums)| {
                if gives(view, parent.prefix().range()).is_ok() {
                    sums
                } else {
                    Sums::NotReady
                }
            });
            Ok(Answer::Sums(known.collect()))
        }
        Question::List(listing) => {
            for range in listing.ranges().iter() {
                gives(view, range)?;
            }
            let difference = difference(core, &listing)?;
            Ok(Answer::Difference(difference))
        }
        Question::Push(entries) => {
            if let Some(newest) = join(core, &entries).await.map_err(failed)? {
                core.store.settled(newest).await.map_err(failed)?;
            }
            Ok(Answer::Taken)
        }
    }
}

/// What this node holds of the partitions that both own and `from` leads; `None` if it cannot tell.
fn sum_led_by(forest: &Forest, view: &View, from: NodeId) -> Option<u128> {
    let ring = view.current.as_ref();
    let shared = |partition: &PartitionId| {
        ring.owns(view.me, *partition)
            && ring.owns(from, *partition)
            && leads(from, view.me, *partition)
    };
    ring.partition_ids().filter(shared).try_fold(0, |sum, id| {
        let range = ring.range_of(id);
        gives(view, range).ok()?;
        match forest.see(Prefix::covering(range)?) {
            Sight::Sum(of) => Some(sum ^ of),
            Sight::TooFine | Sight::NotReady => None,
        }
    })
}

/// Whether this node may speak for all of a range.
fn gives(view: &View, range: TokenRange) -> Result<(), ReplicaError> {
    let ring = view.current.as_ref();
    let (first, last) = (
        ring.partition_of(range.first),
        ring.partition_of(range.last),
    );
    for partition in (first.0..=last.0).map(PartitionId) {
        if !ring.owns(view.me, partition) {
            return Err(Refusal::NotOwner.into());
        }
        if view.forgotten.contains(&partition) {
            return Err(ReplicaError::Failed(FORGOTTEN.to_owned()));
        }
    }
    Ok(())
}

fn difference<T: Transport>(
    core: &Core<T>,
    listing: &Listing,
) -> Result<Difference<Entry>, ReplicaError> {
    let capped = listing.bytes_max() > ANSWER_BYTES_MAX;
    if capped {
        return Err(ReplicaError::Failed(format!(
            "`bytes_max` is {}, and at most {ANSWER_BYTES_MAX}",
            listing.bytes_max()
        )));
    }
    let moment = core.store.moment();
    let mut matching = Matching::new(listing);
    let mut full = false;
    for range in listing.ranges().iter() {
        let walked = moment.walk(range, |walked| {
            let (token, hash) = (walked.key.token(), walked.hash.0);
            let entry = Entry {
                key: walked.key,
                state: walked.state,
            };
            let next = matching.own(token, hash, walked.bytes, entry);
            full = next.is_break();
            next
        });
        walked.map_err(failed)?;
        if full {
            break;
        }
    }
    let difference = matching.finish();
    if difference.entries.is_empty() && difference.wanted.is_empty() {
        // No key differs, so a leaf does not say what is on the disk; or what differed has come meanwhile.
        let ranges = listing.ranges().iter();
        ranges.for_each(|range| core.trees.suspect(range));
    }
    Ok(difference)
}

fn failed(error: impl ToString) -> ReplicaError {
    ReplicaError::Failed(error.to_string())
}
