//! Who writes: a node in one of its epochs, or any other small ordered identity.

use std::cmp::Ordering;
use std::fmt;
use std::hash::Hash;
use std::str::FromStr;

use crate::{Error, varint};

/// One period in which a node counted its writes to a key without a break. See
/// [`EpochLease`](crate::EpochLease).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// The writer of a dot: a node in one of its epochs. The node orders first, so that the actors of
/// one node are neighbours in every sorted list.
///
/// A node that may have forgotten what it issued comes back as another actor, so that its new
/// writes are never taken for old ones (the lesson of riak_kv issue 679).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ActorId {
    /// The node.
    pub node: u64,
    /// The epoch in which it wrote.
    pub epoch: Epoch,
}

impl ActorId {
    /// The actor that `node` is in `epoch`.
    pub const fn new(node: u64, epoch: Epoch) -> Self {
        Self { node, epoch }
    }

    /// Orders as the fields do, in one comparison without a branch.
    const fn key(self) -> u128 {
        (self.node as u128) << u64::BITS | self.epoch.0 as u128
    }
}

impl Ord for ActorId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for ActorId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }

    fn lt(&self, other: &Self) -> bool {
        self.key() < other.key()
    }
}

/// What the clocks of this crate are generic over. [`ActorId`] is the default; `u64` serves where
/// epochs are not needed.
///
/// Lists are written in ascending order, so an actor is encoded relative to the one before it.
pub trait Actor: Copy + Ord + Hash + fmt::Debug {
    /// Appends `self`, given that the reader knows `previous`, which is not greater than `self`.
    fn encode_after(&self, previous: Option<&Self>, out: &mut Vec<u8>);

    /// Reads what [`Actor::encode_after`] wrote, and accepts nothing else: each actor has one
    /// encoding.
    ///
    /// # Errors
    /// [`Error::Truncated`] or [`Error::NotCanonical`].
    fn decode_after(previous: Option<&Self>, input: &mut &[u8]) -> Result<Self, Error>;
}

impl Actor for ActorId {
    fn encode_after(&self, previous: Option<&Self>, out: &mut Vec<u8>) {
        self.node.encode_after(previous.map(|p| &p.node), out);
        let same_node = previous.filter(|p| p.node == self.node);
        self.epoch
            .0
            .encode_after(same_node.map(|p| &p.epoch.0), out);
    }

    fn decode_after(previous: Option<&Self>, input: &mut &[u8]) -> Result<Self, Error> {
        let node = u64::decode_after(previous.map(|p| &p.node), input)?;
        let same_node = previous.filter(|p| p.node == node);
        let epoch = u64::decode_after(same_node.map(|p| &p.epoch.0), input)?;
        Ok(Self {
            node,
            epoch: Epoch(epoch),
        })
    }
}

impl Actor for u64 {
    fn encode_after(&self, previous: Option<&Self>, out: &mut Vec<u8>) {
        debug_assert!(
            previous.is_none_or(|p| p <= self),
            "actors are written in ascending order"
        );
        varint::put(out, self.wrapping_sub(previous.copied().unwrap_or(0)));
    }

    fn decode_after(previous: Option<&Self>, input: &mut &[u8]) -> Result<Self, Error> {
        let step = varint::take(input, "actor")?;
        previous
            .copied()
            .unwrap_or(0)
            .checked_add(step)
            .ok_or(Error::NotCanonical {
                field: "actor",
                rule: "identities fit 64 bits",
            })
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.node, self.epoch)
    }
}

/// Reads what `Display` shows.
impl FromStr for Epoch {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        read_back(
            text,
            u64::from_str_radix(text, 16).ok().map(Self),
            "epoch",
            "<hexadecimal>",
        )
    }
}

/// Reads what `Display` shows.
impl FromStr for ActorId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = || {
            let (node, epoch) = text.split_once('.')?;
            let node = u64::from_str_radix(node, 16).ok()?;
            Some(Self::new(node, epoch.parse().ok()?))
        };
        let form = "<node, 16 hexadecimal digits>.<epoch, hexadecimal>";
        read_back(text, parts(), "actor", form)
    }
}

/// What was `read` from `text`, if it is shown as just this text: one text for each value.
pub(crate) fn read_back<T: fmt::Display>(
    text: &str,
    read: Option<T>,
    field: &'static str,
    form: &'static str,
) -> Result<T, Error> {
    read.filter(|value| value.to_string() == text)
        .ok_or_else(|| Error::Unreadable {
            field,
            text: text.to_owned(),
            form,
        })
}
