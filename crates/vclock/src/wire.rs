//! What the binary forms have in common: a leading byte for kind and version, counted lists of
//! dots.

use crate::{Actor, Dot, Error, varint};

/// The kinds of values; the leading byte holds the kind in its high half, the version in its low
/// one.
#[derive(Clone, Copy)]
pub(crate) enum Format {
    Vector = 0x11,
    Context = 0x21,
    Siblings = 0x31,
    Token = 0x41,
}

impl Format {
    pub(crate) fn put(self, out: &mut Vec<u8>) {
        out.push(self as u8);
    }

    pub(crate) fn take(self, input: &mut &[u8]) -> Result<(), Error> {
        let found = varint::take_byte(input, self.name())?;
        if found == self as u8 {
            Ok(())
        } else {
            Err(Error::UnknownFormat {
                field: self.name(),
                found,
                known: self as u8,
            })
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Vector => "version vector",
            Self::Context => "causal context",
            Self::Siblings => "sibling set",
            Self::Token => "context",
        }
    }
}

/// Nothing may follow a complete value.
pub(crate) fn finish(rest: &[u8], format: Format) -> Result<(), Error> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(Error::TrailingBytes {
            field: format.name(),
            extra: rest.len(),
        })
    }
}

/// Appends a counted list of ascending dots.
pub(crate) fn put_dots<A: Actor>(dots: &[Dot<A>], out: &mut Vec<u8>) {
    varint::put(out, dots.len() as u64);
    let mut previous = None;
    for dot in dots {
        dot.encode_after(previous, out);
        previous = Some(dot);
    }
}

/// How many elements follow. Each takes at least a byte, so a count beyond the input is refused
/// before anything is read.
pub(crate) fn take_count(input: &mut &[u8]) -> Result<usize, Error> {
    let count = varint::take(input, COUNT)?;
    usize::try_from(count)
        .ok()
        .filter(|count| *count <= input.len())
        .ok_or(Error::Truncated { field: COUNT })
}

/// How many of `count` dots the rest of the input can hold at all, at three bytes each: what may be
/// allocated up front.
pub(crate) fn justified(count: usize, input: &[u8]) -> usize {
    count.min(input.len() / 3)
}

const COUNT: &str = "element count";
