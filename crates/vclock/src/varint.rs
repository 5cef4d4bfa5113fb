//! LEB128 integers in their shortest form, for codecs that nest in the encodings of this crate.

use crate::Error;

/// Appends `value`, in 1 to 10 bytes.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes one integer off the front of `input`. `field` names it in the error.
///
/// # Errors
/// [`Error::Truncated`] if the input ends inside the integer, [`Error::NotCanonical`] if it is
/// longer than needed or does not fit 64 bits. `input` is then left at an unspecified place.
pub fn take(input: &mut &[u8], field: &'static str) -> Result<u64, Error> {
    let mut value = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = take_byte(input, field)?;
        let bits = u64::from(byte & 0x7f);
        if shift == LAST_SHIFT && byte > 1 {
            return Err(Error::NotCanonical {
                field,
                rule: "integers fit 64 bits",
            });
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            if byte == 0 && shift > 0 {
                return Err(Error::NotCanonical {
                    field,
                    rule: "integers are written in their shortest form",
                });
            }
            return Ok(value);
        }
    }
    Err(Error::NotCanonical {
        field,
        rule: "integers fit 64 bits",
    })
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
        fn whatever_is_accepted_is_written_back_byte_for_byte(
            bytes in proptest::collection::vec(0_u8.., 0..12),
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
