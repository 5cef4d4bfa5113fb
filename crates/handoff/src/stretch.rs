//! Comparing a stretch of a range with another owner's copies, so that only what differs travels.

use dynamokv_ring::TokenRange;
use dynamokv_storage::{ObjectKey, StateHash};

use crate::{Entry, Page};

/// What a node holds of a stretch of keys, in a few bytes: equal for equal states, and different for others but for
/// chance (2^-128).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RangeDigest {
    /// How many objects there are.
    pub objects: u64,
    /// Their [`StateHash`]es, combined by XOR.
    pub hash: u128,
}

impl RangeDigest {
    /// The digest of some entries, in any order. O(their size).
    pub fn of(entries: &[Entry]) -> Self {
        let hashes = entries
            .iter()
            .map(|entry| StateHash::of(&entry.key, &entry.state));
        hashes.fold(Self::default(), |digest, hash| Self {
            objects: digest.objects + 1,
            hash: digest.hash ^ hash.0,
        })
    }
}

/// The asking owner's side of a comparison: what it holds from the place where a request starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The last key of the stretch; `None` for the end of the range.
    pub until: Option<ObjectKey>,
    /// What the asking owner holds up to there.
    pub digest: RangeDigest,
}

impl Stretch {
    /// The stretch that a page of one's own copies covers.
    pub fn of(page: &Page) -> Self {
        Self {
            until: page.next.clone(),
            digest: RangeDigest::of(&page.entries),
        }
    }

    /// The part of `range` that the other owner must look at.
    pub fn within(&self, range: TokenRange) -> TokenRange {
        let end = self.until.as_ref().map(ObjectKey::token);
        TokenRange {
            last: end.map_or(range.last, |end| end.min(range.last)),
            ..range
        }
    }

    /// The other owner's answer, `page` being its own copies from the same place on: nothing where both hold the
    /// same, else its objects of the stretch. A page that ends within the stretch is given as it is: the rest is asked
    /// for next, with a stretch that starts there.
    pub fn answer(&self, mut page: Page) -> Page {
        let ends_within = match (&page.next, &self.until) {
            (Some(next), Some(until)) => next < until,
            (next, None) => next.is_some(),
            (None, _) => false,
        };
        if ends_within {
            return page;
        }
        if let Some(until) = &self.until {
            page.entries.retain(|entry| entry.key <= *until);
        }
        if RangeDigest::of(&page.entries) == self.digest {
            page.entries.clear();
        }
        page.next = self.until.clone();
        page
    }
}
