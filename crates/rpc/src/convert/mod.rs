//! Domain types to messages and back. What comes from outside is checked: every `TryFrom` gives a typed error, and
//! whatever it accepts is written again as it was.

mod exchange;
mod facts;
mod fence;
mod forward;
mod gossip;
mod handoff;
mod keys;
mod object;
mod options;
mod replica;
#[cfg(test)]
mod tests;

pub use facts::{decode_facts, encode_facts};
pub(crate) use fence::fence_from;
pub(crate) use forward::{forwarded_outcome, forwarded_verdict};
pub(crate) use options::{mode_from, mode_into};
pub(crate) use replica::{Replicated, copy_of, replicated_from};

use bytes::Bytes;

use crate::{Error, Result};

/// A count that fits this machine's integers: anything greater is as good as unlimited.
pub(crate) fn saturating_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

pub(crate) fn saturating_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Bytes for which none mean nothing.
pub(crate) fn some_bytes(bytes: Bytes) -> Option<Bytes> {
    (!bytes.is_empty()).then_some(bytes)
}

/// A list, converted item by item.
pub(crate) fn all<A, B: TryFrom<A, Error = Error>>(items: Vec<A>) -> Result<Vec<B>> {
    items.into_iter().map(B::try_from).collect()
}
