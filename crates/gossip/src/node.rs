use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use dynamokv_ring::{Member, NodeId, Zone};

use crate::{Error, Result, StageMark, Status};

/// The key under which a node says how far it has come with a membership change: a [`StageMark`].
pub const KEY_CHANGE: &str = "change";
/// The key under which a node repeats which members an operator asked to remove, and that it has fenced them:
/// [`format_ids`](crate::format_ids).
pub const KEY_REMOVE: &str = "remove";
/// The key under which a node that is [`Status::Replacing`] names the dead node whose place it takes.
pub const KEY_REPLACES: &str = "replaces";
/// The key by which a node says, with any value, that its process is about to end: it counts as down at once.
pub const KEY_STOPPING: &str = "stopping";

/// The greatest size of a name, an address, a zone or a key, in bytes.
pub const TEXT_BYTES_MAX: usize = 256;
/// The greatest size of a gossiped value, in bytes.
pub const VALUE_BYTES_MAX: usize = 8 * 1024;
/// The most keys that a node may gossip.
pub(crate) const KEYS_MAX: usize = 256;

/// All that a node says of itself. Only the node itself writes it; everybody else passes it on.
///
/// Its states are ordered by (generation, version): the generation grows at each start, the version with each write.
/// Heartbeats stand apart, so that being alive does not make anybody send the state again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// Who it is.
    pub id: NodeId,
    /// Grows at each start of the node.
    pub generation: u64,
    /// Grows with each write to the profile or a key.
    pub version: u64,
    /// The fixed fields; shared, because whoever passes them on does not change them.
    pub profile: Arc<Profile>,
    /// The version of the latest write to the profile.
    pub profile_version: u64,
    /// The free ones.
    pub kv: BTreeMap<String, Versioned>,
}

impl NodeState {
    /// The node as a member of a ring.
    pub fn member(&self) -> Member {
        let zone = self.profile.zone.clone();
        Member::new(self.id)
            .with_weight(self.profile.weight)
            .with_zone(zone)
    }

    /// Its value under a key; an empty one counts as none. O(log keys).
    pub fn value(&self, key: &str) -> Option<&str> {
        let value = self.kv.get(key)?.value.as_str();
        (!value.is_empty()).then_some(value)
    }

    /// How far it has come with which membership change.
    pub fn stage_mark(&self) -> Option<StageMark> {
        self.value(KEY_CHANGE)?.parse().ok()
    }

    /// The node whose place it wants to take.
    pub fn replaces(&self) -> Option<NodeId> {
        self.value(KEY_REPLACES)?.parse().ok()
    }

    /// Whether it said that its process is about to end.
    pub fn is_stopping(&self) -> bool {
        self.value(KEY_STOPPING).is_some()
    }

    pub(crate) fn new(local: LocalNode) -> Result<Self> {
        local.profile.validate()?;
        let mut state = NodeState {
            id: local.id,
            generation: local.generation,
            version: 1,
            profile: Arc::new(local.profile),
            profile_version: 1,
            kv: BTreeMap::new(),
        };
        for (key, value) in local.kv {
            state.set(key, value)?;
        }
        Ok(state)
    }

    /// Returns whether it changed anything.
    pub(crate) fn set(&mut self, key: String, value: String) -> Result<bool> {
        check_item(&key, &value)?;
        let known = self.kv.get(&key);
        if known.map_or("", |known| &known.value) == value {
            return Ok(false);
        }
        if known.is_none() && self.kv.len() >= KEYS_MAX {
            return Err(too_long("keys", KEYS_MAX + 1, KEYS_MAX));
        }
        self.version += 1;
        let version = self.version;
        self.kv.insert(key, Versioned { value, version });
        Ok(true)
    }

    pub(crate) fn set_profile(&mut self, profile: Profile) {
        self.version += 1;
        self.profile_version = self.version;
        self.profile = Arc::new(profile);
    }
}

/// A node's fixed fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its display name.
    pub name: String,
    /// Where it is reached, `host:port`.
    pub address: String,
    /// Its failure domain.
    pub zone: Zone,
    /// What it can carry; 100 is one ordinary node.
    pub weight: NonZeroU32,
    /// What it is to the cluster.
    pub status: Status,
}

impl Profile {
    pub(crate) fn validate(&self) -> Result<()> {
        check_text("name", &self.name)?;
        check_text("zone", self.zone.as_str())?;
        check_text("address", &self.address)?;
        if self.address.is_empty() {
            return Err(Error::malformed("address (host:port)", &self.address));
        }
        Ok(())
    }
}

/// A value and the version of its latest write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The value.
    pub value: String,
    /// The node's version when it was written.
    pub version: u64,
}

/// What a node starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalNode {
    /// Who it is: fixed for its life.
    pub id: NodeId,
    /// Greater than at any start before.
    pub generation: u64,
    /// How many heartbeats its earlier lives may have made, for a node that keeps count on its disk (see
    /// [`Gossip::allow_heartbeats`](crate::Gossip::allow_heartbeats)). Then one whose disk is an older copy is refused.
    pub heartbeats_before: Option<u64>,
    /// The fixed fields.
    pub profile: Profile,
    /// Key-values that outlive a restart. Those under [`KEY_CHANGE`] and [`KEY_REMOVE`] must be what was last gossiped: they are
    /// promises to the others.
    pub kv: BTreeMap<String, String>,
}

impl LocalNode {
    /// An ordinary node in the nameless zone that waits to be let in; its display name is its id.
    pub fn new(id: NodeId, generation: u64, address: impl Into<String>) -> Self {
        LocalNode {
            id,
            generation,
            heartbeats_before: None,
            profile: Profile {
                name: id.to_string(),
                address: address.into(),
                zone: Zone::default(),
                weight: Member::ORDINARY_WEIGHT,
                status: Status::Joining,
            },
            kv: BTreeMap::new(),
        }
    }
}

pub(crate) fn check_item(key: &str, value: &str) -> Result<()> {
    check_text("key", key)?;
    match value.len() {
        0..=VALUE_BYTES_MAX => Ok(()),
        given => Err(too_long("value", given, VALUE_BYTES_MAX)),
    }
}

fn check_text(field: &'static str, text: &str) -> Result<()> {
    match text.len() {
        0..=TEXT_BYTES_MAX => Ok(()),
        given => Err(too_long(field, given, TEXT_BYTES_MAX)),
    }
}

pub(crate) fn too_long(field: &'static str, given: usize, limit: usize) -> Error {
    Error::TooLong {
        field,
        given,
        limit,
    }
}
