use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::NodeId;

/// A node as the ring sees it: who it is, how much it carries, where it stands.
///
/// ```
/// # use dynamokv_ring::{Member, NodeId, Zone};
/// # use std::num::NonZeroU32;
/// let big = Member::new(NodeId(7)).with_weight(NonZeroU32::new(200).unwrap()).with_zone("eu-1b");
/// assert_eq!(big.zone, Zone::new("eu-1b"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The node.
    pub id: NodeId,
    /// Its capacity in hundredths of an ordinary node: 100 is one, 200 carries twice as much.
    pub weight: NonZeroU32,
    /// The failure domain that it shares with others.
    pub zone: Zone,
}

impl Member {
    /// The weight of one ordinary node.
    pub const ORDINARY_WEIGHT: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);

    /// An ordinary node in the nameless zone.
    pub fn new(id: NodeId) -> Self {
        Member {
            id,
            weight: Self::ORDINARY_WEIGHT,
            zone: Zone::default(),
        }
    }

    /// The same node with another weight.
    #[must_use]
    pub fn with_weight(self, weight: NonZeroU32) -> Self {
        Member { weight, ..self }
    }

    /// The same node in another zone.
    #[must_use]
    pub fn with_zone(self, zone: impl Into<Zone>) -> Self {
        Member {
            zone: zone.into(),
            ..self
        }
    }
}

/// A failure domain (a rack, a room, a data centre): what may fail at once.
///
/// Replicas of one partition sit in distinct zones where there are enough. The default is the nameless zone `""`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(Arc<str>);

impl Zone {
    /// The zone of that name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Zone(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Zone {
    fn default() -> Self {
        Zone::new("")
    }
}

impl From<&str> for Zone {
    fn from(name: &str) -> Self {
        Zone::new(name)
    }
}

impl From<String> for Zone {
    fn from(name: String) -> Self {
        Zone::new(name)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
