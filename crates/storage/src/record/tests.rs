#![allow(clippy::unwrap_used, clippy::expect_used)]

use dynamokv_vclock::{ActorId, CausalContext, Dot, HybridTime};
use proptest::prelude::*;

use super::*;
use crate::hash::StateHash;
use crate::key::ObjectKey;
use crate::testing::strategies::state;
use crate::value::{Value, decode_state, encode_state};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_round_trip(state in state(), position in position()) {
        prop_assert!(encode_state(&state).len() <= encoded_bytes_max(&state));
        let encoded = encode(b"key", position, &state);
        let (record, state_bytes) = decode(b"key", &encoded.bytes).unwrap();
        prop_assert_eq!(state_bytes, encoded.state());
        let record_again = decode_trusted(&encoded.bytes);
        prop_assert_eq!(record_again.as_ref(), Some(&record));
        prop_assert_eq!(record, Record { position, state });
    }

    #[test]
    fn a_flipped_bit_anywhere_is_damage(state in state(), position in position()) {
        let encoded = encode(b"key", position, &state).bytes;
        for bit in 0..encoded.len() * 8 {
            let mut flipped = encoded.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode(b"key", &flipped.into()).is_err(), "bit {}", bit);
        }
    }

    #[test]
    fn a_record_cut_or_grown_or_under_another_key_is_damage(state in state(), position in position()) {
        let encoded = encode(b"key", position, &state).bytes;
        for length in 0..encoded.len() {
            prop_assert!(decode(b"key", &encoded.slice(..length)).is_err());
        }
        let grown = [&encoded, b"x".as_slice()].concat();
        prop_assert!(decode(b"key", &grown.into()).is_err());
        prop_assert_eq!(decode(b"kez", &encoded).unwrap_err(), Damage::Checksum);
    }

    #[test]
    fn content_that_is_not_canonical_is_damage_even_under_a_right_checksum(
        state in state(),
        position in position(),
        at in any::<prop::sample::Index>(),
        xor in 1u8..,
    ) {
        let mut body = encode(b"key", position, &state).bytes[CHECKSUM.end..].to_vec();
        let at = at.index(body.len());
        body[at] ^= xor;
        let sum = checksum(b"key", FORMAT, &body).to_le_bytes();
        let bytes = Bytes::from([[FORMAT].as_slice(), &sum, &body].concat());
        if let Ok((record, _)) = decode(b"key", &bytes) {
            prop_assert_eq!(encode(b"key", record.position, &record.state).bytes, bytes);
        }
    }

    #[test]
    fn equal_states_have_equal_bytes_and_hashes_however_they_came_about(a in state(), b in state()) {
        // Same dots must mean same values: `b` moves to actors of its own.
        let b = decode_state(&encode_state(&b).into()).unwrap().into_parts();
        let b = b.1.into_iter().fold(crate::State::new(), |mut moved, (dot, value)| {
            let dot = Dot::new(ActorId::new(dot.actor.node + 10, dot.actor.epoch), dot.counter);
            moved.join(crate::State::delta(dot, value, &CausalContext::new()));
            moved
        });
        let (mut ab, mut ba) = (a.clone(), b.clone());
        ab.join_ref(&b);
        ba.join_ref(&a);
        ba.join_ref(&b);
        prop_assert_eq!(encode_state(&ab), encode_state(&ba));
        let key = ObjectKey::new("default", "key").unwrap();
        prop_assert_eq!(StateHash::of(&key, &ab), StateHash::of(&key, &ba));
        prop_assert_eq!(ab == a, StateHash::of(&key, &ab) == StateHash::of(&key, &a));
    }
}

#[test]
fn the_checksum_is_one_function_at_every_length() {
    for length in (0..2 * LONG_BYTES_MIN).step_by(61).chain([70_000]) {
        let body: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
        let whole = [b"key".as_slice(), &[FORMAT], &body].concat();
        assert_eq!(checksum(b"key", FORMAT, &body), crc32c::crc32c(&whole));
    }
}

#[test]
fn the_hash_depends_on_keyspace_and_key() {
    let hash = |keyspace, key: &'static str| {
        StateHash::of(&ObjectKey::new(keyspace, key).unwrap(), &golden_state())
    };
    let hashes = [hash("ab", "c"), hash("a", "bc"), hash("ab", "d")];
    assert!(hashes[0] != hashes[1] && hashes[0] != hashes[2] && hashes[1] != hashes[2]);
}

#[test]
fn the_format_is_golden() {
    let position = Some(Stamped {
        incarnation: 2,
        position: Position {
            epoch: Epoch(7),
            counter: 3,
        },
    });
    let key = ObjectKey::new("default", "user:1").unwrap();
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let encode = |position| hex(&encode(&key.encode(), position, &golden_state()).bytes);
    let hash = StateHash::of(&key, &golden_state()).to_string();
    assert_eq!([encode(position), encode(None), hash], GOLDEN);
}

#[test]
fn a_newer_format_is_told_apart() {
    let mut bytes = encode(b"key", None, &golden_state()).bytes.to_vec();
    bytes[0] = FORMAT + 1;
    assert_eq!(
        decode(b"key", &bytes.into()).unwrap_err(),
        Damage::Format(FORMAT + 1)
    );
}

/// A record with a position, the same without, and its state's hash.
const GOLDEN: [&str; 3] = [
    "01da0ea8920102000000000000000700000000000000030000000000000031000201070200000102010702038180a01f0a746578742f706c61696e0568656c6c6f000001008280a01f",
    "01f38be04d0031000201070200000102010702038180a01f0a746578742f706c61696e0568656c6c6f000001008280a01f",
    "7294db99bc44a68e219e81f4719b9b4d",
];

fn golden_state() -> State {
    let actor = ActorId::new(1, Epoch(7));
    let text = Value {
        content_type: Some("text/plain".into()),
        ..Value::new(HybridTime::new(1_000, 1), "hello")
    };
    let mut state = State::delta(Dot::new(actor, 2), text, &CausalContext::new());
    state.join(State::delta(
        Dot::new(actor, 3),
        Value::tombstone(HybridTime::new(1_000, 2)),
        &CausalContext::new(),
    ));
    state
}

fn position() -> impl Strategy<Value = Option<Stamped>> {
    proptest::option::of((any::<u64>(), any::<u64>(), any::<u64>())).prop_map(|numbers| {
        numbers.map(|(incarnation, epoch, counter)| Stamped {
            incarnation,
            position: Position {
                epoch: Epoch(epoch),
                counter,
            },
        })
    })
}
