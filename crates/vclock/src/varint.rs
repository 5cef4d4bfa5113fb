//! LEB128 integers in their shortest form, for codecs that nest in the encodings of this crate.

use crate::Error;

/// Appends `value`, in 1 to 10 bytes.
#[inline]
pub fn put(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else {
        put_long(out, value);
    }
}

/// [`put`] for two bytes and more.
fn put_long(out: &mut Vec<u8>, value: u64) {
    let bits = u64::BITS - value.leading_zeros();
    if bits > WORD_BITS {
        let low = spread(value & WORD_MAX) | MORE;
        out.extend_from_slice(&low.to_le_bytes());
        put(out, value >> WORD_BITS);
    } else {
        // A fixed number of bytes is copied, then cut: cheaper than a copy of unknown length.
        let bytes = bits.div_ceil(7);
        let more = MORE & ((1 << (8 * (bytes - 1))) - 1);
        out.extend_from_slice(&(spread(value) | more).to_le_bytes());
        out.truncate(out.len() - WORD_BYTES + bytes as usize);
    }
}

/// Takes one integer off the front of `input`. `field` names it in the error.
///
/// # Errors
/// [`Error::Truncated`] if the input ends inside the integer, [`Error::NotCanonical`] if it is
/// longer than needed or does not fit 64 bits. `input` is then left at an unspecified place.
#[inline]
pub fn take(input: &mut &[u8], field: &'static str) -> Result<u64, Error> {
    if let [byte @ ..0x80, rest @ ..] = *input {
        *input = rest;
        return Ok(u64::from(*byte));
    }
    take_long(input, field)
}

/// [`take`] for two bytes and more, mostly eight at once.
fn take_long(input: &mut &[u8], field: &'static str) -> Result<u64, Error> {
    let Some((word, rest)) = input.split_first_chunk::<WORD_BYTES>() else {
        return take_bytes(input, field, 0, 0);
    };
    let word = u64::from_le_bytes(*word);
    let ends = !word & MORE;
    if ends == 0 {
        *input = rest;
        return take_bytes(input, field, gather(word), WORD_BITS);
    }
    let bits = ends.trailing_zeros() + 1;
    let word = word & (u64::MAX >> (u64::BITS - bits));
    if word >> (bits - 8) == 0 {
        return Err(LONG.with(field));
    }
    *input = input.get((bits / 8) as usize..).unwrap_or_default();
    Ok(gather(word))
}

/// The rest of an integer byte by byte, with `value` read so far, up to bit `shift`.
fn take_bytes(
    input: &mut &[u8],
    field: &'static str,
    mut value: u64,
    shift: u32,
) -> Result<u64, Error> {
    for shift in (shift..u64::BITS).step_by(7) {
        let byte = take_byte(input, field)?;
        if shift == LAST_SHIFT && byte > 1 {
            return Err(GREAT.with(field));
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return if byte == 0 && shift > 0 {
                Err(LONG.with(field))
            } else {
                Ok(value)
            };
        }
    }
    Err(GREAT.with(field))
}

/// Spreads the low 56 bits over eight bytes, seven each.
fn spread(value: u64) -> u64 {
    let halves = (value & 0x0fff_ffff) | (value & 0x00ff_ffff_f000_0000) << 4;
    let pairs = (halves & 0x0000_3fff_0000_3fff) | (halves & 0x0fff_c000_0fff_c000) << 2;
    (pairs & 0x007f_007f_007f_007f) | (pairs & 0x3f80_3f80_3f80_3f80) << 1
}

/// The reverse of [`spread`]; the eighth bit of each byte is ignored.
fn gather(word: u64) -> u64 {
    let pairs = (word & 0x007f_007f_007f_007f) | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let halves = (pairs & 0x0000_3fff_0000_3fff) | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    (halves & 0x0fff_ffff) | (halves & 0x0fff_ffff_0000_0000) >> 4
}

/// Takes one byte off the front of `input`. `field` names it in the error.
///
/// # Errors
/// [`Error::Truncated`] if there is none.
pub fn take_byte(input: &mut &[u8], field: &'static str) -> Result<u8, Error> {
    let (&byte, rest) = input.split_first().ok_or(Error::Truncated { field })?;
    *input = rest;
    Ok(byte)
}

/// What breaks the canonical form.
struct Rule(&'static str);

impl Rule {
    fn with(self, field: &'static str) -> Error {
        Error::NotCanonical {
            field,
            rule: self.0,
        }
    }
}

const LONG: Rule = Rule("integers are written in their shortest form");
const GREAT: Rule = Rule("integers fit 64 bits");

/// Eight bytes are worked on at once; they hold seven bits each.
const WORD_BYTES: usize = 8;
const WORD_BITS: u32 = 56;
const WORD_MAX: u64 = (1 << WORD_BITS) - 1;

/// The bit of each byte that says that another one follows.
const MORE: u64 = 0x8080_8080_8080_8080;

/// Where the tenth byte's bits go: only one of them is left.
const LAST_SHIFT: u32 = 63;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn golden_bytes() {
        for (value, bytes) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            (
                u64::MAX,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            ),
        ] {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out, bytes);
            let mut input = bytes;
            assert_eq!(take(&mut input, "n").unwrap(), value);
            assert!(input.is_empty());
        }
    }

    #[test]
    fn longer_or_cut_or_too_great_integers_are_refused() {
        let refused = |bytes: &[u8]| take(&mut &bytes[..], "n").unwrap_err();
        assert_eq!(refused(&[]), Error::Truncated { field: "n" });
        assert_eq!(refused(&[0x80]), Error::Truncated { field: "n" });
        assert!(matches!(refused(&[0x80, 0]), Error::NotCanonical { .. }));
        assert!(matches!(refused(&[0xff; 11]), Error::NotCanonical { .. }));
        let mut too_great = [0xff; 10];
        too_great[9] = 2;
        assert!(matches!(refused(&too_great), Error::NotCanonical { .. }));
    }

    proptest::proptest! {
        #[test]
        fn every_length_comes_back_whatever_follows(
            value: u64, shift in 0_u32..64, behind in proptest::collection::vec(0_u8.., 0..12),
        ) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            let septets = (u64::BITS - value.leading_zeros()).div_ceil(7).max(1);
            proptest::prop_assert_eq!(bytes.len() as u32, septets);
            proptest::prop_assert!(take(&mut &bytes[..bytes.len() - 1], "n").is_err());
            bytes.extend(&behind);
            let mut input = &bytes[..];
            proptest::prop_assert_eq!(take(&mut input, "n"), Ok(value));
            proptest::prop_assert_eq!(input, &behind);
        }

        #[test]
        fn whatever_is_accepted_is_written_back_byte_for_byte(
            bytes in proptest::collection::vec(
                proptest::prop_oneof![0_u8.., 0x80_u8.., proptest::prelude::Just(0)], 0..12,
            ),
        ) {
            let mut input = &bytes[..];
            if let Ok(value) = take(&mut input, "n") {
                let mut out = Vec::new();
                put(&mut out, value);
                proptest::prop_assert_eq!(&out[..], &bytes[..bytes.len() - input.len()]);
            }
        }
    }
}
