use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use dynamokv_vclock::{Error as ClockError, HybridTime, Siblings, varint};

use crate::{Error, Result};

/// What one write stored: a body with its metadata, or a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// When it was written, for resolvers that want the last writer. Causality does not depend on it.
    pub time: HybridTime,
    /// The bytes; `None` for a tombstone.
    pub body: Option<Bytes>,
    /// What the bytes are, in the writer's words.
    pub content_type: Option<Arc<str>>,
}

/// The replicated state of one key: its concurrent values and everything that they supersede.
pub type State = Siblings<Value>;

impl Value {
    /// A value with a body and no content type.
    pub fn new(time: HybridTime, body: impl Into<Bytes>) -> Self {
        Self {
            time,
            body: Some(body.into()),
            content_type: None,
        }
    }

    /// The mark of a delete.
    #[must_use]
    pub fn tombstone(time: HybridTime) -> Self {
        Self {
            time,
            body: None,
            content_type: None,
        }
    }

    /// Whether this is the mark of a delete.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.body.is_none()
    }
}

/// What a reader is shown of a state, in the order of the dots: tombstones beside live values are hidden (the
/// state's context covers them all the same), and values that differ in time only are shown once, the newest of them.
///
/// Empty for a key that was never written, and for a deleted one.
#[must_use]
pub fn shown(state: &State) -> Vec<&Value> {
    let mut newest_first: Vec<(usize, &Value)> = state
        .values()
        .map(|(_, value)| value)
        .filter(|value| !value.is_tombstone())
        .enumerate()
        .collect();
    newest_first.sort_by_key(|(_, value)| std::cmp::Reverse(value.time));
    let mut seen = BTreeSet::new();
    newest_first.retain(|(_, value)| seen.insert((&value.body, &value.content_type)));
    newest_first.sort_by_key(|(place, _)| *place);
    newest_first.into_iter().map(|(_, value)| value).collect()
}

/// The canonical bytes of a state: equal states have equal bytes. What is stored, hashed, and fit to be sent.
#[must_use]
pub fn encode_state(state: &State) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded_bytes_max(state));
    append_state(state, &mut out);
    out
}

/// Reads what [`encode_state`] wrote, and nothing else. Bodies are slices of `bytes`, not copies.
///
/// # Errors
/// [`Error::InvalidState`] for any other bytes.
pub fn decode_state(bytes: &Bytes) -> Result<State> {
    decode_state_within(bytes, bytes)
}

/// As [`decode_state`], of a part of `bytes`.
pub(crate) fn decode_state_within(bytes: &Bytes, mut part: &[u8]) -> Result<State> {
    let state = Siblings::decode_with(&mut part, |input| take_value(input, bytes)).map_err(
        |error: ClockError| Error::InvalidState {
            reason: error.to_string().into(),
        },
    )?;
    if part.is_empty() {
        Ok(state)
    } else {
        Err(Error::InvalidState {
            reason: "bytes follow its end".into(),
        })
    }
}

/// What the canonical bytes need at most, so that a buffer for them need not grow. O(values).
pub(crate) fn encoded_bytes_max(state: &State) -> usize {
    const NUMBER_BYTES_MAX: usize = 10;
    // A dot is three numbers, and so is an entry of the context or a gap in it; flags, time and two lengths are four.
    let of_value = |value: &Value| {
        let body = value.body.as_ref().map_or(0, Bytes::len);
        let content_type = value.content_type.as_ref().map_or(0, |text| text.len());
        7 * NUMBER_BYTES_MAX + body + content_type
    };
    let values: usize = state.values().map(|(_, value)| of_value(value)).sum();
    values + NUMBER_BYTES_MAX * (3 * state.context().len() + 4)
}

pub(crate) fn append_state(state: &State, out: &mut Vec<u8>) {
    state.encode_with(out, append_value);
}

const HAS_BODY: u8 = 1;
const HAS_CONTENT_TYPE: u8 = 2;

/// `[flags][time, varint]`, then for each flag set `[length, varint][bytes]`: content type, body.
fn append_value(value: &Value, out: &mut Vec<u8>) {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    out.push(
        flag(value.body.is_some(), HAS_BODY) | flag(value.content_type.is_some(), HAS_CONTENT_TYPE),
    );
    varint::put(out, value.time.0);
    if let Some(content_type) = &value.content_type {
        append_bytes(content_type.as_bytes(), out);
    }
    if let Some(body) = &value.body {
        append_bytes(body, out);
    }
}

fn take_value(input: &mut &[u8], backing: &Bytes) -> Result<Value, ClockError> {
    let flags = varint::take_byte(input, "value flags")?;
    if flags & !(HAS_BODY | HAS_CONTENT_TYPE) != 0 {
        return Err(ClockError::NotCanonical {
            field: "value flags",
            rule: "only known flags are set",
        });
    }
    let time = HybridTime(varint::take(input, "value time")?);
    let content_type = if flags & HAS_CONTENT_TYPE == 0 {
        None
    } else {
        let text = std::str::from_utf8(take_bytes(input, "content type")?);
        Some(
            text.map_err(|_| ClockError::NotCanonical {
                field: "content type",
                rule: "it is UTF-8",
            })?
            .into(),
        )
    };
    let body = if flags & HAS_BODY == 0 {
        None
    } else {
        Some(backing.slice_ref(take_bytes(input, "value body")?))
    };
    Ok(Value {
        time,
        body,
        content_type,
    })
}

fn append_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take_bytes<'a>(input: &mut &'a [u8], field: &'static str) -> Result<&'a [u8], ClockError> {
    let length = varint::take(input, field)?;
    let split = usize::try_from(length)
        .ok()
        .and_then(|length| input.split_at_checked(length));
    let (bytes, rest) = split.ok_or(ClockError::Truncated { field })?;
    *input = rest;
    Ok(bytes)
}
