use std::fmt;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A place on the ring: the hash of a key.
///
/// Tokens are written to disk and sent between nodes, so the hash never changes (fixed by golden vectors in the tests).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

impl Token {
    /// The least token.
    pub const MIN: Token = Token(0);
    /// The greatest token.
    pub const MAX: Token = Token(u64::MAX);

    /// The token of a key in a keyspace: XXH3-64 of the key, seeded with XXH3-64 of the keyspace's name.
    ///
    /// Linear in the lengths; some 10 ns for a short key.
    #[inline]
    pub fn of(keyspace: &[u8], key: &[u8]) -> Token {
        Token(xxh3_64_with_seed(key, xxh3_64(keyspace)))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

/// A contiguous run of tokens, both ends included. It never wraps around and is never empty if `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenRange {
    /// The least token in the range.
    pub first: Token,
    /// The greatest token in the range.
    pub last: Token,
}

impl TokenRange {
    /// Every token.
    pub const ALL: TokenRange = TokenRange {
        first: Token::MIN,
        last: Token::MAX,
    };

    /// Whether the token lies in the range.
    pub fn contains(&self, token: Token) -> bool {
        self.first <= token && token <= self.last
    }
}

impl fmt::Display for TokenRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.first, self.last)
    }
}
