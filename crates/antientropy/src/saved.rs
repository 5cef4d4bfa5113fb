//! Trees on disk, between a clean stop and the next start.
//!
//! ```text
//! a part: 16 buckets, each [leaf bits, 1 byte][keys, 8 bytes LE][sums, 16 bytes LE each]
//! ```

use crate::bucket::{BUCKETS, LEAF_BITS_MAX};
use crate::{Error, Forest, Result};

/// In so many parts trees are saved, so that no part is large.
pub const SAVED_PARTS: usize = BUCKETS / BUCKETS_PER_PART;

const BUCKETS_PER_PART: usize = 16;

impl Forest {
    /// One of [`SAVED_PARTS`] parts, as bytes; `None` while it is not counted. Nothing changes meanwhile. O(leaves).
    #[must_use]
    pub fn save(&self, part: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for bucket in self.part(part) {
            let keys = bucket.keys();
            bucket
                .with_leaves(|leaves| {
                    out.push(leaves.bits());
                    out.extend(keys.to_le_bytes());
                    for sum in leaves.sums() {
                        out.extend(sum.read().to_le_bytes());
                    }
                    leaves.ready
                })
                .then_some(())?;
        }
        Some(out)
    }

    /// Takes a part that was saved from a store in the very state that this one is in; it is ready then. Nothing changes
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::BadSaved`]: what was not taken of it is not ready.
    pub fn load(&self, part: usize, mut saved: &[u8]) -> Result<()> {
        let bad = |reason| Error::BadSaved { reason };
        for bucket in self.part(part) {
            let ([bits], rest) = saved
                .split_first_chunk()
                .ok_or_else(|| bad("it ends early"))?;
            let (keys, rest) = rest
                .split_first_chunk()
                .ok_or_else(|| bad("it ends early"))?;
            if *bits > LEAF_BITS_MAX {
                return Err(bad("a bucket has more leaves than there may be"));
            }
            let (sums, rest) = rest
                .split_at_checked(size_of::<u128>() << bits)
                .ok_or_else(|| bad("it ends early"))?;
            bucket.clear(*bits, false);
            let mut whole = 0;
            bucket.with_leaves(|leaves| {
                let (sums, _) = sums.as_chunks();
                for (leaf, sum) in leaves.sums().iter().zip(sums) {
                    let sum = u128::from_le_bytes(*sum);
                    leaf.mix(sum);
                    whole ^= sum;
                }
            });
            let keys = i64::try_from(u64::from_le_bytes(*keys))
                .map_err(|_| bad("a bucket has more keys than there can be"))?;
            bucket.mix_sum(whole, keys);
            bucket.set_ready();
            saved = rest;
        }
        if saved.is_empty() {
            Ok(())
        } else {
            Err(bad("something follows the last bucket"))
        }
    }

    fn part(&self, part: usize) -> &[crate::bucket::Bucket] {
        let first = part.saturating_mul(BUCKETS_PER_PART);
        let of = self.buckets.get(first..).unwrap_or_default();
        of.get(..BUCKETS_PER_PART).unwrap_or_default()
    }
}
