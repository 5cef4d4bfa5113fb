//! The form of a key's record in the engine.
//!
//! ```text
//! [format, 1 byte][crc32c, 4 bytes LE][has position, 1 byte]
//! [incarnation, epoch, counter, 8 bytes LE each, if it has one][canonical state]
//! ```
//!
//! The checksum covers the engine key, the format and everything after the checksum, so a record that stands under
//! another key is as damaged as one with a flipped bit.

#[cfg(test)]
mod tests;

use bytes::{Buf, BufMut, Bytes};
use crc_fast::CrcAlgorithm;
use dynamokv_vclock::{Epoch, Position};

use crate::error::Damage;
use crate::value::{State, append_state, decode_state_within, encoded_bytes_max};

/// The version of the record format that this release writes.
pub(crate) const FORMAT: u8 = 1;

const CHECKSUM: std::ops::Range<usize> = 1..5;
const POSITION_BYTES: usize = 24;

/// Everything that stands under one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) position: Option<Stamped>,
    pub(crate) state: State,
}

/// An issuing position, and the incarnation of the store in which it is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamped {
    pub(crate) incarnation: u64,
    pub(crate) position: Position,
}

/// An encoded record.
pub(crate) struct Encoded {
    pub(crate) bytes: Bytes,
    state_at: usize,
}

impl Encoded {
    /// The canonical state within the record.
    pub(crate) fn state(&self) -> &[u8] {
        &self.bytes[self.state_at..]
    }
}

pub(crate) fn encode(engine_key: &[u8], position: Option<Stamped>, state: &State) -> Encoded {
    let header = [FORMAT, 0, 0, 0, 0, u8::from(position.is_some())];
    let mut out = Vec::with_capacity(header.len() + POSITION_BYTES + encoded_bytes_max(state));
    out.put_slice(&header);
    if let Some(Stamped {
        incarnation,
        position,
    }) = position
    {
        out.put_u64_le(incarnation);
        out.put_u64_le(position.epoch.0);
        out.put_u64_le(position.counter);
    }
    let state_at = out.len();
    append_state(state, &mut out);
    let sum = checksum(engine_key, FORMAT, &out[CHECKSUM.end..]);
    out[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
    // It may be kept for long: not with much room that it does not use. An allocator may leave a vector that shrinks as it is.
    let spare = out.capacity() - out.len();
    let bytes = if spare > out.len() / 4 {
        Bytes::copy_from_slice(&out)
    } else {
        out.into()
    };
    Encoded { bytes, state_at }
}

/// A record and the canonical bytes of its state.
pub(crate) fn decode<'a>(
    engine_key: &[u8],
    bytes: &'a Bytes,
) -> Result<(Record, &'a [u8]), Damage> {
    let (header, body) = bytes.split_first_chunk::<5>().ok_or(Damage::Short)?;
    let [format, sum @ ..] = *header;
    if format != FORMAT {
        return Err(Damage::Format(format));
    }
    if checksum(engine_key, format, body) != u32::from_le_bytes(sum) {
        return Err(Damage::Checksum);
    }
    decode_body(bytes, body)
}

/// A record that was encoded or decoded before: its checksum need not be looked at.
pub(crate) fn decode_trusted(bytes: &Bytes) -> Option<Record> {
    let body = bytes.get(CHECKSUM.end..)?;
    decode_body(bytes, body).ok().map(|(record, _)| record)
}

fn decode_body<'a>(bytes: &Bytes, mut body: &'a [u8]) -> Result<(Record, &'a [u8]), Damage> {
    let position = match body.split_first() {
        Some((0, rest)) => {
            body = rest;
            None
        }
        Some((1, rest)) if rest.len() >= POSITION_BYTES => {
            body = rest;
            Some(Stamped {
                incarnation: body.get_u64_le(),
                position: Position {
                    epoch: Epoch(body.get_u64_le()),
                    counter: body.get_u64_le(),
                },
            })
        }
        _ => return Err(Damage::Content),
    };
    let state = decode_state_within(bytes, body).map_err(|_| Damage::Content)?;
    Ok((Record { position, state }, body))
}

/// CRC-32C, by whichever of two implementations is faster for the length.
fn checksum(engine_key: &[u8], format: u8, body: &[u8]) -> u32 {
    if body.len() < LONG_BYTES_MIN {
        let sum = crc32c::crc32c_append(crc32c::crc32c(engine_key), &[format]);
        return crc32c::crc32c_append(sum, body);
    }
    let mut digest = crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(engine_key);
    digest.update(&[format]);
    digest.update(body);
    digest.finalize() as u32
}

/// From here on carry-less multiplication wins over the CPU's own instruction for this sum.
const LONG_BYTES_MIN: usize = 2_048;
