//! The wire form: what is sent is what arrives, nothing that arrives does harm, and the bytes stay what they are.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod strategies;

use std::sync::Arc;
use std::time::Duration;

use dynamokv_gossip::{
    Ack, Delta, Error, FORMAT_OLDEST, FORMAT_VERSION, Header, Message, News, Profile, Refusal,
    Status, Versioned,
};
use dynamokv_ring::{Member, NodeId};
use proptest::prelude::*;

proptest! {
    #[test]
    fn messages_arrive_as_they_were_sent_and_are_as_long_as_said(message in strategies::message()) {
        let bytes = message.encode();
        prop_assert_eq!(bytes.len(), message.encoded_len());
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
    }

    #[test]
    fn what_a_later_version_appends_is_skipped(message in strategies::message(), more in proptest::collection::vec(any::<u8>(), 0..20)) {
        let mut bytes = message.encode();
        bytes.extend(more);
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
    }

    #[test]
    fn damaged_bytes_are_read_as_something_or_refused(
        message in strategies::message(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = message.encode();
        *at.get_mut(&mut bytes) = byte;
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Ok(read) = Message::decode(&bytes) {
            // Whatever was accepted is the same after another journey.
            prop_assert_eq!(Message::decode(&read.encode()), Ok(read));
        }
    }

    #[test]
    fn any_bytes_at_all_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::decode(&bytes);
    }

    #[test]
    fn a_message_that_is_cut_short_is_refused_with_the_field(message in strategies::message(), cut in any::<prop::sample::Index>()) {
        let bytes = message.encode();
        let cut = cut.index(bytes.len());
        let malformed = matches!(Message::decode(&bytes[..cut]), Err(Error::Malformed { .. }));
        prop_assert!(malformed);
    }
}

#[test]
fn a_list_that_claims_to_be_huge_costs_nothing() {
    let mut bytes = Message::Ack(Ack {
        header: header(),
        deltas: vec![],
        wanted: vec![],
        part: None,
    })
    .encode();
    // The three empty lists at the end make room for one of 2^62 deltas.
    bytes.truncate(bytes.len() - 3);
    bytes.extend([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x3F]);
    assert!(matches!(
        Message::decode(&bytes),
        Err(Error::Malformed { what: "deltas", .. })
    ));
}

#[test]
fn other_formats_are_known_for_what_they_are() {
    for (format, refusal) in [
        (FORMAT_VERSION + 1, Refusal::FormatTooNew),
        (FORMAT_OLDEST - 1, Refusal::FormatTooOld),
    ] {
        let message = Message::Ping(Header { format, ..header() });
        let error = Message::decode(&message.encode()).unwrap_err();
        assert_eq!(error.refusal(), refusal);
        // Even if nothing else of it can be read.
        let unreadable = [2, u8::try_from(format).unwrap(), 0xFF];
        assert_eq!(Message::decode(&unreadable).unwrap_err(), error);
    }
}

#[test]
fn the_bytes_of_an_ack_stay_what_they_are() {
    let profile = Profile {
        name: "n".to_owned(),
        address: "a:1".to_owned(),
        zone: "z".into(),
        weight: Member::ORDINARY_WEIGHT,
        status: Status::Up,
    };
    let news = News::Writes {
        since: 1,
        upto: 7,
        profile: Some((Arc::new(profile), 6)),
        kv: vec![(
            "k".to_owned(),
            Versioned {
                value: "v".to_owned(),
                version: 7,
            },
        )],
    };
    let delta = Delta {
        id: NodeId(3),
        generation: 4,
        heartbeat: 300,
        age: 9,
        news,
    };
    let ack = Message::Ack(Ack {
        header: header(),
        deltas: vec![delta],
        wanted: vec![],
        part: None,
    });
    let hex: String = ack
        .encode()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        hex,
        concat!(
            "25",
            "02",
            "0163",
            "010200000000000000",
            "0300000000000000",
            "04",
            "08",
            "03613a31",
            "0500000000000000",
            "c0843d",
            "03",
            "01",
            "0300000000000000",
            "04",
            "ac02",
            "09",
            "00",
            "01",
            "07",
            "01",
            "016e",
            "03613a31",
            "017a",
            "64",
            "02",
            "06",
            "01",
            "016b",
            "0176",
            "07",
            "00",
            "00",
        )
    );
}

fn header() -> Header {
    Header {
        format: FORMAT_VERSION,
        cluster_name: "c".to_owned(),
        cluster_id: Some(2),
        from: NodeId(3),
        generation: 4,
        heartbeat: 8,
        address: "a:1".to_owned(),
        process: 5,
        interval: Duration::from_secs(1),
    }
}
