//! Any message.
#![allow(unreachable_pub)]

use std::sync::Arc;
use std::time::Duration;

use dynamokv_gossip::{
    Ack, Beat, Beats, BucketRoster, Delta, Digest, FORMAT_VERSION, FactsDigest, FactsPart,
    FactsState, Header, KeySpan, Message, News, Probe, Profile, Status, Syn, SynAck, Versioned,
    Vouch,
};
use dynamokv_ring::NodeId;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        (
            header(),
            any::<u64>(),
            vec(any::<u32>(), 0..5),
            beats(),
            facts_state()
        )
            .prop_map(|(header, view, buckets, beats, facts)| Message::Syn(Syn {
                header,
                view,
                buckets,
                beats,
                facts
            })),
        (
            header(),
            vec(span(), 0..3),
            vec(digest(), 0..4),
            beats(),
            facts_state(),
            option::of(part())
        )
            .prop_map(|(header, spans, digests, beats, facts, part)| {
                Message::SynAck(SynAck {
                    header,
                    spans,
                    digests,
                    beats,
                    facts,
                    part,
                })
            }),
        (
            header(),
            vec(delta(), 0..4),
            vec(digest(), 0..4),
            option::of(part())
        )
            .prop_map(|(header, deltas, wanted, part)| Message::Ack(Ack {
                header,
                deltas,
                wanted,
                part
            })),
        header().prop_map(Message::Ping),
        header().prop_map(Message::Pong),
        (header(), node()).prop_map(|(header, target)| Message::Probe(Probe { header, target })),
        (header(), node(), any::<u64>(), any::<u64>()).prop_map(
            |(header, target, generation, heartbeat)| {
                Message::Vouch(Vouch {
                    header,
                    target,
                    generation,
                    heartbeat,
                })
            }
        ),
    ]
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<u64>().prop_map(NodeId)
}

fn text() -> impl Strategy<Value = String> {
    "[a-zé]{0,9}"
}

fn header() -> impl Strategy<Value = Header> {
    (
        text(),
        option::of(any::<u64>()),
        node(),
        any::<[u64; 3]>(),
        text(),
        any::<u32>(),
    )
        .prop_map(
            |(
                cluster_name,
                cluster_id,
                from,
                [generation, heartbeat, process],
                address,
                micros,
            )| Header {
                format: FORMAT_VERSION,
                cluster_name,
                cluster_id,
                from,
                generation,
                heartbeat,
                address,
                process,
                interval: Duration::from_micros(micros.into()),
            },
        )
}

fn span() -> impl Strategy<Value = KeySpan> {
    (any::<u64>(), any::<u64>()).prop_map(|(first, last)| KeySpan { first, last })
}

fn digest() -> impl Strategy<Value = Digest> {
    (node(), any::<u64>(), any::<u64>(), any::<bool>()).prop_map(
        |(id, generation, version, left)| Digest {
            id,
            generation,
            version,
            left,
        },
    )
}

fn beats() -> impl Strategy<Value = Beats> {
    let roster = (any::<u32>(), any::<u32>()).prop_map(|(sum, nodes)| BucketRoster { sum, nodes });
    let beat = (any::<u16>(), any::<u8>()).prop_map(|(number, age)| Beat { number, age });
    (
        any::<u32>(),
        any::<u32>(),
        vec(roster, 0..4),
        vec(beat, 0..9),
    )
        .prop_map(|(buckets, first, rosters, beats)| Beats {
            buckets,
            first,
            rosters,
            beats,
        })
}

fn facts_digest() -> impl Strategy<Value = FactsDigest> {
    (any::<u64>(), option::of(node())).prop_map(|(number, open)| FactsDigest { number, open })
}

fn facts_state() -> impl Strategy<Value = FactsState> {
    (
        option::of(facts_digest()),
        option::of((facts_digest(), any::<u32>())),
    )
        .prop_map(|(known, partial)| FactsState { known, partial })
}

fn part() -> impl Strategy<Value = FactsPart> {
    (
        facts_digest(),
        any::<u32>(),
        any::<u32>(),
        vec(any::<u8>(), 0..9),
    )
        .prop_map(|(digest, total, offset, bytes)| FactsPart {
            digest,
            total,
            offset,
            bytes,
        })
}

fn delta() -> impl Strategy<Value = Delta> {
    let status = prop::sample::select(Status::ALL.to_vec());
    let profile = (text(), text(), text(), 1..=u32::MAX, status).prop_map(
        |(name, address, zone, weight, status)| {
            Arc::new(Profile {
                name,
                address,
                zone: zone.into(),
                weight: weight.try_into().unwrap(),
                status,
            })
        },
    );
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
    (node(), any::<u64>(), any::<u64>(), any::<u8>(), news).prop_map(
        |(id, generation, heartbeat, age, news)| Delta {
            id,
            generation,
            heartbeat,
            age,
            news,
        },
    )
}
