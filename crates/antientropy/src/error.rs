use dynamokv_ring::Token;

/// What can be wrong with what comes from outside. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A place in a tree that there is not: the sender is of another release, or damaged.
    #[error(
        "no prefix of {length} bits begins at token {first}: at most {max} bits, all others zero"
    )]
    BadPrefix {
        /// The first token that was named.
        first: Token,
        /// How many bits were named.
        length: u8,
        /// How many there may be.
        max: u8,
    },
    /// A message asks for more than one may: ask for less at once.
    #[error("`{field}`: {count} were sent, {limit} are allowed")]
    TooMany {
        /// Of what.
        field: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The parts of a message do not fit each other: the sender is at fault.
    #[error("`{field}`: {reason}")]
    Inconsistent {
        /// Which part.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A saved part of the trees cannot be read: count them anew.
    #[error("a saved part of the trees is damaged: {reason}")]
    BadSaved {
        /// What is wrong.
        reason: &'static str,
    },
}

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;
