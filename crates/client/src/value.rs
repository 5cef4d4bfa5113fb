//! What is written and read.

use bytes::Bytes;
use dynamokv_coordinator::Answer;
use dynamokv_ring::NodeId;
use dynamokv_rpc::pb;
use dynamokv_vclock::HybridTime;

/// What a reader or writer of a key has seen. Opaque, bound to its key; it may be kept and passed on as bytes.
///
/// A write with a context replaces what the context has seen, and is concurrent with the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Context(Bytes);

impl Context {
    /// Nothing was seen: a write with it is concurrent with every other.
    pub fn new() -> Self {
        Self::default()
    }

    /// The context that had these bytes. A damaged or foreign one is refused when it is used.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One of the concurrent values of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Value {
    /// The bytes written.
    pub bytes: Bytes,
    /// Media type, if the writer gave one.
    pub content_type: Option<String>,
    /// When the write was coordinated. It orders concurrent writes and decides nothing by itself.
    pub time: HybridTime,
    /// The name of the write, for people to read.
    pub clock: String,
}

impl From<pb::Value> for Value {
    fn from(message: pb::Value) -> Self {
        Self {
            bytes: message.value,
            content_type: message.content_type,
            time: HybridTime(message.hybrid_time),
            clock: message.clock,
        }
    }
}

/// What is to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewValue {
    /// The bytes; at most 4 MiB, unless the nodes are configured otherwise. May be empty.
    pub bytes: Bytes,
    /// Media type, kept with the value.
    pub content_type: Option<String>,
}

impl NewValue {
    /// A value without a media type.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            content_type: None,
        }
    }

    /// The same value with a media type.
    #[must_use]
    pub fn with_content_type(self, content_type: impl Into<String>) -> Self {
        Self {
            content_type: Some(content_type.into()),
            ..self
        }
    }
}

impl From<Value> for NewValue {
    fn from(value: Value) -> Self {
        Self {
            bytes: value.bytes,
            content_type: value.content_type,
        }
    }
}

macro_rules! new_value_from {
    ($($bytes:ty),*) => {$(
        impl From<$bytes> for NewValue {
            fn from(bytes: $bytes) -> Self {
                Self::new(bytes)
            }
        }
    )*};
}

new_value_from!(Bytes, Vec<u8>, String, &'static str, &'static [u8]);

/// A completed read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Versions {
    /// The concurrent values: none if the key does not exist, several if nobody has merged them yet. A
    /// [`Resolver`](crate::Resolver) leaves one of them.
    pub values: Vec<Value>,
    /// What the read has seen: all of it, whatever a resolver made of the values.
    pub context: Context,
    /// Concurrent writes behind the values, hidden deletes and identical values included.
    pub siblings: u32,
    /// Who answered what.
    pub answers: Vec<Answer>,
    /// The node that coordinated.
    pub coordinator: NodeId,
    /// How often it was asked, hedges included.
    pub attempts: u32,
}

impl Versions {
    /// The only value; `None` where there is none, and where there are several.
    pub fn one(&self) -> Option<&Value> {
        match self.values.as_slice() {
            [value] => Some(value),
            _ => None,
        }
    }

    /// Whether the key does not exist.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// An applied write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The context that was passed and this write: pass it on with the next one.
    pub context: Context,
    /// Who had answered when the write was acknowledged.
    pub answers: Vec<Answer>,
    /// The node that coordinated.
    pub coordinator: NodeId,
    /// How often it was sent.
    pub attempts: u32,
}
