//! The one rule for names that end up inside stored keys: keyspaces and families.

use std::fmt;

use crate::{Error, Result};

/// The greatest length of a keyspace's or a family's name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// What a name names; tells the reader of an error which field was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameKind {
    /// A keyspace.
    Keyspace,
    /// A column family.
    Family,
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyspace => "keyspace",
            Self::Family => "column family",
        })
    }
}

pub(crate) fn check(kind: NameKind, name: &str) -> Result<()> {
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-'
    };
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    let shown: String = name.chars().take(NAME_BYTES_MAX).collect();
    Err(Error::InvalidName {
        kind,
        name: shown.into(),
        limit: NAME_BYTES_MAX,
    })
}
