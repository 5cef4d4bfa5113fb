//! Keys, states and contexts.

use bytes::Bytes;
use dynamokv_storage::{ObjectKey, State, decode_state, encode_state};
use dynamokv_vclock::CausalContext;

use crate::error::required;
use crate::{Error, Result, pb};

impl From<&ObjectKey> for pb::ObjectKey {
    fn from(key: &ObjectKey) -> Self {
        Self {
            keyspace: key.keyspace().to_string(),
            key: key.key().clone(),
        }
    }
}

impl TryFrom<pb::ObjectKey> for ObjectKey {
    type Error = Error;

    fn try_from(message: pb::ObjectKey) -> Result<Self> {
        Self::new(&message.keyspace, message.key).map_err(|error| Error::field("key", error))
    }
}

/// Every sender names the key.
pub(crate) fn key_from(message: Option<pb::ObjectKey>) -> Result<ObjectKey> {
    required("key", message)?.try_into()
}

/// No bytes for the state of a key that was never written.
pub(crate) fn state_bytes(state: &State) -> Bytes {
    if state.context().is_empty() {
        Bytes::new()
    } else {
        encode_state(state).into()
    }
}

pub(crate) fn state_from(field: &'static str, bytes: &Bytes) -> Result<State> {
    if bytes.is_empty() {
        return Ok(State::new());
    }
    decode_state(bytes).map_err(|error| Error::field(field, error))
}

/// No bytes for the context that has seen nothing.
pub(crate) fn encode_context(context: &CausalContext) -> Bytes {
    let mut out = Vec::new();
    if !context.is_empty() {
        context.encode(&mut out);
    }
    out.into()
}

pub(crate) fn decode_context(bytes: &Bytes) -> Result<CausalContext> {
    if bytes.is_empty() {
        return Ok(CausalContext::new());
    }
    CausalContext::decode(bytes).map_err(|error| Error::field("context", error))
}
