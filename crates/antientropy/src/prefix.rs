use std::fmt;

use dynamokv_ring::{Token, TokenRange};

use crate::bucket::{BUCKET_BITS, LEAF_BITS_MAX};
use crate::{Error, Result};

/// A place in a tree: all tokens that begin with the same bits. The whole tree of a partition is one, and so is a leaf.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    first: Token,
    length: u8,
}

impl Prefix {
    /// The greatest length, in bits: that of the finest leaf.
    pub const LENGTH_MAX: u8 = BUCKET_BITS + LEAF_BITS_MAX;

    /// All tokens.
    pub const ROOT: Self = Self {
        first: Token::MIN,
        length: 0,
    };

    /// The prefix of `length` bits that begins with the token `first`.
    ///
    /// # Errors
    /// [`Error::BadPrefix`] if it is too long, or if other bits are set.
    pub fn new(first: Token, length: u8) -> Result<Self> {
        let prefix = Self::of(first, length);
        if length > Self::LENGTH_MAX || prefix.first != first {
            return Err(Error::BadPrefix {
                first,
                length,
                max: Self::LENGTH_MAX,
            });
        }
        Ok(prefix)
    }

    /// The prefix of a token, of `length` bits or of [`LENGTH_MAX`](Self::LENGTH_MAX), whichever is less.
    #[must_use]
    pub fn of(token: Token, length: u8) -> Self {
        let length = length.min(Self::LENGTH_MAX);
        Self {
            first: Token(token.0 & !below(length)),
            length,
        }
    }

    /// The prefix that has exactly these tokens, if there is one: the range of a partition is one where their number is a power
    /// of two.
    #[must_use]
    pub fn covering(range: TokenRange) -> Option<Self> {
        let differing = range.first.0 ^ range.last.0;
        let prefix = Self::new(range.first, differing.leading_zeros() as u8).ok()?;
        (prefix.range() == range).then_some(prefix)
    }

    /// Its least token.
    #[must_use]
    pub fn first(self) -> Token {
        self.first
    }

    /// Its length in bits.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }

    /// Its tokens.
    #[must_use]
    pub fn range(self) -> TokenRange {
        TokenRange {
            first: self.first,
            last: Token(self.first.0 | below(self.length)),
        }
    }

    /// The prefixes of `length` bits within it, ascending; only itself for a length that is not greater.
    pub fn split(self, length: u8) -> impl ExactSizeIterator<Item = Self> {
        let length = length.clamp(self.length, Self::LENGTH_MAX);
        let children = 1_u32 << (length - self.length);
        let first = self.first.0;
        (0..children).map(move |nth| Self {
            first: Token(first | place(u64::from(nth), length)),
            length,
        })
    }
}

/// The bits of a token below the first `length`.
fn below(length: u8) -> u64 {
    u64::MAX.checked_shr(u32::from(length)).unwrap_or(0)
}

/// A number as the first `length` bits of a token.
fn place(number: u64, length: u8) -> u64 {
    number
        .checked_shl(u64::BITS - u32::from(length))
        .unwrap_or(0)
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({self})")
    }
}
