//! Reading what others sent: nothing that they send makes it panic or take more room than they sent bytes.

use std::num::NonZeroU32;

use crate::{Error, Result};

/// What is left of the bytes.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes }
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or_else(|| cut(field))?;
        self.bytes = rest;
        Ok(*array)
    }

    pub(crate) fn varint(&mut self, field: &'static str) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array(field)?;
            let low = u64::from(byte & 0x7F);
            value |= low << shift;
            if low << shift >> shift != low {
                break;
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::malformed(field, "a number of more than 64 bits"))
    }

    /// A number of 32 bits.
    pub(crate) fn small(&mut self, field: &'static str) -> Result<u32> {
        let value = self.varint(field)?;
        u32::try_from(value).map_err(|_| Error::malformed(field, &value.to_string()))
    }

    pub(crate) fn weight(&mut self, field: &'static str) -> Result<NonZeroU32> {
        NonZeroU32::new(self.small(field)?).ok_or_else(|| Error::malformed(field, "0"))
    }

    pub(crate) fn flag(&mut self, field: &'static str) -> Result<bool> {
        match self.varint(field)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Error::malformed(field, &other.to_string())),
        }
    }

    pub(crate) fn fixed64(&mut self, field: &'static str) -> Result<u64> {
        self.array(field).map(u64::from_le_bytes)
    }

    pub(crate) fn fixed32(&mut self, field: &'static str) -> Result<u32> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(crate) fn block(&mut self, field: &'static str) -> Result<&'a [u8]> {
        let length = self.length(field, 1)?;
        let (block, rest) = self
            .bytes
            .split_at_checked(length)
            .ok_or_else(|| cut(field))?;
        self.bytes = rest;
        Ok(block)
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<String> {
        let text = std::str::from_utf8(self.block(field)?);
        text.map(str::to_owned)
            .map_err(|_| Error::malformed(field, "not UTF-8"))
    }

    pub(crate) fn option<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<Option<T>> {
        self.flag(field)?.then(|| read(self)).transpose()
    }

    /// A list whose items have `size_min` bytes at least.
    pub(crate) fn list<T>(
        &mut self,
        field: &'static str,
        size_min: usize,
        read: impl Fn(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let length = self.length(field, size_min)?;
        (0..length).map(|_| read(self)).collect()
    }

    /// A length that the bytes left can hold.
    fn length(&mut self, field: &'static str, size_min: usize) -> Result<usize> {
        let length = self.varint(field)?;
        let fits = |length: &usize| length.saturating_mul(size_min) <= self.bytes.len();
        usize::try_from(length)
            .ok()
            .filter(fits)
            .ok_or_else(|| cut(field))
    }
}

fn cut(field: &'static str) -> Error {
    Error::malformed(field, "cut off")
}
