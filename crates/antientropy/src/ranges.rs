use dynamokv_ring::{Token, TokenRange};

use crate::{Error, Result};

/// Ranges of tokens, ascending and apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<TokenRange>);

impl Ranges {
    /// The union of some ranges, in any order. O(n log n).
    #[must_use]
    pub fn union(mut ranges: Vec<TokenRange>) -> Self {
        ranges.retain(|range| range.first <= range.last);
        ranges.sort();
        let mut united: Vec<TokenRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match united.last_mut() {
                Some(last) if range.first.0 <= last.last.0.saturating_add(1) => {
                    last.last = last.last.max(range.last);
                }
                _ => united.push(range),
            }
        }
        Self(united)
    }

    /// Ranges that come from outside.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if one is empty, or does not lie behind the one before it.
    pub fn checked(ranges: Vec<TokenRange>) -> Result<Self> {
        let ordered = ranges
            .windows(2)
            .all(|pair| matches!(pair, [one, next] if one.last < next.first));
        if !ordered || ranges.iter().any(|range| range.first > range.last) {
            return Err(Error::Inconsistent {
                field: "ranges",
                reason: "must be ascending, apart and not empty",
            });
        }
        Ok(Self(ranges))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// They, ascending.
    pub fn iter(&self) -> impl Iterator<Item = TokenRange> {
        self.0.iter().copied()
    }

    /// Whether a token lies in one. O(log n).
    #[must_use]
    pub fn contains(&self, token: Token) -> bool {
        let behind = self.0.partition_point(|range| range.last < token);
        self.0
            .get(behind)
            .is_some_and(|range| range.contains(token))
    }

    /// The part up to and with a token.
    #[must_use]
    pub fn up_to(&self, token: Token) -> Self {
        let within = self.iter().filter(|range| range.first <= token);
        let cut = within.map(|range| TokenRange {
            last: range.last.min(token),
            ..range
        });
        Self(cut.collect())
    }

    /// The part behind a token.
    #[must_use]
    pub fn behind(&self, token: Token) -> Self {
        let Some(next) = token.0.checked_add(1).map(Token) else {
            return Self::default();
        };
        let beyond = self.iter().filter(|range| range.last >= next);
        let cut = beyond.map(|range| TokenRange {
            first: range.first.max(next),
            ..range
        });
        Self(cut.collect())
    }
}
