//! How far a pass over all that is held for one target has come.

use dynamokv_storage::ObjectKey;

use crate::Slice;

/// A place in a pass: first come the single hints in the order of their keys, then the slices that are held as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// After the hint of this key.
    Hint(ObjectKey),
    /// In this slice.
    Slice {
        /// Which.
        slice: Slice,
        /// After this key; `None` at its beginning.
        after: Option<ObjectKey>,
    },
}
