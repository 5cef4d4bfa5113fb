//! Writes the seeds of the fuzz targets: small values of every kind, with and without gaps.
//!
//! `cargo run --manifest-path fuzz/Cargo.toml --example seeds`

use std::path::Path;
use std::{fs, io};

use dynamokv_storage::{State, Value, encode_state};
use dynamokv_vclock::{ActorId, CausalContext, ContextToken, Dot, Epoch, HybridTime, Siblings};

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let (decode, record) = (corpus.join("decode"), corpus.join("record"));
    fs::create_dir_all(&decode)?;
    fs::create_dir_all(&record)?;
    for actors in [0, 1, 3, 6] {
        for gap in [false, true] {
            for (kind, bytes) in kinds(&context(actors, gap)) {
                fs::write(decode.join(format!("{kind}-{actors}-{gap}")), bytes)?;
            }
            for (kind, bytes) in bodies(&context(actors, gap)) {
                fs::write(record.join(format!("{kind}-{actors}-{gap}")), bytes)?;
            }
        }
    }
    Ok(())
}

/// The context as each kind of bytes that a decoder reads.
fn kinds(context: &CausalContext) -> [(&'static str, Vec<u8>); 5] {
    let (mut vector, mut bare, mut siblings) = (Vec::new(), Vec::new(), Vec::new());
    context.vector().encode(&mut vector);
    context.encode(&mut bare);
    let dot = Dot::new(ActorId::new(9, Epoch(1)), 1);
    let mut state = Siblings::delta(dot, 7, context);
    // Two states, one behind the other: the first misses what the second has seen.
    for value in [8, 9] {
        let client = state.context().clone();
        state.encode_with(&mut siblings, |value, out| out.push(*value));
        let dot = Dot::new(dot.actor, u64::from(value));
        state.join(Siblings::delta(dot, value, &client));
    }
    let postcard = postcard::to_stdvec(&state).unwrap_or_default();
    let token = ContextToken::seal(context, b"default", b"cart");
    [
        ("vector", vector),
        ("context", bare),
        ("siblings", siblings),
        ("postcard", postcard),
        ("token", token),
    ]
}

/// Records without format and checksum: with a position, without one, and the bare state.
fn bodies(context: &CausalContext) -> [(&'static str, Vec<u8>); 3] {
    let actor = ActorId::new(9, Epoch(1));
    let text = Value {
        content_type: Some("text/plain".into()),
        ..Value::new(HybridTime(7), "body")
    };
    let mut state = State::delta(Dot::new(actor, 1), text, context);
    let tombstone = Value::tombstone(HybridTime(8));
    state.join(State::delta(Dot::new(actor, 2), tombstone, context));
    let state = encode_state(&state);
    let position = [[1].as_slice(), &[3; 24], &state].concat();
    let bare = [[0].as_slice(), &state].concat();
    [("position", position), ("none", bare), ("state", state)]
}

fn context(actors: u64, gap: bool) -> CausalContext {
    let dots = (0..actors).flat_map(|number| {
        let actor = ActorId::new(number / 2, Epoch(number << 24));
        let beyond = gap.then_some(5);
        [1, 2]
            .into_iter()
            .chain(beyond)
            .map(move |n| Dot::new(actor, n))
    });
    dots.collect()
}
