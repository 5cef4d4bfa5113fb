//! Ranges of tokens that are held as a whole.

use std::fmt;

use dynamokv_ring::{Token, TokenRange};

/// One of the 1,024 equal ranges of tokens by which a node remembers what it holds for a target once there are too many
/// keys to remember one by one. With that many partitions or fewer each lies within one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slice(u16);

const BITS: u32 = 10;
const SHIFT: u32 = u64::BITS - BITS;

impl Slice {
    /// How many there are.
    pub const COUNT: usize = 1 << BITS;

    /// The slice of a token.
    pub fn of(token: Token) -> Self {
        Self((token.0 >> SHIFT) as u16)
    }

    /// Its tokens.
    pub fn range(self) -> TokenRange {
        let first = u64::from(self.0) << SHIFT;
        TokenRange {
            first: Token(first),
            last: Token(first | (u64::MAX >> BITS)),
        }
    }

    /// Its number, in the order of the tokens: 0..1,024.
    pub fn number(self) -> u16 {
        self.0
    }

    /// The slice of a number; `None` from 1,024 on.
    pub fn from_number(number: u16) -> Option<Self> {
        (usize::from(number) < Self::COUNT).then_some(Self(number))
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.range().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_every_token_once_and_in_order() {
        let mut next = Some(0);
        for slice in (0..=u16::MAX).map_while(Slice::from_number) {
            let TokenRange { first, last } = slice.range();
            assert_eq!(Some(first.0), next);
            assert_eq!((Slice::of(first), Slice::of(last)), (slice, slice));
            next = last.0.checked_add(1);
        }
        assert_eq!(next, None);
    }
}
