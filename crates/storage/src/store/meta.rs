//! Small named facts in the `meta` family, each under a checksum.

use bytes::{BufMut, Bytes, BytesMut};

use crate::engine::{Batch, Engine, Family};
use crate::{Error, Result};

/// Who owns an entry: the store itself, or its user.
#[derive(Clone, Copy)]
pub(super) enum Owner {
    Store,
    User,
}

pub(super) fn read(engine: &dyn Engine, owner: Owner, name: &str) -> Result<Option<Bytes>> {
    let key = entry_key(owner, name);
    let Some(entry) = engine.get(&Family::META, &key)? else {
        return Ok(None);
    };
    open(&key, &entry)
        .map(Some)
        .ok_or_else(|| Error::DamagedMeta { entry: name.into() })
}

/// The value within an entry as it is stored; `None` if it is damaged.
pub(super) fn open(key: &[u8], entry: &Bytes) -> Option<Bytes> {
    let (sum, value) = entry.split_first_chunk::<4>()?;
    (u32::from_le_bytes(*sum) == checksum(key, value)).then(|| entry.slice_ref(value))
}

pub(super) fn stage(batch: &mut Batch, owner: Owner, name: &str, value: &[u8]) {
    let key = entry_key(owner, name);
    let mut entry = BytesMut::with_capacity(4 + value.len());
    entry.put_u32_le(checksum(&key, value));
    entry.put_slice(value);
    batch.put(&Family::META, key, entry.freeze());
}

pub(super) fn stage_removal(batch: &mut Batch, owner: Owner, name: &str) {
    batch.delete(&Family::META, entry_key(owner, name));
}

pub(super) fn read_number(engine: &dyn Engine, name: &str) -> Result<Option<u64>> {
    let Some(value) = read(engine, Owner::Store, name)? else {
        return Ok(None);
    };
    let number = value
        .as_ref()
        .try_into()
        .map_err(|_| Error::DamagedMeta { entry: name.into() })?;
    Ok(Some(u64::from_be_bytes(number)))
}

pub(super) fn stage_number(batch: &mut Batch, name: &str, number: u64) {
    stage(batch, Owner::Store, name, &number.to_be_bytes());
}

fn entry_key(owner: Owner, name: &str) -> Bytes {
    let prefix = match owner {
        Owner::Store => "store/",
        Owner::User => "user/",
    };
    [prefix, name].concat().into()
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), value)
}
