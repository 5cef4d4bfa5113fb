use bytes::Bytes;

use super::Family;

/// Operations that an engine applies together or not at all, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    ops: Vec<Op>,
}

/// One operation of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sets a key to a value.
    Put {
        /// Where.
        family: Family,
        /// Which key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// Removes a key; nothing happens when it is not there.
    Delete {
        /// Where.
        family: Family,
        /// Which key.
        key: Bytes,
    },
    /// Removes the keys of `start..end`, the end excluded.
    DeleteRange {
        /// Where.
        family: Family,
        /// The first key removed.
        start: Bytes,
        /// The first key beyond that stays.
        end: Bytes,
    },
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put.
    pub fn put(
        &mut self,
        family: &Family,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> &mut Self {
        self.ops.push(Op::Put {
            family: family.clone(),
            key: key.into(),
            value: value.into(),
        });
        self
    }

    /// Adds a removal of one key.
    pub fn delete(&mut self, family: &Family, key: impl Into<Bytes>) -> &mut Self {
        self.ops.push(Op::Delete {
            family: family.clone(),
            key: key.into(),
        });
        self
    }

    /// Adds a removal of every key in `start..end`. An inverted range removes nothing.
    pub fn delete_range(
        &mut self,
        family: &Family,
        start: impl Into<Bytes>,
        end: impl Into<Bytes>,
    ) -> &mut Self {
        self.ops.push(Op::DeleteRange {
            family: family.clone(),
            start: start.into(),
            end: end.into(),
        });
        self
    }

    /// The operations, in the order in which they are applied.
    pub fn ops(&self) -> impl ExactSizeIterator<Item = &Op> {
        self.ops.iter()
    }

    /// The operations, by value.
    #[must_use]
    pub fn into_ops(self) -> Vec<Op> {
        self.ops
    }

    /// The number of operations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}

impl Op {
    /// The family that the operation works in.
    #[must_use]
    pub fn family(&self) -> &Family {
        match self {
            Self::Put { family, .. }
            | Self::Delete { family, .. }
            | Self::DeleteRange { family, .. } => family,
        }
    }
}
