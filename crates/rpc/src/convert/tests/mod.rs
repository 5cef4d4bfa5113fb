#![allow(clippy::unwrap_used, clippy::expect_used)]

mod golden;
mod strategies;

use std::sync::Arc;

use dynamokv_antientropy::{Answer, Difference, Listing, Question, Sums};
use dynamokv_coordinator::{
    Error as PutError, ErrorKind, Fence, Forwarded, PutReply, ReplicaError, ReplicaRead,
    ReplicaState, ReplicaWrite,
};
use dynamokv_gossip::ClusterFacts;
use dynamokv_handoff::{Entry, HintRequest, Page, RangeRequest};
use dynamokv_ring::{Member, NodeId, PartitionId};
use dynamokv_storage::StateHash;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;

use self::strategies::*;
use super::*;
use crate::{KeyScan, KeyStates, pb};

/// To bytes and back, as a message travels.
fn travel<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn replica_requests_and_copies_travel_unchanged(
        fence in fence(), key in key(), state in state(), hint_for in option::of(node()), flag in any::<bool>(),
        hash in option::of(any::<u128>()),
    ) {
        let write = ReplicaWrite { fence, key: key.clone(), delta: Arc::new(state.clone()), hint_for };
        prop_assert_eq!(ReplicaWrite::try_from(travel(&pb::InternalPutRequest::from(&write))), Ok(write.clone()));
        let on_stream = replicated_from(fence, travel(&pb::ReplicaRequest::from(&write)));
        prop_assert_eq!(on_stream, Ok(Replicated::Write(write)));
        let read = ReplicaRead { fence, key, as_fallback: flag, known: hash.map(StateHash) };
        prop_assert_eq!(ReplicaRead::try_from(travel(&pb::InternalGetRequest::from(&read))), Ok(read.clone()));
        let on_stream = replicated_from(fence, travel(&pb::ReplicaRequest::from(&read)));
        prop_assert_eq!(on_stream, Ok(Replicated::Read(read)));
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
    fn listings_of_keys_travel_unchanged(fence in fence(), scan in key_scan(), states in key_states()) {
        let sent = travel(&pb::FetchKeysRequest::from((fence, &scan)));
        prop_assert_eq!(<(Fence, KeyScan)>::try_from(sent), Ok((fence, scan)));
        let sent = travel(&pb::FetchKeysResponse::from(Ok(states.clone())));
        prop_assert_eq!(KeyStates::try_from(sent), Ok(states));
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
    fn an_exchange_travels_as_it_was_meant(fence in fence(), question in question(), answer in tree_answer()) {
        let sent = pb::ExchangeTreesRequest::from((fence, &question));
        prop_assert_eq!(travel(&sent).try_into(), Ok((fence, question)));
        let sent = pb::ExchangeTreesResponse::from(Ok(answer.clone()));
        prop_assert_eq!(Answer::try_from(travel(&sent)), Ok(answer));
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
            (fence(), question()).prop_map(|(fence, question)| {
                pb::ExchangeTreesRequest::from((fence, &question)).encode_to_vec()
            }),
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
        stable::<pb::ExchangeTreesRequest, (Fence, Question<Entry>)>(&bytes, |(fence, question)| (*fence, question).into())?;
        stable::<pb::TreeListing, Listing>(&bytes, |taken| taken.into())?;
        stable::<pb::PlaceSums, Sums>(&bytes, |taken| taken.into())?;
        stable::<pb::TreeDifference, Difference<Entry>>(&bytes, |taken| taken.into())?;
        stable::<pb::ObjectPage, Page>(&bytes, |taken| taken.into())?;
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
