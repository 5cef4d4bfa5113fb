//! Contexts as clients carry them: opaque bytes bound to one key.

use xxhash_rust::xxh3::Xxh3;

use crate::wire::Format;
use crate::{CausalContext, Error, varint};

/// Seals contexts into opaque bytes for clients, and opens what comes back.
///
/// Layout: format byte, scope (8 bytes, xxh3-64 of keyspace and key), checksum (4 bytes, crc32c of
/// scope and payload), payload (the context's canonical form); numbers little-endian. The empty
/// context is no bytes at all. The checksum finds accidents, it does not stop a forger: a client
/// that may write a key may also forge what it claims to have seen of it.
///
/// ```
/// use dynamokv_vclock::{ActorId, CausalContext, ContextToken, Dot, Epoch, Error};
///
/// let seen = CausalContext::from(Dot::new(ActorId::new(1, Epoch(1)), 1));
/// let token = ContextToken::seal(&seen, b"default", b"cart");
/// assert_eq!(ContextToken::open(&token, b"default", b"cart"), Ok(seen));
/// assert_eq!(ContextToken::open(&token, b"default", b"other"), Err(Error::ForeignContext));
/// ```
#[derive(Debug)]
pub enum ContextToken {}

impl ContextToken {
    /// The bytes to give to a client that has seen `context` of `key` in `keyspace`.
    pub fn seal(context: &CausalContext, keyspace: &[u8], key: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        if context.is_empty() {
            return out;
        }
        let mut payload = Vec::new();
        context.encode(&mut payload);
        let scope = scope(keyspace, key);
        Format::Token.put(&mut out);
        out.extend(scope);
        out.extend(checksum(&scope, &payload));
        out.extend(payload);
        out
    }

    /// What the client had seen of `key` in `keyspace`. No bytes = nothing.
    ///
    /// # Errors
    /// [`Error::DamagedContext`] if the bytes were cut or changed, [`Error::ForeignContext`] if
    /// they are another key's, [`Error::UnknownFormat`] if another version wrote them.
    pub fn open(token: &[u8], keyspace: &[u8], key: &[u8]) -> Result<CausalContext, Error> {
        let mut rest = token;
        if rest.is_empty() {
            return Ok(CausalContext::new());
        }
        Format::Token.take(&mut rest)?;
        let (found_scope, rest) = rest.split_first_chunk::<8>().ok_or(Error::DamagedContext)?;
        let (found_sum, payload) = rest.split_first_chunk::<4>().ok_or(Error::DamagedContext)?;
        if *found_sum != checksum(found_scope, payload) {
            return Err(Error::DamagedContext);
        }
        if *found_scope != scope(keyspace, key) {
            return Err(Error::ForeignContext);
        }
        CausalContext::decode(payload)
    }
}

/// Binds a token to its key. The length keeps `("ab", "c")` and `("a", "bc")` apart.
fn scope(keyspace: &[u8], key: &[u8]) -> [u8; 8] {
    let mut length = Vec::with_capacity(10);
    varint::put(&mut length, keyspace.len() as u64);
    let mut hasher = Xxh3::new();
    hasher.update(&length);
    hasher.update(keyspace);
    hasher.update(key);
    hasher.digest().to_le_bytes()
}

fn checksum(scope: &[u8; 8], payload: &[u8]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(scope), payload).to_le_bytes()
}
