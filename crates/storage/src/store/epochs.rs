use dynamokv_vclock::{Epoch, EpochLease};
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::meta;
use crate::engine::Batch;
use crate::sync::GroupSync;
use crate::{Error, Result};

/// Draws epochs from a durable counter, in blocks: the end of a block is on disk before its first epoch is used.
pub(super) struct Epochs {
    lease: Mutex<Lease>,
    seed: u64,
}

struct Lease {
    left: Option<EpochLease>,
    /// Where the next block begins.
    end: u64,
}

const LEASE_END_ENTRY: &str = "epoch-lease-end";

/// One inline sync for this many keys; what is left of a block at a stop is forfeited, and 2^26 blocks exist.
const BLOCK: u64 = 1 << 14;

impl Epochs {
    pub(super) fn open(sync: &GroupSync, seed: u64) -> Result<Self> {
        let end = meta::read_number(sync.engine().as_ref(), LEASE_END_ENTRY)?.unwrap_or(0);
        Ok(Self {
            lease: Mutex::new(Lease { left: None, end }),
            seed,
        })
    }

    /// An epoch that was never drawn before. One call in 16,384 syncs the engine.
    pub(super) fn draw(&self, sync: &GroupSync) -> Result<Epoch> {
        let mut lease = self.lease.lock();
        if let Some(epoch) = lease.left.as_mut().and_then(Iterator::next) {
            return Ok(epoch);
        }
        let (first, end) = (
            lease.end,
            lease.end.saturating_add(BLOCK).min(EpochLease::END),
        );
        let mut batch = Batch::new();
        meta::stage_number(&mut batch, LEASE_END_ENTRY, end);
        sync.write(batch)?;
        sync.sync_now()?;
        let random = xxh3_64_with_seed(&first.to_be_bytes(), self.seed) as u32;
        let mut block = EpochLease::new(first, end, random).map_err(|_| Error::EpochsExhausted)?;
        let epoch = block.next().ok_or(Error::EpochsExhausted)?;
        *lease = Lease {
            left: Some(block),
            end,
        };
        Ok(epoch)
    }
}
