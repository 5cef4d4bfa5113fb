//! Everything that reads bytes of disk or network: nothing panics, what is accepted is written
//! back byte for byte, and what was read can be worked with. Seeds: `examples/seeds.rs`.
#![no_main]

use dynamokv_vclock::{
    ActorId, CausalContext, ContextToken, Error, Siblings, VersionVector, varint,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(vector) = VersionVector::<ActorId>::decode(input) {
        assert_eq!(written(|out| vector.encode(out)), input);
    }
    if let Ok(vector) = VersionVector::<u64>::decode(input) {
        assert_eq!(written(|out| vector.encode(out)), input);
        let sum = sum(&vector, &vector);
        assert_eq!(sum, vector);
    }
    if let Ok(context) = CausalContext::<ActorId>::decode(input) {
        assert_eq!(written(|out| context.encode(out)), input);
        token_holds(&context);
    }
    let mut rest = input;
    if let Ok(state) = siblings(&mut rest) {
        let bytes = written(|out| state.encode_with(out, |value, out| out.push(*value)));
        assert_eq!(bytes, input[..input.len() - rest.len()]);
        // The rest may be a state as well: the two join alike in either order.
        if let Ok(other) = siblings(&mut rest) {
            joins_alike(&state.map(|_, _| ()), &other.map(|_, _| ()));
        }
    }
    if let Ok(context) = ContextToken::open(input, b"default", b"cart")
        && !context.is_empty()
    {
        assert_eq!(ContextToken::seal(&context, b"default", b"cart"), input);
    }
    let _ = postcard::from_bytes::<Siblings<u8>>(input);
});

fn siblings(input: &mut &[u8]) -> Result<Siblings<u8>, Error> {
    Siblings::decode_with(input, |input| varint::take_byte(input, "value"))
}

fn sum(a: &VersionVector<u64>, b: &VersionVector<u64>) -> VersionVector<u64> {
    let mut sum = a.clone();
    sum.merge(b);
    assert!(sum >= *a && sum >= *b);
    sum
}

fn token_holds(context: &CausalContext) {
    let token = ContextToken::seal(context, b"default", b"cart");
    assert_eq!(
        ContextToken::open(&token, b"default", b"cart").as_ref(),
        Ok(context)
    );
    assert_eq!(
        ContextToken::open(&token, b"default", b"other").is_err(),
        !context.is_empty()
    );
}

/// The values are unit: two states that hold different values under one dot have no join.
fn joins_alike(a: &Siblings<()>, b: &Siblings<()>) {
    let (mut left, mut right) = (a.clone(), b.clone());
    let changed = left.join_ref(b);
    assert_eq!(changed, left != *a);
    right.join(a.clone());
    assert_eq!(left, right);
    assert!(left.context() >= a.context() && left.context() >= b.context());
    assert!(!left.join_ref(b));
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}
