use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::Result;
use crate::name::{self, NameKind};

/// The name of a column family: an independent, ordered space of keys within an engine.
///
/// Cheap to clone. Ordered by name.
#[derive(Clone)]
pub struct Family(Name);

#[derive(Clone)]
enum Name {
    Fixed(&'static str),
    Shared(Arc<str>),
}

impl Family {
    /// Versioned objects of a cluster node.
    pub const OBJECTS: Self = Self(Name::Fixed("objects"));
    /// Hint markers of a cluster node.
    pub const HINTS: Self = Self(Name::Fixed("hints"));
    /// Which objects of a cluster node are deleted: an index over [`OBJECTS`](Self::OBJECTS).
    pub const TOMBSTONES: Self = Self(Name::Fixed("tombstones"));
    /// The store's own facts: format, generation, leases.
    pub const META: Self = Self(Name::Fixed("meta"));
    /// The family that the raw service uses when none is named.
    pub const DEFAULT: Self = Self(Name::Fixed("default"));
    /// Locks, for the users of the raw service that build transactions on it.
    pub const LOCK: Self = Self(Name::Fixed("lock"));
    /// Records of committed writes, for the same users.
    pub const WRITE: Self = Self(Name::Fixed("write"));

    /// The families that an [`ObjectStore`](crate::ObjectStore) and its node need.
    pub const CLUSTER: [Self; 4] = [Self::OBJECTS, Self::HINTS, Self::TOMBSTONES, Self::META];

    /// The families that the raw service always has.
    pub const RAW: [Self; 3] = [Self::DEFAULT, Self::LOCK, Self::WRITE];

    /// A family of the given name: 1..=64 bytes of `[a-z0-9_-]`.
    ///
    /// # Errors
    /// [`Error::InvalidName`](crate::Error::InvalidName) for any other name.
    pub fn new(name: &str) -> Result<Self> {
        name::check(NameKind::Family, name)?;
        Ok(Self(Name::Shared(name.into())))
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Fixed(name) => name,
            Name::Shared(name) => name,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Family({})", self.as_str())
    }
}

impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Family {}

impl PartialOrd for Family {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Family {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}
