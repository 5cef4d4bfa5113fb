//! Bytes on disk and on the wire: golden vectors, round trips, and decoders fed with anything.

use dynamokv_vclock::{
    ActorId, CausalContext, ContextToken, Dot, Epoch, Error, Siblings, VersionVector, varint,
};
use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn golden_version_vector() {
    let vector = VersionVector::from_iter([dot(1, 5, 3), dot(1, 7, 300), dot(4, 2, 1)]);
    let bytes = [
        0x11, // version vector, version 1
        3,    // entries
        1, 5, 3, // node 1, epoch 5, counter 3
        0, 2, 0xac, 2, // same node, epoch + 2, counter 300
        3, 2, 1, // node + 3, epoch 2, counter 1
    ];
    assert_eq!(written(|out| vector.encode(out)), bytes);
    assert_eq!(VersionVector::decode(&bytes), Ok(vector));
}

#[test]
fn golden_causal_context() {
    let context =
        CausalContext::from_iter([dot(1, 5, 1), dot(1, 5, 4), dot(1, 5, 6), dot(2, 0, 9)]);
    let bytes = [
        0x21, // causal context, version 1
        1, 1, 5, 1, // one entry: node 1, epoch 5, counter 1
        3, // gaps
        1, 5, 4, // node 1, epoch 5, counter 4
        0, 0, 2, // same actor, counter + 2
        1, 0, 9, // node + 1, epoch 0, counter 9
    ];
    assert_eq!(written(|out| context.encode(out)), bytes);
    assert_eq!(CausalContext::decode(&bytes), Ok(context));
}

#[test]
fn golden_sibling_set() {
    let mut state = Siblings::delta(dot(1, 5, 2), 0xaa, &CausalContext::from(dot(1, 5, 1)));
    state.join(Siblings::delta(dot(3, 0, 1), 0xbb, &CausalContext::new()));
    let bytes = [
        0x31, // sibling set, version 1
        2, 1, 5, 2, 2, 0,
        1, // two entries: node 1, epoch 5, counter 2; node + 2, epoch 0, counter 1
        0, // no gaps
        2, // values
        1, 5, 2, 0xaa, // the dot, the value
        2, 0, 1, 0xbb,
    ];
    assert_eq!(written(|out| state.encode_with(out, put_byte)), bytes);
    assert_eq!(decode_siblings(&bytes), Ok((state, 0)));
}

#[test]
fn golden_context_token() {
    let context = CausalContext::from(dot(1, 5, 1));
    let bytes = [
        0x41, // context token, version 1
        88, 129, 100, 124, 123, 122, 70, 182, // scope
        161, 24, 4, 146, // checksum
        0x21, 1, 1, 5, 1, 0, // the context
    ];
    assert_eq!(ContextToken::seal(&context, b"default", b"cart"), bytes);
    assert_eq!(ContextToken::open(&bytes, b"default", b"cart"), Ok(context));
}

#[test]
fn the_empty_context_is_no_bytes() {
    assert!(ContextToken::seal(&CausalContext::new(), b"default", b"cart").is_empty());
    assert_eq!(
        ContextToken::open(&[], b"default", b"cart"),
        Ok(CausalContext::new())
    );
}

#[test]
fn forms_that_are_not_canonical_are_refused() {
    let cases: [(&str, &[u8]); 10] = [
        ("counter 0", &[0x21, 1, 1, 5, 0, 0]),
        ("an actor twice", &[0x21, 2, 1, 5, 1, 0, 0, 1, 0]),
        (
            "a node beyond 64 bits",
            &[
                0x21, 2, 1, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 1, 0,
            ],
        ),
        ("a long zero", &[0x21, 0, 0x80, 0]),
        ("a gap that is contiguous", &[0x21, 1, 1, 5, 1, 1, 1, 5, 2]),
        ("a gap within the vector", &[0x21, 1, 1, 5, 4, 1, 1, 5, 2]),
        ("a first dot as gap", &[0x21, 0, 1, 1, 5, 1]),
        ("a gap twice", &[0x21, 0, 2, 1, 5, 3, 0, 0, 0]),
        (
            "a counter beyond 64 bits",
            &[
                0x21, 0, 2, 1, 5, 3, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1,
            ],
        ),
        ("a longer count", &[0x21, 0x80, 0, 0]),
    ];
    for (what, bytes) in cases {
        let error = CausalContext::<ActorId>::decode(bytes).unwrap_err();
        assert!(
            matches!(error, Error::NotCanonical { .. }),
            "{what}: {error}"
        );
    }
    let uncovered = [0x31, 0, 0, 1, 1, 5, 1, 0xaa];
    assert!(matches!(
        decode_siblings(&uncovered),
        Err(Error::NotCanonical { .. })
    ));
}

#[test]
fn errors_name_what_is_wrong() {
    let error = |bytes: &[u8]| {
        CausalContext::<ActorId>::decode(bytes)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(error(&[]), "causal context: the input ends early");
    assert_eq!(
        error(&[0x22]),
        "causal context: format byte 0x22 is unknown, this version reads 0x21"
    );
    assert_eq!(
        error(&[0x21, 0, 0, 7]),
        "causal context: 1 bytes follow its end"
    );
    assert_eq!(error(&[0x21, 1, 1, 5]), "counter: the input ends early");
}

#[test]
fn a_count_that_the_input_cannot_hold_is_refused_before_anything_is_allocated() {
    let refused = Error::Truncated {
        field: "element count",
    };
    let count = [0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 1, 1, 1];
    let after = |start: &[u8]| [start, &count].concat();
    assert_eq!(
        CausalContext::<ActorId>::decode(&after(&[0x21])),
        Err(refused.clone())
    );
    assert_eq!(
        CausalContext::<ActorId>::decode(&after(&[0x21, 0])),
        Err(refused.clone())
    );
    assert_eq!(decode_siblings(&after(&[0x31, 0, 0])), Err(refused));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_a_decoder_accepts_is_written_back_byte_for_byte(bytes in likely_bytes()) {
        if let Ok(vector) = VersionVector::<ActorId>::decode(&bytes) {
            prop_assert_eq!(written(|out| vector.encode(out)), bytes.clone());
        }
        if let Ok(vector) = VersionVector::<u64>::decode(&bytes) {
            prop_assert_eq!(written(|out| vector.encode(out)), bytes.clone());
        }
        if let Ok(context) = CausalContext::<ActorId>::decode(&bytes) {
            prop_assert_eq!(written(|out| context.encode(out)), bytes.clone());
        }
        if let Ok((state, left)) = decode_siblings(&bytes) {
            prop_assert_eq!(&written(|out| state.encode_with(out, put_byte)), &bytes[..bytes.len() - left]);
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_token(bytes in vec(0_u8.., 1..60), header in any::<bool>()) {
        let mut bytes = bytes;
        if header {
            bytes[0] = 0x41;
        }
        prop_assert!(ContextToken::open(&bytes, b"default", b"cart").is_err());
    }

    #[test]
    fn states_come_back_from_their_bytes(state in state()) {
        let mut bytes = written(|out| state.encode_with(out, put_byte));
        bytes.push(0xee);
        prop_assert_eq!(decode_siblings(&bytes), Ok((state.clone(), 1)));
        let context = state.context();
        prop_assert_eq!(&CausalContext::decode(&written(|out| context.encode(out))), &Ok(context.clone()));
        let vector = context.vector();
        prop_assert_eq!(&VersionVector::decode(&written(|out| vector.encode(out))), &Ok(vector.clone()));
    }

    #[test]
    fn a_state_that_was_cut_is_refused(state in state(), cut in any::<prop::sample::Index>()) {
        let bytes = written(|out| state.encode_with(out, put_byte));
        let cut = &bytes[..cut.index(bytes.len())];
        let truncated = matches!(decode_siblings(cut), Err(Error::Truncated { .. }));
        prop_assert!(truncated);
    }

    #[test]
    fn tokens_open_for_their_own_key_only(
        state in state(), keyspace in vec(0_u8..3, 0..3), key in vec(0_u8..3, 0..3), other in vec(0_u8..3, 0..3),
    ) {
        let context = state.context();
        let token = ContextToken::seal(context, &keyspace, &key);
        prop_assert_eq!(ContextToken::open(&token, &keyspace, &key), Ok(context.clone()));
        for (foreign_keyspace, foreign_key) in [(&other, &key), (&keyspace, &other), (&key, &keyspace)] {
            if !context.is_empty() && (foreign_keyspace, foreign_key) != (&keyspace, &key) {
                let opened = ContextToken::open(&token, foreign_keyspace, foreign_key);
                prop_assert_eq!(opened, Err(Error::ForeignContext));
            }
        }
    }

    #[test]
    fn a_changed_or_cut_token_is_refused(state in state(), at in any::<prop::sample::Index>(), flip in 1_u8..) {
        prop_assume!(!state.context().is_empty());
        let token = ContextToken::seal(state.context(), b"default", b"cart");
        let mut changed = token.clone();
        let at = at.index(token.len());
        changed[at] ^= flip;
        let refused = ContextToken::open(&changed, b"default", b"cart").unwrap_err();
        if at > 0 {
            prop_assert_eq!(refused, Error::DamagedContext);
            prop_assert_eq!(ContextToken::open(&token[..at], b"default", b"cart"), Err(Error::DamagedContext));
        }
    }
}

/// A right header, then mostly small numbers, so that a good part of the inputs is accepted or
/// nearly so.
fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
    let header = prop_oneof![Just(0x11_u8), Just(0x21), Just(0x31), any::<u8>()];
    let body = prop_oneof![
        vec(0_u8..4, 0..16),
        vec(prop_oneof![9 => 0_u8..5, 1 => 0_u8..], 0..40)
    ];
    (header, body).prop_map(|(header, body)| [vec![header], body].concat())
}

pub(crate) fn state() -> impl Strategy<Value = Siblings<u8>> {
    let dot =
        (0_u64..4, prop_oneof![0_u64..2, 0_u64..], 1_u64..9).prop_map(|(n, e, c)| dot(n, e, c));
    let write = (dot.clone(), vec(dot, 0..6), 0_u8..);
    vec(write, 0..8).prop_map(|writes| {
        let mut state = Siblings::new();
        for (dot, seen, value) in writes {
            let client: CausalContext = seen.into_iter().filter(|seen| *seen != dot).collect();
            state.join(Siblings::delta(dot, value, &client));
        }
        state
    })
}

proptest! {
    #[test]
    fn a_dot_is_read_back_from_its_text_and_from_no_other(
        node: u64, epoch: u64, counter: u64, at in 0_usize..40, byte in "[0-9a-fA-F+.@ ]"
    ) {
        let dot = dot(node, epoch, counter);
        let text = dot.to_string();
        prop_assert_eq!(text.parse(), Ok(dot));
        let mut other = text.clone();
        let at = at.min(text.len() - 1);
        other.replace_range(at..=at, &byte);
        // Another text is another dot, or none.
        prop_assert_eq!(other.parse() == Ok(dot), other == text);
    }
}

pub(crate) fn dot(node: u64, epoch: u64, counter: u64) -> Dot {
    Dot::new(ActorId::new(node, Epoch(epoch)), counter)
}

fn put_byte(value: &u8, out: &mut Vec<u8>) {
    out.push(*value);
}

/// The state and how many bytes follow it.
fn decode_siblings(mut input: &[u8]) -> Result<(Siblings<u8>, usize), Error> {
    let state = Siblings::decode_with(&mut input, |input| varint::take_byte(input, "value"))?;
    Ok((state, input.len()))
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}
