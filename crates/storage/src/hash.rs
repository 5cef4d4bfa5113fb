use std::fmt;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

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
        // Both lengths are bounded by the constructors of `ObjectKey`.
        let parts: [&[u8]; 5] = [
            &[keyspace.len() as u8],
            keyspace,
            &(key.key().len() as u32).to_be_bytes(),
            key.key(),
            state,
        ];
        // Short inputs in one piece: setting up the hasher for several costs more than hashing them.
        let mut whole = [0; SHORT_BYTES_MAX];
        let mut length = 0;
        for part in parts {
            let Some(place) = whole.get_mut(length..length + part.len()) else {
                return Self(hash_parts(&parts));
            };
            place.copy_from_slice(part);
            length += part.len();
        }
        Self(xxh3_128(&whole[..length]))
    }
}

const SHORT_BYTES_MAX: usize = 2_048;

fn hash_parts(parts: &[&[u8]]) -> u128 {
    let mut hasher = Xxh3::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.digest128()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_hash_is_that_of_its_parts_in_one_piece_at_every_length() {
        let key = ObjectKey::new("default", "user:1").unwrap();
        let head = [b"\x07default".as_slice(), &6_u32.to_be_bytes(), b"user:1"].concat();
        for length in 0..2 * SHORT_BYTES_MAX {
            let state: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let whole = [head.as_slice(), &state].concat();
            assert_eq!(StateHash::of_encoded(&key, &state).0, xxh3_128(&whole));
        }
    }
}
