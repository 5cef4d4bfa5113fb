//! The forms of the `serde` feature: golden ones, round trips, and what is not canonical.

use dynamokv_vclock::{
    ActorId, CausalContext, Dot, Epoch, HybridTime, Position, Siblings, VersionVector,
};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::encodings::{dot, state};

#[test]
fn golden_json() {
    let vector = VersionVector::from_iter([dot(0xab, 0x1f, 3), dot(0xac, 0, 1)]);
    is_shown_as(
        &vector,
        r#"[["00000000000000ab.1f",3],["00000000000000ac.0",1]]"#,
    );
    let mut state = Siblings::delta(dot(1, 5, 3), "milk".to_owned(), &CausalContext::new());
    is_shown_as(
        state.context(),
        r#"{"vector":[],"gaps":[["0000000000000001.5",3]]}"#,
    );
    state.join(Siblings::delta(
        dot(2, 0, 1),
        "eggs".to_owned(),
        &CausalContext::new(),
    ));
    is_shown_as(
        &state,
        concat!(
            r#"{"context":{"vector":[["0000000000000002.0",1]],"gaps":[["0000000000000001.5",3]]},"#,
            r#""values":[[["0000000000000001.5",3],"milk"],[["0000000000000002.0",1],"eggs"]]}"#,
        ),
    );
    let small: VersionVector<u64> = [Dot::new(7, 2)].into_iter().collect();
    is_shown_as(&small, "[[7,2]]");
    is_shown_as(&Epoch(0x1f), r#""1f""#);
    is_shown_as(&ActorId::new(0xab, Epoch(0x1f)), r#""00000000000000ab.1f""#);
    let position = Position {
        epoch: Epoch(0x1f),
        counter: 3,
    };
    is_shown_as(&position, r#"{"epoch":"1f","counter":3}"#);
    is_shown_as(&HybridTime::new(1, 2), "65538");
}

#[test]
fn compact_formats_hold_the_binary_form() {
    let context = CausalContext::from(dot(1, 5, 1));
    let bytes = [6, 0x21, 1, 1, 5, 1, 0]; // a length, then what `encode` writes
    assert_eq!(postcard::to_stdvec(&context).unwrap(), bytes);
    assert_eq!(
        postcard::from_bytes::<CausalContext>(&bytes).unwrap(),
        context
    );
}

#[test]
fn forms_that_are_not_canonical_are_refused() {
    let refused = |text: &str, why: &str| {
        let error = serde_json::from_str::<Siblings<u8, u64>>(text).unwrap_err();
        assert!(error.to_string().contains(why), "{text}: {error}");
    };
    let set = |context: &str, values: &str| format!(r#"{{"context":{context},"values":{values}}}"#);
    let context =
        |vector: &str, gaps: &str| set(&format!(r#"{{"vector":{vector},"gaps":{gaps}}}"#), "[]");
    refused(&context("[[2,1],[1,1]]", "[]"), "actors ascend");
    refused(&context("[[1,1],[1,2]]", "[]"), "one entry an actor");
    refused(&context("[[1,0]]", "[]"), "counters start at 1");
    refused(
        &context("[[1,1]]", "[[1,2]]"),
        "contiguous dots are in the vector",
    );
    refused(
        &context("[[1,4]]", "[[1,2]]"),
        "contiguous dots are in the vector",
    );
    refused(&context("[]", "[[1,4],[1,3]]"), "gaps ascend");
    refused(&context("[]", "[[1,4],[1,4]]"), "gaps ascend");
    let seen = r#"{"vector":[[1,2]],"gaps":[]}"#;
    refused(&set(seen, "[[[2,1],7]]"), "the context covers every value");
    refused(&set(seen, "[[[1,2],7],[[1,1],7]]"), "values ascend by dot");
    refused(
        r#"{"context":{"vector":[],"gaps":[],"more":0},"values":[]}"#,
        "unknown field",
    );
    for text in [r#""1F""#, r#""01f""#, r#""+1""#, r#""""#, "31"] {
        assert!(serde_json::from_str::<Epoch>(text).is_err(), "{text}");
    }
    assert!(postcard::from_bytes::<CausalContext>(&[5, 0x21, 1, 1, 5, 0, 0]).is_err());
}

proptest! {
    #[test]
    fn values_come_back_from_either_form(state in state()) {
        comes_back(&state);
        comes_back(state.context());
        comes_back(state.context().vector());
        for (dot, _) in state.values() {
            comes_back(dot);
            comes_back(&Position { epoch: dot.actor.epoch, counter: dot.counter });
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(0_u8.., 0..40)) {
        let _ = postcard::from_bytes::<Siblings<u8>>(&bytes);
        let _ = postcard::from_bytes::<VersionVector>(&bytes);
        let _ = serde_json::from_slice::<Siblings<u8>>(&bytes);
    }
}

fn is_shown_as<T>(value: &T, text: &str)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    assert_eq!(serde_json::to_string(value).unwrap(), text);
    assert_eq!(serde_json::from_str::<T>(text).unwrap(), *value);
}

fn comes_back<T>(value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *value);
    let bytes = postcard::to_stdvec(value).unwrap();
    assert_eq!(postcard::from_bytes::<T>(&bytes).unwrap(), *value);
}
