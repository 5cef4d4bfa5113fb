//! Hinted handoff at work: ships what is held for others as soon as they can be reached.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dynamokv_coordinator::{Membership, ReplicaError, View};
use dynamokv_handoff::{Delivered, Delivery, Entry, HintPage, PageLimits, Shipment};
use dynamokv_ring::{NodeId, Token};
use dynamokv_storage::ObjectKey;
#[cfg(feature = "planted-bugs")]
use dynamokv_storage::planted::{self, Bug};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use crate::config::HandoffSettings;
use crate::core::Core;
use crate::hints::Hints;
use crate::transport::Transport;

/// How long an owner may take to store and sync one batch.
const BATCH_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is looked at what has been held for too long, where nothing else happens, unless less is too long already.
const AGES_EVERY_MAX: Duration = Duration::from_secs(60);

/// Delivers hints for as long as the node runs.
pub(crate) async fn run<T: Transport>(core: Arc<Core<T>>, settings: HandoffSettings) {
    let mut delivery = Delivery::new(settings.delivery.clone());
    let mut reachable = BTreeSet::new();
    let mut shipments = FuturesUnordered::new();
    let mut changes = core.cluster.changes();
    let ages_every = AGES_EVERY_MAX.min(settings.age_max / 4);
    loop {
        core.hints
            .take_marked()
            .into_iter()
            .for_each(|target| delivery.on_marked(target));
        follow(&mut delivery, &mut reachable, &core, settings.age_max);
        let now = Instant::now();
        while let Some(shipment) = delivery.poll(now.into_std()) {
            shipments.push(ship(&core, &settings, shipment));
        }
        let wakeup = delivery.next_wakeup(now.into_std());
        tokio::select! {
            biased;
            Some((target, outcome)) = shipments.next() => {
                let now = Instant::now().into_std();
                match outcome {
                    Ok(delivered) => {
                        core.hints.on_delivered(target, &delivered);
                        delivery.on_delivered(target, delivered, now);
                    }
                    Err(error) => {
                        core.hints.on_failed(target, &error);
                        delivery.on_failed(target, now);
                    }
                }
            }
            () = changes.changed() => {}
            () = core.hints.marked() => {}
            () = sleep_until(wakeup) => {}
            () = tokio::time::sleep(ages_every) => {}
        }
    }
}

pub(crate) async fn sleep_until(at: Option<std::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Tells the scheduler who can be served: the live targets; those that are in no ring any more, and those for whom
/// something has been held for too long, whose hints go to the owners instead.
fn follow<T: Transport>(
    delivery: &mut Delivery,
    reachable: &mut BTreeSet<NodeId>,
    core: &Core<T>,
    age_max: Duration,
) {
    let view = core.cluster.view();
    let serves = |target: &NodeId| {
        view.live.contains(target)
            || !view.has_member(*target)
            || is_aged(&core.hints, *target, age_max)
    };
    let now: BTreeSet<NodeId> = core.hints.targets().into_iter().filter(serves).collect();
    now.difference(reachable)
        .for_each(|target| delivery.on_up(*target));
    reachable
        .difference(&now)
        .for_each(|target| delivery.on_down(*target));
    *reachable = now;
}

/// Whether something has been held for the target for too long.
fn is_aged(hints: &Hints, target: NodeId, age_max: Duration) -> bool {
    let oldest_ms = hints.oldest_ms(target);
    oldest_ms.is_some_and(|oldest_ms| oldest_ms < aged_before_ms(hints, age_max))
}

/// What was held before this time, in milliseconds since the Unix epoch, has been held for too long.
fn aged_before_ms(hints: &Hints, age_max: Duration) -> u64 {
    let age_max_ms = u64::try_from(age_max.as_millis()).unwrap_or(u64::MAX);
    hints.now_ms().saturating_sub(age_max_ms)
}

async fn ship<T: Transport>(
    core: &Core<T>,
    settings: &HandoffSettings,
    shipment: Shipment,
) -> (NodeId, Result<Delivered, crate::Error>) {
    let target = shipment.target;
    (target, try_ship(core, settings, shipment).await)
}

/// To the target, or what has been held for too long to the other owners, where the target is away or takes nothing from this node.
async fn try_ship<T: Transport>(
    core: &Core<T>,
    settings: &HandoffSettings,
    shipment: Shipment,
) -> Result<Delivered, crate::Error> {
    let target = shipment.target;
    let limits = PageLimits {
        items: settings.delivery.batch_items,
        bytes: settings.delivery.batch_bytes,
        held_before_ms: None,
    };
    let (guard, view) = core.begin();
    let is_member = view.has_member(target);
    if !is_member || view.live.contains(&target) {
        let recipients = |token| recipients(&view, target, token);
        let shipped = ship_page(core, &view, &shipment, &limits, recipients).await;
        let taken = |shipped: &Delivered| shipped.released > 0 || shipped.left == 0;
        let is_aged = || is_aged(&core.hints, target, settings.age_max);
        if shipped.as_ref().is_ok_and(taken) || !is_member || !is_aged() {
            return shipped;
        }
    }
    drop(guard);
    let (_guard, view) = core.begin();
    let limits = PageLimits {
        held_before_ms: Some(aged_before_ms(&core.hints, settings.age_max)),
        ..limits
    };
    let others = |token| others(&view, target, token, core.write_quorum.get());
    ship_page(core, &view, &shipment, &limits, others).await
}

async fn ship_page<T: Transport>(
    core: &Core<T>,
    view: &View,
    shipment: &Shipment,
    limits: &PageLimits,
    recipients: impl Fn(Token) -> Vec<NodeId>,
) -> Result<Delivered, crate::Error> {
    let HintPage { page, pending } = core.hints.batch(shipment, limits)?;
    let keeps = |key: &ObjectKey| core.cluster.view().stores(core.me, key.token());
    #[cfg(feature = "planted-bugs")]
    if planted::is(Bug::HintLostBeforeAck) {
        let all = vec![true; page.entries.len()];
        core.hints.acknowledge(pending.clone(), &all, keeps)?;
    }
    let accepted = hand_over(core, view, &page.entries, recipients).await?;
    Ok(core.hints.acknowledge(pending, &accepted, keeps)?)
}

/// Sends each entry to all of its recipients but this node. Says for each entry whether every recipient has it, synced.
///
/// # Errors
/// When no recipient could be reached at all.
pub(crate) async fn hand_over<T: Transport>(
    core: &Core<T>,
    view: &View,
    entries: &[Entry],
    recipients: impl Fn(Token) -> Vec<NodeId>,
) -> Result<Vec<bool>, ReplicaError> {
    let mut parcels: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        for to in recipients(entry.key.token())
            .into_iter()
            .filter(|to| *to != core.me)
        {
            parcels.entry(to).or_default().push(index);
        }
    }
    let sent = parcels.into_iter().map(|(to, indices)| async move {
        let parcel: Vec<Entry> = indices
            .iter()
            .filter_map(|index| entries.get(*index).cloned())
            .collect();
        let answer = core
            .transport
            .send_hints(to, view.fence, &parcel, BATCH_TIMEOUT)
            .await;
        (to, indices, answer)
    });
    let mut failure = None;
    let mut answers = Vec::new();
    for (to, indices, answer) in join_all(sent).await {
        core.report(to, &answer);
        let accepted = answer.unwrap_or_else(|error| {
            failure = Some(error);
            Vec::new()
        });
        answers.push((indices, accepted));
    }
    let reached = answers.iter().any(|(_, accepted)| !accepted.is_empty());
    match failure {
        Some(error) if !reached => Err(error),
        _ => Ok(accepted_by_all(entries.len(), &answers)),
    }
}

/// For each entry, whether all who were sent it have it: `answers` are the entries of a parcel and the flags that came
/// back; a flag that is missing is a no.
fn accepted_by_all(entries: usize, answers: &[(Vec<usize>, Vec<bool>)]) -> Vec<bool> {
    let mut accepted = vec![true; entries];
    for (indices, flags) in answers {
        for (nth, index) in indices.iter().enumerate() {
            if let Some(accepted) = accepted.get_mut(*index) {
                *accepted &= flags.get(nth) == Some(&true);
            }
        }
    }
    accepted
}

/// Who must have a hint for `target` before it may go: the target, and who gains the key in the next ring; where the target
/// is no owner any more, every owner.
fn recipients(view: &View, target: NodeId, token: Token) -> Vec<NodeId> {
    let sets = view.write_sets(token);
    let mut recipients = Vec::new();
    if sets.iter().any(|set| set.contains(&target)) {
        recipients.push(target);
        if let [current, next] = sets.as_slice() {
            recipients.extend(
                next.iter()
                    .filter(|node| !current.contains(node) && **node != target),
            );
        }
    } else {
        recipients = every_owner(view, token);
    }
    recipients
}

/// Who must have what was held for too long for `target`, which is away or takes nothing: every other owner. The target will get it
/// from them.
/// Where they are fewer than W it would be kept less well than it was acknowledged: then it waits on.
fn others(view: &View, target: NodeId, token: Token, write_quorum: usize) -> Vec<NodeId> {
    let sets = view.write_sets(token);
    let others_of = |set: &&[NodeId]| set.iter().filter(|owner| **owner != target).count();
    if !sets.iter().all(|set| others_of(set) >= write_quorum) {
        return vec![target];
    }
    let mut others = every_owner(view, token);
    others.retain(|owner| *owner != target);
    others
}

fn every_owner(view: &View, token: Token) -> Vec<NodeId> {
    let mut owners = view.write_sets(token).concat();
    owners.sort();
    owners.dedup();
    owners
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use dynamokv_coordinator::{Fence, ReadPhase, WritePhase};
    use dynamokv_ring::{Member, PartitionRing, Placement};

    use super::*;

    #[test]
    fn an_entry_is_accepted_only_when_everybody_who_was_sent_it_says_so() {
        let answers = [
            (vec![0, 1, 2], vec![true, true, false]),
            (vec![1, 3], vec![false, true]),
            (vec![4], vec![]),
        ];
        assert_eq!(
            accepted_by_all(6, &answers),
            [true, false, false, true, false, true],
            "nobody but this node owns the last one"
        );
    }

    fn ring(members: std::ops::RangeInclusive<u64>) -> Arc<dyn Placement> {
        let members = members.map(|id| Member::new(NodeId(id)));
        Arc::new(PartitionRing::new(8, 2, members).unwrap())
    }

    /// In the midst of a change that moves everything from nodes 1 and 2 to nodes 3 and 4.
    pub(crate) fn view(writes: WritePhase) -> View {
        View {
            me: NodeId(9),
            current: ring(1..=2),
            next: Some(ring(3..=4)),
            next_complete: false,
            forgotten: Arc::default(),
            writes,
            reads: ReadPhase::Current,
            phase: 0,
            fence: Fence {
                cluster: 1,
                number: 1,
                fingerprint: 1,
                seen: 1,
            },
            required: 1,
            live: Arc::default(),
        }
    }

    #[test]
    fn a_hint_goes_to_its_target_to_heirs_while_rings_differ_and_to_the_owners_after() {
        let sorted = |writes, target| {
            let mut recipients = recipients(&view(writes), NodeId(target), Token(0));
            recipients.sort();
            recipients.into_iter().map(|id| id.0).collect::<Vec<_>>()
        };
        assert_eq!(sorted(WritePhase::Current, 1), [1]);
        assert_eq!(
            sorted(WritePhase::Both, 1),
            [1, 3, 4],
            "the heirs may have streamed without it"
        );
        assert_eq!(
            sorted(WritePhase::Next, 1),
            [3, 4],
            "the target owns it no longer"
        );
        assert_eq!(sorted(WritePhase::Current, 7), [1, 2], "the target left");
    }

    #[test]
    fn what_was_held_for_too_long_goes_to_the_other_owners_if_there_are_enough_of_them() {
        let of = |view: &View, target, write_quorum| {
            let others = others(view, NodeId(target), Token(0), write_quorum);
            others.into_iter().map(|id| id.0).collect::<Vec<_>>()
        };
        let two = view(WritePhase::Current);
        assert_eq!(of(&two, 1, 1), [2]);
        assert_eq!(of(&two, 1, 2), [1], "one copy is fewer than W: it waits on");
        assert_eq!(of(&two, 7, 2), [1, 2]);
        let both = view(WritePhase::Both);
        assert_eq!(of(&both, 1, 1), [2, 3, 4]);
        assert_eq!(of(&both, 1, 2), [1], "each ring needs W");
        let alone = View {
            current: ring(1..=1),
            ..two
        };
        assert_eq!(of(&alone, 1, 1), [1], "it is nobody else's");
    }
}
