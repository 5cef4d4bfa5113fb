use std::fmt;

use xxhash_rust::xxh3::Xxh3;

use crate::key::ObjectKey;
use crate::value::{State, encode_state};

/// A 128-bit fingerprint of one key's replicated state, equal on all replicas that hold the same state.
///
/// XXH3-128 over `[length of the keyspace, 1 byte][keyspace][length of the key, 4 bytes big-endian][key][canonical state]`.
/// The issuing position is not part of it. Hash trees combine these by XOR.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateHash(pub u128);

impl StateHash {
    /// The fingerprint of `state` under `key`. O(size of the state).
    #[must_use]
    pub fn of(key: &ObjectKey, state: &State) -> Self {
        Self::of_encoded(key, &encode_state(state))
    }

    /// The fingerprint of a state in its canonical encoding.
    pub(crate) fn of_encoded(key: &ObjectKey, state: &[u8]) -> Self {
        let keyspace = key.keyspace().as_str().as_bytes();
        let mut hasher = Xxh3::new();
        // Both lengths are bounded by the constructors of `ObjectKey`.
        hasher.update(&[keyspace.len() as u8]);
        hasher.update(keyspace);
        hasher.update(&(key.key().len() as u32).to_be_bytes());
        hasher.update(key.key());
        hasher.update(state);
        Self(hasher.digest128())
    }
}

impl fmt::Display for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateHash({self})")
    }
}
