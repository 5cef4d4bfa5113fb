#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynamokv_coordinator::{
    Answer, AnswerKind, Error as PutError, ErrorKind, Fence, Forwarded, Options, PutReply,
    PutRequest, QuorumMode, Refusal, ReplicaError, ReplicaRead, ReplicaState, ReplicaWrite,
};
use dynamokv_gossip::{
    Ack, Change, ClusterFacts, Delta, Digest, FactsDigest, Header, IdSpan, Message as Gossip, News,
    Profile, Status, Syn, SynAck, Target, Versioned,
};
use dynamokv_handoff::{Entry, HintRequest, Page, RangeRequest};
use dynamokv_ring::{Member, NodeId, PartitionId};
use dynamokv_storage::{ObjectKey, State, Value};
use dynamokv_vclock::{ActorId, CausalContext, Dot, Epoch, HybridTime};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::pb;

/// To bytes and back, as a message travels.
fn travel<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<u64>().prop_map(NodeId)
}

fn text() -> impl Strategy<Value = String> {
    "[a-zé ]{0,8}"
}

fn blob() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..24).prop_map(Bytes::from)
}

fn key() -> impl Strategy<Value = ObjectKey> {
    ("[a-z0-9_-]{1,8}", vec(any::<u8>(), 1..24))
        .prop_map(|(keyspace, key)| ObjectKey::new(&keyspace, key).unwrap())
}

fn dot() -> impl Strategy<Value = Dot> {
    (1..4u64, 1..3u64, 1..5u64)
        .prop_map(|(node, epoch, counter)| Dot::new(ActorId::new(node, Epoch(epoch)), counter))
}

fn context() -> impl Strategy<Value = CausalContext> {
    vec(dot(), 0..8).prop_map(CausalContext::from_iter)
}

fn value() -> impl Strategy<Value = Value> {
    (any::<u64>(), option::of(blob()), option::of(text())).prop_map(|(time, body, content_type)| {
        Value {
            time: HybridTime(time),
            body,
            content_type: content_type.map(Into::into),
        }
    })
}

fn state() -> impl Strategy<Value = State> {
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

fn fence() -> impl Strategy<Value = Fence> {
    any::<[u64; 4]>().prop_map(|[cluster, number, fingerprint, seen]| Fence {
        cluster,
        number,
        fingerprint,
        seen,
    })
}

fn options() -> impl Strategy<Value = Options> {
    let quorum = option::of(any::<u32>().prop_map(|quorum| quorum as usize));
    let mode = prop_oneof![Just(QuorumMode::Sloppy), Just(QuorumMode::Strict)];
    let timeout = option::of(any::<u64>().prop_map(Duration::from_micros));
    (quorum, mode, timeout).prop_map(|(quorum, mode, timeout)| Options {
        quorum,
        mode,
        timeout,
    })
}

fn answer() -> impl Strategy<Value = Answer> {
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

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        any::<u64>().prop_map(|required| Refusal::StaleRing { required }),
        Just(Refusal::NotOwner),
        Just(Refusal::OtherCluster),
    ]
}

fn replica_error() -> impl Strategy<Value = ReplicaError> {
    prop_oneof![
        text().prop_map(ReplicaError::Unreachable),
        text().prop_map(ReplicaError::Lost),
        refusal().prop_map(ReplicaError::Refused),
        text().prop_map(ReplicaError::Failed),
    ]
}

fn error_kind() -> impl Strategy<Value = ErrorKind> {
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

fn forwarded() -> impl Strategy<Value = Forwarded> {
    (
        fence(),
        key(),
        option::of(blob()),
        option::of(text()),
        context(),
        any::<bool>(),
        options(),
    )
        .prop_map(
            |(fence, key, value, content_type, context, return_values, options)| Forwarded {
                fence,
                put: PutRequest {
                    key,
                    value,
                    content_type: content_type.map(Into::into),
                    context,
                    return_values,
                    options,
                },
            },
        )
}

fn put_reply() -> impl Strategy<Value = PutReply> {
    (context(), option::of(state()), vec(answer(), 0..4), node()).prop_map(
        |(context, state, answers, coordinator)| PutReply {
            context,
            state,
            answers,
            coordinator,
        },
    )
}

fn page() -> impl Strategy<Value = Page> {
    let entry = (key(), state()).prop_map(|(key, state)| Entry { key, state });
    (vec(entry, 0..4), option::of(key())).prop_map(|(entries, next)| Page { entries, next })
}

fn member() -> impl Strategy<Value = Member> {
    (node(), 1..=u32::MAX, text()).prop_map(|(id, weight, zone)| {
        Member::new(id)
            .with_weight(weight.try_into().unwrap())
            .with_zone(zone)
    })
}

fn target() -> impl Strategy<Value = Target> {
    (any::<u64>(), any::<u32>(), vec(member(), 0..4)).prop_map(|(number, replicas, members)| {
        Target {
            number,
            replicas: replicas as usize,
            members,
        }
    })
}

/// Facts of any content, consistent or not.
fn facts() -> impl Strategy<Value = ClusterFacts> {
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

fn header() -> impl Strategy<Value = Header> {
    (
        any::<u32>(),
        text(),
        option::of(any::<u64>()),
        node(),
        any::<u64>(),
        text(),
        any::<u64>(),
    )
        .prop_map(
            |(format, cluster_name, cluster_id, from, generation, address, process)| Header {
                format,
                cluster_name,
                cluster_id,
                from,
                generation,
                address,
                process,
            },
        )
}

fn digests() -> impl Strategy<Value = Vec<Digest>> {
    let digest = (node(), any::<[u64; 3]>(), any::<bool>()).prop_map(
        |(id, [generation, heartbeat, version], left)| Digest {
            id,
            generation,
            heartbeat,
            version,
            left,
        },
    );
    vec(digest, 0..4)
}

fn deltas() -> impl Strategy<Value = Vec<Delta>> {
    let profile = (
        text(),
        text(),
        text(),
        1..=u32::MAX,
        prop::sample::select(Status::ALL.to_vec()),
    )
        .prop_map(|(name, address, zone, weight, status)| Profile {
            name,
            address,
            zone: zone.into(),
            weight: weight.try_into().unwrap(),
            status,
        });
    let item = (text(), text(), any::<u64>())
        .prop_map(|(key, value, version)| (key, Versioned { value, version }));
    let news = prop_oneof![
        any::<u64>().prop_map(|millis| News::Left {
            remember: Duration::from_millis(millis)
        }),
        (
            any::<u64>(),
            any::<u64>(),
            option::of((profile, any::<u64>())),
            vec(item, 0..4)
        )
            .prop_map(|(since, upto, profile, kv)| News::Writes {
                since,
                upto,
                profile,
                kv
            }),
    ];
    let delta =
        (node(), any::<u64>(), any::<u64>(), news).prop_map(|(id, generation, heartbeat, news)| {
            Delta {
                id,
                generation,
                heartbeat,
                news,
            }
        });
    vec(delta, 0..4)
}

fn gossip() -> impl Strategy<Value = Gossip> {
    let facts_digest = || {
        option::of(
            (any::<u64>(), option::of(node()))
                .prop_map(|(number, open)| FactsDigest { number, open }),
        )
    };
    prop_oneof![
        (header(), node(), node(), digests(), facts_digest()).prop_map(
            |(header, first, last, digests, facts)| {
                Gossip::Syn(Syn {
                    header,
                    span: IdSpan { first, last },
                    digests,
                    facts,
                })
            }
        ),
        (
            header(),
            digests(),
            deltas(),
            facts_digest(),
            option::of(facts())
        )
            .prop_map(|(header, digests, deltas, facts_digest, facts)| {
                Gossip::SynAck(SynAck {
                    header,
                    digests,
                    deltas,
                    facts_digest,
                    facts,
                })
            }),
        (header(), deltas(), option::of(facts())).prop_map(|(header, deltas, facts)| Gossip::Ack(
            Ack {
                header,
                deltas,
                facts
            }
        )),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn replica_requests_and_copies_travel_unchanged(
        fence in fence(), key in key(), state in state(), hint_for in option::of(node()), flag in any::<bool>(),
    ) {
        let write = ReplicaWrite { fence, key: key.clone(), delta: Arc::new(state.clone()), hint_for };
        prop_assert_eq!(ReplicaWrite::try_from(travel(&pb::InternalPutRequest::from(&write))), Ok(write));
        let read = ReplicaRead { fence, key, as_fallback: flag };
        prop_assert_eq!(ReplicaRead::try_from(travel(&pb::InternalGetRequest::from(&read))), Ok(read));
        let copy = ReplicaState { state, marked: flag };
        prop_assert_eq!(ReplicaState::try_from(travel(&pb::ReplicaState::from(&copy))), Ok(copy));
    }

    #[test]
    fn failures_of_replicas_travel_unchanged(error in replica_error()) {
        prop_assert_eq!(ReplicaError::from(travel(&pb::ReplicaFailure::from(error.clone()))), error);
    }

    #[test]
    fn forwarded_writes_and_replies_travel_unchanged(forwarded in forwarded(), reply in put_reply()) {
        let sent = pb::ForwardPutRequest::from(forwarded.clone());
        prop_assert_eq!(Forwarded::try_from(travel(&sent)), Ok(forwarded));
        prop_assert_eq!(PutReply::try_from(travel(&pb::ForwardedReply::from(&reply))), Ok(reply));
    }

    #[test]
    fn handed_over_objects_and_questions_for_them_travel_unchanged(
        fence in fence(), page in page(), after in option::of(key()), number in any::<u32>(), limit in any::<u32>(),
    ) {
        let sent = pb::SendHintsRequest::from((fence, page.entries.as_slice()));
        prop_assert_eq!(travel(&sent).try_into(), Ok((fence, page.entries.clone())));
        let sent = pb::ObjectPageResponse::from(Ok(page.clone()));
        prop_assert_eq!(Page::try_from(travel(&sent)), Ok(page));
        let limit = limit as usize;
        let hints = HintRequest { target: NodeId(number.into()), after: after.clone(), limit };
        prop_assert_eq!(travel(&pb::FetchHintsRequest::from((fence, &hints))).try_into(), Ok((fence, hints)));
        let range = RangeRequest { partition: PartitionId(number), after, bytes_max: limit };
        prop_assert_eq!(travel(&pb::FetchRangeRequest::from((fence, &range))).try_into(), Ok((fence, range)));
    }

    #[test]
    fn gossip_travels_unchanged_and_within_its_estimated_size(message in gossip()) {
        let sent = pb::GossipMessage::from(message.clone());
        let facts = match &message {
            Gossip::SynAck(SynAck { facts, .. }) | Gossip::Ack(Ack { facts, .. }) => facts.as_ref(),
            Gossip::Syn(_) => None,
        };
        let beside = facts.map_or(0, |facts| pb::ClusterFacts::from(facts).encoded_len());
        let header = pb::GossipHeader::from(message.header().clone()).encoded_len();
        prop_assert!(sent.encoded_len() <= message.estimated_bytes() + beside + header + 64);
        prop_assert_eq!(Gossip::try_from(travel(&sent)), Ok(message));
    }

    #[test]
    fn an_error_of_a_forwarded_write_keeps_its_meaning(
        to in node(), other in node(), kind in error_kind(), message in text(), refusal in refusal(),
    ) {
        let carried = |error| {
            let outcome = Some(forwarded_outcome(Err(error)));
            let sent = travel(&pb::ForwardPutResponse { outcome });
            forwarded_verdict(to, sent.outcome).unwrap().unwrap_err()
        };
        let refused = matches!(carried(refusal.into()), PutError::Refused(same) if same == refusal);
        prop_assert!(refused);
        let relayed = PutError::Relayed { node: other, kind, message };
        let arrived = carried(relayed.clone());
        prop_assert_eq!((arrived.kind(), arrived.to_string()), (kind, relayed.to_string()));
        let PutError::Relayed { node, kind, .. } = carried(PutError::Overloaded { limit: 7 }) else {
            return Err(TestCaseError::fail("not relayed"));
        };
        prop_assert_eq!((node, kind), (to, ErrorKind::Overloaded));
    }

    #[test]
    fn whatever_arrives_is_refused_with_an_error_or_taken_as_it_was_meant(
        mut bytes in prop_oneof![
            vec(any::<u8>(), 0..64),
            forwarded().prop_map(|forwarded| pb::ForwardPutRequest::from(forwarded).encode_to_vec()),
            (fence(), page()).prop_map(|(fence, page)| {
                pb::SendHintsRequest::from((fence, page.entries.as_slice())).encode_to_vec()
            }),
            gossip().prop_map(|message| pb::GossipMessage::from(message).encode_to_vec()),
            facts().prop_map(|facts| encode_facts(&facts).to_vec()),
        ],
        damage in option::of((any::<prop::sample::Index>(), any::<u8>())),
        cut in option::of(any::<prop::sample::Index>()),
    ) {
        if let (Some((at, byte)), false) = (damage, bytes.is_empty()) {
            *at.get_mut(&mut bytes) = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        stable::<pb::ForwardPutRequest, Forwarded>(&bytes, |forwarded| forwarded.clone().into())?;
        stable::<pb::ForwardedReply, PutReply>(&bytes, |taken| taken.into())?;
        stable::<pb::InternalPutRequest, ReplicaWrite>(&bytes, |taken| taken.into())?;
        stable::<pb::InternalGetRequest, ReplicaRead>(&bytes, |taken| taken.into())?;
        stable::<pb::ReplicaState, ReplicaState>(&bytes, |taken| taken.into())?;
        stable::<pb::SendHintsRequest, (Fence, Vec<Entry>)>(&bytes, |(fence, entries)| (*fence, entries.as_slice()).into())?;
        stable::<pb::FetchHintsRequest, (Fence, HintRequest)>(&bytes, |(fence, request)| (*fence, request).into())?;
        stable::<pb::FetchRangeRequest, (Fence, RangeRequest)>(&bytes, |(fence, request)| (*fence, request).into())?;
        stable::<pb::ObjectPage, Page>(&bytes, |taken| taken.into())?;
        stable::<pb::GossipMessage, Gossip>(&bytes, |message| message.clone().into())?;
        stable::<pb::ClusterFacts, ClusterFacts>(&bytes, |taken| taken.into())?;
        if let Ok(facts) = decode_facts(&bytes) {
            prop_assert!(facts.validate().is_ok());
        }
        if let Ok(response) = pb::ForwardPutResponse::decode(bytes.as_slice()) {
            let _ = forwarded_verdict(NodeId(1), response.outcome);
        }
    }
}

/// What was accepted is the same after another journey.
fn stable<M, T>(bytes: &[u8], write: impl Fn(&T) -> M) -> Result<(), TestCaseError>
where
    M: Message + Default,
    T: TryFrom<M, Error = Error> + PartialEq + std::fmt::Debug,
{
    if let Ok(taken) = M::decode(bytes)
        .map_err(drop)
        .and_then(|message| T::try_from(message).map_err(drop))
    {
        prop_assert_eq!(T::try_from(travel(&write(&taken))), Ok(taken));
    }
    Ok(())
}

#[test]
fn facts_are_kept_as_bytes_and_contradictory_ones_are_not_taken_back() {
    let facts = ClusterFacts::found(7, "demo", 64, 3, Member::new(NodeId(1))).unwrap();
    assert_eq!(decode_facts(&encode_facts(&facts)), Ok(facts.clone()));
    let contradictory = ClusterFacts {
        cluster_id: 0,
        ..facts
    };
    let error = decode_facts(&encode_facts(&contradictory)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "facts: unusable cluster facts: cluster_id is zero"
    );
    assert!(matches!(
        decode_facts(b"\xff"),
        Err(Error::Malformed {
            message: "ClusterFacts",
            ..
        })
    ));
    assert_eq!(
        decode_facts(b"").unwrap_err().to_string(),
        "facts.current: missing"
    );
}

#[test]
fn what_is_missing_is_named() {
    let named = |error: Error| error.to_string();
    let fence = Some(
        Fence {
            cluster: 1,
            number: 2,
            fingerprint: 3,
            seen: 4,
        }
        .into(),
    );
    let message = pb::InternalGetRequest::default();
    assert_eq!(
        ReplicaRead::try_from(message).map_err(named),
        Err("fence: missing".to_owned())
    );
    let message = pb::InternalGetRequest {
        fence,
        ..Default::default()
    };
    assert_eq!(
        ReplicaRead::try_from(message).map_err(named),
        Err("key: missing".to_owned())
    );
    let message = pb::GossipMessage::default();
    assert_eq!(
        Gossip::try_from(message).map_err(named),
        Err("gossip.header: missing".to_owned())
    );
    assert_eq!(
        mode_from(9).map_err(named),
        Err("mode: 9 is not known, use 1 (sloppy) or 2 (strict)".to_owned())
    );
}

#[test]
fn an_error_kind_of_a_later_release_promises_nothing() {
    let error = pb::ForwardedError {
        kind: 99,
        message: "new".to_owned(),
        node: None,
    };
    let outcome = Some(pb::forward_put_response::Outcome::Error(error));
    let verdict = forwarded_verdict(NodeId(1), outcome).unwrap();
    assert_eq!(verdict.unwrap_err().kind(), ErrorKind::Unknown);
}

/// Nodes of different releases talk to each other: these bytes never change.
mod golden {
    use super::*;

    fn hex(message: &impl Message) -> String {
        message
            .encode_to_vec()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn sample_fence() -> Fence {
        Fence {
            cluster: 0x0102,
            number: 3,
            fingerprint: 0x0405,
            seen: 6,
        }
    }

    fn sample_state() -> State {
        let value = Value {
            content_type: Some("t".into()),
            ..Value::new(HybridTime(9), "v")
        };
        State::delta(
            Dot::new(ActorId::new(1, Epoch(2)), 1),
            value,
            &CausalContext::new(),
        )
    }

    #[test]
    fn replica_write() {
        let write = ReplicaWrite {
            fence: sample_fence(),
            key: ObjectKey::new("default", "k").unwrap(),
            delta: Arc::new(sample_state()),
            hint_for: Some(NodeId(5)),
        };
        assert_eq!(
            hex(&pb::InternalPutRequest::from(&write)),
            concat!(
                "0a1609020100000000000010031905040000000000002006120c0a0764656661756c7412016b1a10",
                "31010102010001010201030901740176210500000000000000",
            )
        );
    }

    #[test]
    fn forwarded_put() {
        let forwarded = Forwarded {
            fence: sample_fence(),
            put: PutRequest {
                key: ObjectKey::new("default", "k").unwrap(),
                value: Some("v".into()),
                content_type: None,
                context: sample_state().context().clone(),
                return_values: true,
                options: Options {
                    quorum: Some(2),
                    mode: QuorumMode::Strict,
                    timeout: Some(Duration::from_millis(1)),
                },
            },
        };
        assert_eq!(
            hex(&pb::ForwardPutRequest::from(forwarded)),
            concat!(
                "0a1609020100000000000010031905040000000000002006120c0a0764656661756c7412016b1a01",
                "762a0621010102010030013802400248e807",
            )
        );
    }

    #[test]
    fn gossip_ack() {
        let header = Header {
            format: 1,
            cluster_name: "c".to_owned(),
            cluster_id: Some(2),
            from: NodeId(3),
            generation: 4,
            address: "a:1".to_owned(),
            process: 5,
        };
        let profile = Profile {
            name: "n".to_owned(),
            address: "a:1".to_owned(),
            zone: "z".into(),
            weight: Member::ORDINARY_WEIGHT,
            status: Status::Up,
        };
        let kv = vec![(
            "k".to_owned(),
            Versioned {
                value: "v".to_owned(),
                version: 7,
            },
        )];
        let news = News::Writes {
            since: 1,
            upto: 7,
            profile: Some((profile, 6)),
            kv,
        };
        let deltas = vec![Delta {
            id: NodeId(3),
            generation: 4,
            heartbeat: 8,
            news,
        }];
        let facts = ClusterFacts::found(2, "c", 8, 3, Member::new(NodeId(3))).unwrap();
        let ack = Gossip::Ack(Ack {
            header,
            deltas,
            facts: Some(facts),
        });
        assert_eq!(
            hex(&pb::GossipMessage::from(ack)),
            concat!(
                "0a27080112016319020000000000000021030000000000000028043203613a313905000000000000",
                "0022530a30090300000000000000100418082221080110071a0f0a016e1203613a311a017a206428",
                "0220062a080a016b1201761807121f0902000000000000001201631808220f10031a0b0903000000",
                "000000001064",
            )
        );
    }
}
