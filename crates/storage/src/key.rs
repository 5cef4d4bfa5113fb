use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use dynamokv_ring::Token;

use crate::name::{self, NameKind};
use crate::{Error, Result};

/// The greatest length of a key, in bytes.
pub const KEY_BYTES_MAX: usize = 65_536;

const TOKEN_BYTES: usize = 8;

/// The name of a keyspace: 1..=64 bytes of `[a-z0-9_-]`. Cheap to clone.
///
/// Shorter names sort first, as they do in stored keys.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Keyspace(Arc<str>);

impl Keyspace {
    /// The keyspace of the given name.
    ///
    /// # Errors
    /// [`Error::InvalidName`] for an empty or long name, or other characters.
    pub fn new(name: &str) -> Result<Self> {
        name::check(NameKind::Keyspace, name)?;
        Ok(Self(name.into()))
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an encoded [`ObjectKey`] is one of this keyspace.
    pub(crate) fn holds(&self, encoded: &[u8]) -> bool {
        let name = encoded.get(TOKEN_BYTES..).and_then(|rest| {
            let (length, rest) = rest.split_first()?;
            rest.get(..usize::from(*length))
        });
        name == Some(self.0.as_bytes())
    }
}

impl PartialOrd for Keyspace {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Keyspace {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl fmt::Display for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyspace({})", self.0)
    }
}

/// A key of a cluster: its place on the ring, its keyspace and the user's bytes. Cheap to clone.
///
/// Ordered as its encoding is: by token first, so that a range of tokens is one contiguous scan.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    token: Token,
    keyspace: Keyspace,
    key: Bytes,
}

impl ObjectKey {
    /// The key `key` of `keyspace`; its token is computed here.
    ///
    /// # Errors
    /// [`Error::InvalidName`] for the keyspace, [`Error::KeyLength`] for an empty or oversized key.
    pub fn new(keyspace: &str, key: impl Into<Bytes>) -> Result<Self> {
        Self::within(Keyspace::new(keyspace)?, key)
    }

    /// The key `key` of a keyspace that was checked before.
    ///
    /// # Errors
    /// [`Error::KeyLength`] for an empty or oversized key.
    pub fn within(keyspace: Keyspace, key: impl Into<Bytes>) -> Result<Self> {
        let key = key.into();
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
            return Err(Error::KeyLength {
                bytes: key.len(),
                limit: KEY_BYTES_MAX,
            });
        }
        let token = Token::of(keyspace.as_str().as_bytes(), &key);
        Ok(Self {
            token,
            keyspace,
            key,
        })
    }

    /// The place on the ring.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// The keyspace.
    #[must_use]
    pub fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// The user's bytes.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// `[token, 8 bytes big-endian][length of the keyspace, 1 byte][keyspace][key]`
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.encoded_len());
        self.encode_into(&mut out);
        out.freeze()
    }

    /// [`encode`](Self::encode) for as long as a look-up takes: on the stack, unless the key is long.
    pub(crate) fn with_encoded<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        const SHORT_BYTES_MAX: usize = 128;
        if self.encoded_len() > SHORT_BYTES_MAX {
            return read(&self.encode());
        }
        let mut buffer = [0; SHORT_BYTES_MAX];
        let mut rest = buffer.as_mut_slice();
        self.encode_into(&mut rest);
        let length = SHORT_BYTES_MAX - rest.len();
        read(&buffer[..length])
    }

    fn encoded_len(&self) -> usize {
        TOKEN_BYTES + 1 + self.keyspace.as_str().len() + self.key.len()
    }

    fn encode_into(&self, out: &mut impl BufMut) {
        let keyspace = self.keyspace.as_str().as_bytes();
        out.put_u64(self.token.0);
        // The constructors bound the length by `NAME_BYTES_MAX`.
        out.put_u8(keyspace.len() as u8);
        out.put_slice(keyspace);
        out.put_slice(&self.key);
    }

    /// Reads what [`encode`](Self::encode) wrote. The token must be that of the key.
    ///
    /// # Errors
    /// [`Error::InvalidObjectKey`] for anything else.
    pub fn decode(bytes: &Bytes) -> Result<Self> {
        let parse = || {
            let (token, rest) = bytes.split_first_chunk::<TOKEN_BYTES>()?;
            let (length, rest) = rest.split_first()?;
            let (keyspace, key) = rest.split_at_checked(usize::from(*length))?;
            let keyspace = std::str::from_utf8(keyspace).ok()?;
            let decoded = Self::new(keyspace, bytes.slice_ref(key)).ok()?;
            (decoded.token.0 == u64::from_be_bytes(*token)).then_some(decoded)
        };
        parse().ok_or_else(|| Error::InvalidObjectKey {
            bytes: bytes.slice(..bytes.len().min(32)),
        })
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_BYTES_MAX: usize = 64;
        let shown = &self.key[..self.key.len().min(SHOWN_BYTES_MAX)];
        write!(f, "{}/{}", self.keyspace, shown.escape_ascii())?;
        if shown.len() < self.key.len() {
            write!(f, "... ({} bytes)", self.key.len())
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectKey({self})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn object_key() -> impl Strategy<Value = ObjectKey> {
        ("[a-c]{1,3}", vec(any::<u8>(), 1..20))
            .prop_map(|(keyspace, key)| ObjectKey::new(&keyspace, key).unwrap())
    }

    proptest! {
        #[test]
        fn encoding_round_trips_and_keeps_the_order(a in object_key(), mut b in object_key(), tie in any::<bool>()) {
            prop_assert_eq!(&ObjectKey::decode(&a.encode()).unwrap(), &a);
            if tie {
                b.token = a.token; // Equal tokens are too rare to wait for.
            }
            prop_assert_eq!(a.cmp(&b), a.encode().cmp(&b.encode()));
        }

        #[test]
        fn the_encoding_is_the_same_on_the_stack_at_every_length(length in 1_usize..300) {
            let key = ObjectKey::new("default", vec![7; length]).unwrap();
            key.with_encoded(|encoded| assert_eq!(encoded, key.encode()));
        }

        #[test]
        fn arbitrary_bytes_never_decode_to_another_key(bytes in vec(any::<u8>(), 0..40)) {
            let bytes = Bytes::from(bytes);
            if let Ok(key) = ObjectKey::decode(&bytes) {
                prop_assert_eq!(key.encode(), bytes);
            }
        }
    }

    #[test]
    fn keys_and_keyspaces_have_limits_that_the_error_names() {
        assert!(ObjectKey::new("default", vec![0; KEY_BYTES_MAX]).is_ok());
        let error = ObjectKey::new("default", vec![0; KEY_BYTES_MAX + 1]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "key of 65537 bytes: 1..=65536 bytes are allowed"
        );
        assert!(matches!(
            ObjectKey::new("default", ""),
            Err(Error::KeyLength { bytes: 0, .. })
        ));
        assert!(Keyspace::new(&"k".repeat(64)).is_ok());
        for wrong in ["", "Upper", "white space", "slash/", "ünï", &"k".repeat(65)] {
            assert!(
                matches!(
                    Keyspace::new(wrong),
                    Err(Error::InvalidName {
                        kind: NameKind::Keyspace,
                        ..
                    })
                ),
                "{wrong}"
            );
        }
    }

    #[test]
    fn encoding_is_golden() {
        let key = ObjectKey::new("default", "user:1").unwrap();
        let mut expected = key.token().0.to_be_bytes().to_vec();
        expected.extend(b"\x07defaultuser:1");
        assert_eq!(key.encode(), expected);
        assert_eq!(key.to_string(), "default/user:1");
    }
}
