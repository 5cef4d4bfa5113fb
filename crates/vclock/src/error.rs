//! The one error type of the crate.

/// What can go wrong when bytes are decoded, a token is opened or a lease is drawn. No operation of
/// this crate changes anything when it returns one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input stops in the middle of a field. It was cut: fetch it again from its source.
    #[error("{field}: the input ends early")]
    Truncated {
        /// The field that was being read.
        field: &'static str,
    },
    /// The leading byte names a kind or version that this build cannot read. Upgrade, or look for
    /// bytes of another kind.
    #[error("{field}: format byte {found:#04x} is unknown, this version reads {known:#04x}")]
    UnknownFormat {
        /// What was expected.
        field: &'static str,
        /// The byte found.
        found: u8,
        /// The byte that this version writes and reads.
        known: u8,
    },
    /// The bytes break a rule of the canonical form. They were not written by this crate, or were
    /// damaged.
    #[error("{field}: not canonical: {rule}")]
    NotCanonical {
        /// The field that was being read.
        field: &'static str,
        /// The rule that was broken.
        rule: &'static str,
    },
    /// A complete value was read and bytes are left over.
    #[error("{field}: {extra} bytes follow its end")]
    TrailingBytes {
        /// What was read.
        field: &'static str,
        /// How many bytes are left.
        extra: usize,
    },
    /// A context token fails its checksum. The client must pass the bytes of a reply unchanged, or
    /// read again.
    #[error(
        "context: damaged (its checksum does not match); pass the context of a read or a reply unchanged"
    )]
    DamagedContext,
    /// A context token is intact but belongs to another key or keyspace. The client must read this
    /// key first.
    #[error("context: issued for another key or keyspace; pass the context of a read of this key")]
    ForeignContext,
    /// A text is not what its type is shown as. Pass it as it was shown.
    #[error("{field}: {text:?} is not of the form {form}")]
    Unreadable {
        /// What was to be read.
        field: &'static str,
        /// The text.
        text: String,
        /// What it should look like.
        form: &'static str,
    },
    /// The bounds of an epoch lease are reversed or beyond
    /// [`EpochLease::END`](crate::EpochLease::END).
    #[error("epoch lease: {first}..{end} is not a range within 0..{limit}")]
    LeaseBounds {
        /// First epoch counter asked for.
        first: u64,
        /// The counter after the last one asked for.
        end: u64,
        /// The counter after the greatest possible one.
        limit: u64,
    },
}
