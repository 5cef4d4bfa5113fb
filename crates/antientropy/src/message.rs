//! What two nodes say to each other in an exchange. One asks and joins what it gets; the other answers and remembers nothing.

use dynamokv_ring::{NodeId, PartitionId, Token};

use crate::{Error, Prefix, Ranges, Result};

/// A question may name so many places of the trees.
pub const PARENTS_MAX: usize = 1 << 12;

/// A listing may have so many keys, and so many ranges.
pub const ITEMS_MAX: usize = 1 << 13;

/// So many bits may lie between a place that is asked about and the sums that are wanted: 256 of them.
const SPLIT_BITS_MAX: u8 = 8;

/// A question of the node that leads an exchange. `E` is an entry: a key with its whole state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question<E> {
    /// Whether everything is the same: the XOR of all partitions that both own and the asking one [`leads`].
    Overview {
        /// Who asks.
        from: NodeId,
        /// What it holds.
        sum: u128,
    },
    /// The sums within some places.
    Sums(Vec<Parent>),
    /// What differs from a list of hashes.
    List(Listing),
    /// Entries to be joined.
    Push(Vec<E>),
}

/// The answer to a [`Question`] of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<E> {
    /// To an overview: whether it is the same here.
    Same(bool),
    /// One for each place that was asked about.
    Sums(Vec<Sums>),
    /// To a listing.
    Difference(Difference<E>),
    /// Those entries that this node may take are joined, and as durable as it promises.
    Taken,
}

/// A place whose sums are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    prefix: Prefix,
    split: u8,
}

impl Parent {
    /// The sums of all prefixes of `split` bits within `prefix`; its own sum where the lengths are the same.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if the two are more than 8 bits apart.
    pub fn new(prefix: Prefix, split: u8) -> Result<Self> {
        let apart = split.checked_sub(prefix.length());
        if apart.is_none_or(|apart| apart > SPLIT_BITS_MAX) || split > Prefix::LENGTH_MAX {
            return Err(Error::Inconsistent {
                field: "split",
                reason: "must be 0..=8 bits more than the prefix has, and 24 at most",
            });
        }
        Ok(Self { prefix, split })
    }

    /// A place's own sum.
    #[must_use]
    pub fn itself(prefix: Prefix) -> Self {
        Self {
            prefix,
            split: prefix.length(),
        }
    }

    /// The place.
    #[must_use]
    pub fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// The length of the prefixes whose sums are wanted.
    #[must_use]
    pub fn split(&self) -> u8 {
        self.split
    }

    /// Those prefixes, ascending.
    pub fn children(&self) -> impl ExactSizeIterator<Item = Prefix> {
        self.prefix.split(self.split)
    }
}

/// The sums within a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sums {
    /// One for each prefix, ascending.
    Of(Vec<u128>),
    /// The answering node's leaves are coarser: keys must be listed.
    TooFine,
    /// The answering node has not counted them yet, or has no say on them: another time.
    NotReady,
}

/// A key's state, by hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// The token of the key.
    pub token: Token,
    /// The hash of the key and its state.
    pub hash: u128,
}

/// All that the asking node has in some ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    ranges: Ranges,
    items: Vec<Item>,
    bytes_max: usize,
}

impl Listing {
    /// A listing; the answer shall have about `bytes_max` bytes of entries.
    ///
    /// # Errors
    /// [`Error::TooMany`] or [`Error::Inconsistent`]: the items must be ascending and lie in the ranges.
    pub fn new(ranges: Ranges, items: Vec<Item>, bytes_max: usize) -> Result<Self> {
        limit("items", items.len(), ITEMS_MAX)?;
        limit("ranges", ranges.len(), ITEMS_MAX)?;
        if !items.is_sorted() || !items.iter().all(|item| ranges.contains(item.token)) {
            return Err(Error::Inconsistent {
                field: "items",
                reason: "must be ascending and lie within the ranges",
            });
        }
        Ok(Self {
            ranges,
            items,
            bytes_max,
        })
    }

    /// The ranges.
    #[must_use]
    pub fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    /// All that there is in them, ascending.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// How many bytes of entries the answer shall have, about; one entry at least, where there is one.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}

/// What the answering node has and lacks of a [`Listing`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference<E> {
    /// Its entries whose hashes are not listed.
    pub entries: Vec<E>,
    /// The tokens of listed hashes that it does not have.
    pub wanted: Vec<Token>,
    /// The answer covers the ranges up to this token; `None`: all of them.
    pub until: Option<Token>,
}

impl<E> Default for Difference<E> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            wanted: Vec::new(),
            until: None,
        }
    }
}

/// Refuses more than `max`.
pub(crate) fn limit(field: &'static str, count: usize, max: usize) -> Result<()> {
    if count > max {
        return Err(Error::TooMany {
            field,
            count,
            limit: max,
        });
    }
    Ok(())
}

/// Whether `me` leads the exchanges of a partition with `peer`: of two owners one does, so that nothing is compared or sent twice,
/// and each with about half of the partitions that they share.
#[must_use]
pub fn leads(me: NodeId, peer: NodeId, partition: PartitionId) -> bool {
    (me < peer) == partition.0.is_multiple_of(2)
}
