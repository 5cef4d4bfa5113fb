//! Arbitrary values of everything that travels.

use std::time::Duration;

use bytes::Bytes;
use dynamokv_antientropy::{
    Answer as TreeAnswer, Difference, Item, Listing, Parent, Prefix, Question, Ranges, Sums,
};
use dynamokv_coordinator::{
    Answer, AnswerKind, ErrorKind, Fence, Forwarded, Options, PutReply, PutRequest, QuorumMode,
    Refusal, ReplicaError,
};
use dynamokv_gossip::{Change, ClusterFacts, Target};
use dynamokv_handoff::{Entry, Page};
use dynamokv_ring::{Member, NodeId, PartitionId, Token, TokenRange};
use dynamokv_storage::{ObjectKey, State, StateHash, Value};
use dynamokv_vclock::{ActorId, CausalContext, Dot, Epoch, HybridTime};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::{KeyScan, KeyState, KeyStates};

pub(super) fn node() -> impl Strategy<Value = NodeId> {
    any::<u64>().prop_map(NodeId)
}

pub(super) fn text() -> impl Strategy<Value = String> {
    "[a-zé ]{0,8}"
}

pub(super) fn blob() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..24).prop_map(Bytes::from)
}

pub(super) fn key() -> impl Strategy<Value = ObjectKey> {
    ("[a-z0-9_-]{1,8}", vec(any::<u8>(), 1..24))
        .prop_map(|(keyspace, key)| ObjectKey::new(&keyspace, key).unwrap())
}

pub(super) fn dot() -> impl Strategy<Value = Dot> {
    (1..4u64, 1..3u64, 1..5u64)
        .prop_map(|(node, epoch, counter)| Dot::new(ActorId::new(node, Epoch(epoch)), counter))
}

pub(super) fn context() -> impl Strategy<Value = CausalContext> {
    vec(dot(), 0..8).prop_map(CausalContext::from_iter)
}

pub(super) fn value() -> impl Strategy<Value = Value> {
    (any::<u64>(), option::of(blob()), option::of(text())).prop_map(|(time, body, content_type)| {
        Value {
            time: HybridTime(time),
            body,
            content_type: content_type.map(Into::into),
        }
    })
}

pub(super) fn state() -> impl Strategy<Value = State> {
    vec((dot(), value(), context()), 0..4).prop_map(|writes| {
        let mut state = State::new();
        for (dot, value, context) in writes {
            if !state.context().covers(&dot) && !context.covers(&dot) {
                state.join(State::delta(dot, value, &context));
            }
        }
        state
    })
}

pub(super) fn fence() -> impl Strategy<Value = Fence> {
    any::<[u64; 4]>().prop_map(|[cluster, number, fingerprint, seen]| Fence {
        cluster,
        number,
        fingerprint,
        seen,
    })
}

pub(super) fn options() -> impl Strategy<Value = Options> {
    let quorum = option::of(any::<u32>().prop_map(|quorum| quorum as usize));
    let mode = prop_oneof![Just(QuorumMode::Sloppy), Just(QuorumMode::Strict)];
    let timeout = option::of(any::<u64>().prop_map(Duration::from_micros));
    (quorum, mode, timeout).prop_map(|(quorum, mode, timeout)| Options {
        quorum,
        mode,
        timeout,
    })
}

pub(super) fn answer() -> impl Strategy<Value = Answer> {
    let kind = prop_oneof![
        Just(AnswerKind::Replica),
        node().prop_map(|stands_for| AnswerKind::Holder { stands_for }),
        Just(AnswerKind::Fallback),
        text().prop_map(AnswerKind::Failed),
        Just(AnswerKind::Down),
        Just(AnswerKind::Silent),
    ];
    (node(), kind).prop_map(|(node, kind)| Answer { node, kind })
}

pub(super) fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        any::<u64>().prop_map(|required| Refusal::StaleRing { required }),
        Just(Refusal::NotOwner),
        Just(Refusal::OtherCluster),
    ]
}

pub(super) fn replica_error() -> impl Strategy<Value = ReplicaError> {
    prop_oneof![
        text().prop_map(ReplicaError::Unreachable),
        text().prop_map(ReplicaError::Lost),
        refusal().prop_map(ReplicaError::Refused),
        text().prop_map(ReplicaError::Failed),
    ]
}

pub(super) fn error_kind() -> impl Strategy<Value = ErrorKind> {
    prop::sample::select(vec![
        ErrorKind::Invalid,
        ErrorKind::Precondition,
        ErrorKind::NotApplied,
        ErrorKind::Unknown,
        ErrorKind::Overloaded,
        ErrorKind::Damaged,
        ErrorKind::Internal,
    ])
}

pub(super) fn forwarded() -> impl Strategy<Value = Forwarded> {
    (
        fence(),
        key(),
        option::of(blob()),
        option::of(text()),
        context(),
        any::<bool>(),
        option::of(vec(any::<u8>(), 1..64)),
        options(),
    )
        .prop_map(
            |(fence, key, value, content_type, context, return_values, once, options)| Forwarded {
                fence,
                put: PutRequest {
                    key,
                    value,
                    content_type: content_type.map(Into::into),
                    context,
                    return_values,
                    idempotency_key: once.map(Into::into),
                    options,
                },
            },
        )
}

pub(super) fn put_reply() -> impl Strategy<Value = PutReply> {
    (context(), option::of(state()), vec(answer(), 0..4), node()).prop_map(
        |(context, state, answers, coordinator)| PutReply {
            context,
            state,
            answers,
            coordinator,
        },
    )
}

pub(super) fn key_scan() -> impl Strategy<Value = KeyScan> {
    (key(), option::of(key()), any::<u32>(), any::<u32>()).prop_map(
        |(of, after, partition, limit)| KeyScan {
            keyspace: of.keyspace().clone(),
            partition: PartitionId(partition),
            after,
            limit: limit as usize,
        },
    )
}

pub(super) fn key_states() -> impl Strategy<Value = KeyStates> {
    let state = (key(), any::<u128>(), any::<bool>()).prop_map(|(key, hash, live)| KeyState {
        key,
        hash: StateHash(hash),
        live,
    });
    (vec(state, 0..4), option::of(key())).prop_map(|(keys, next)| KeyStates { keys, next })
}

pub(super) fn page() -> impl Strategy<Value = Page> {
    let entry = (key(), state()).prop_map(|(key, state)| Entry { key, state });
    (vec(entry, 0..4), option::of(key())).prop_map(|(entries, next)| Page { entries, next })
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let entry = (key(), state()).prop_map(|(key, state)| Entry { key, state });
    vec(entry, 0..4)
}

fn listing() -> impl Strategy<Value = Listing> {
    let ends = vec(any::<u64>(), 0..8);
    let items = vec((any::<u64>(), any::<u128>()), 0..8);
    (ends, items, 0..usize::MAX).prop_map(|(mut ends, items, bytes_max)| {
        ends.sort();
        ends.dedup();
        let ranges = ends.chunks(2).map(|pair| TokenRange {
            first: Token(pair[0]),
            last: Token(*pair.last().unwrap()),
        });
        let ranges = Ranges::checked(ranges.collect()).unwrap();
        let items = items.into_iter().map(|(token, hash)| Item {
            token: Token(token),
            hash,
        });
        let mut items: Vec<Item> = items.filter(|item| ranges.contains(item.token)).collect();
        items.extend(ends.iter().map(|token| Item {
            token: Token(*token),
            hash: 7,
        }));
        items.sort();
        Listing::new(ranges, items, bytes_max).unwrap()
    })
}

pub(super) fn question() -> impl Strategy<Value = Question<Entry>> {
    let parent = (any::<u64>(), 0..=24_u8, 0..=8_u8).prop_map(|(token, length, further)| {
        Parent::new(
            Prefix::of(Token(token), length),
            (length + further).min(Prefix::LENGTH_MAX),
        )
        .unwrap()
    });
    prop_oneof![
        (node(), any::<u128>()).prop_map(|(from, sum)| Question::Overview { from, sum }),
        vec(parent, 0..5).prop_map(Question::Sums),
        listing().prop_map(Question::List),
        entries().prop_map(Question::Push),
    ]
}

pub(super) fn tree_answer() -> impl Strategy<Value = TreeAnswer<Entry>> {
    let sums = prop_oneof![
        vec(any::<u128>(), 0..5).prop_map(Sums::Of),
        Just(Sums::TooFine),
        Just(Sums::NotReady),
    ];
    let tokens = vec(any::<u64>().prop_map(Token), 0..5);
    let until = option::of(any::<u64>().prop_map(Token));
    prop_oneof![
        any::<bool>().prop_map(TreeAnswer::Same),
        vec(sums, 0..5).prop_map(TreeAnswer::Sums),
        (entries(), tokens, until).prop_map(|(entries, wanted, until)| {
            TreeAnswer::Difference(Difference {
                entries,
                wanted,
                until,
            })
        }),
        Just(TreeAnswer::Taken),
    ]
}

pub(super) fn member() -> impl Strategy<Value = Member> {
    (node(), 1..=u32::MAX, text()).prop_map(|(id, weight, zone)| {
        Member::new(id)
            .with_weight(weight.try_into().unwrap())
            .with_zone(zone)
    })
}

pub(super) fn target() -> impl Strategy<Value = Target> {
    (any::<u64>(), any::<u32>(), vec(member(), 0..4)).prop_map(|(number, replicas, members)| {
        Target {
            number,
            replicas: replicas as usize,
            members,
        }
    })
}

/// Facts of any content, consistent or not.
pub(super) fn facts() -> impl Strategy<Value = ClusterFacts> {
    let change =
        (node(), target(), vec(node(), 0..3)).prop_map(|(proposer, target, removing)| Change {
            proposer,
            target,
            removing,
        });
    (
        any::<u64>(),
        text(),
        any::<u32>(),
        target(),
        option::of(change),
    )
        .prop_map(
            |(cluster_id, cluster_name, partitions, current, open)| ClusterFacts {
                cluster_id,
                cluster_name,
                partitions,
                current,
                open,
            },
        )
}
