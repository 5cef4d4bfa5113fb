//! The `serde` feature: what each type looks like to serializers.
//!
//! Each value has one form in each format, and nothing else is read: lists that are out of order,
//! entries that belong elsewhere and unknown fields are errors, as they are in the binary form. The
//! README has the table.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::inline::InlineVec;
use crate::{Actor, ActorId, CausalContext, Dot, Epoch, Error, Siblings, VersionVector};

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            shown(deserializer)
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

impl Serialize for ActorId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            (self.node, self.epoch).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for ActorId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            shown(deserializer)
        } else {
            <(u64, Epoch)>::deserialize(deserializer).map(|(node, epoch)| Self::new(node, epoch))
        }
    }
}

impl<A: Serialize> Serialize for Dot<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.actor, self.counter).serialize(serializer)
    }
}

impl<'de, A: Deserialize<'de>> Deserialize<'de> for Dot<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <(A, u64)>::deserialize(deserializer).map(|(actor, counter)| Self::new(actor, counter))
    }
}

impl<A: Actor + Serialize> Serialize for VersionVector<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_seq(self.tips())
        } else {
            let mut bytes = Vec::new();
            self.encode(&mut bytes);
            serializer.serialize_bytes(&bytes)
        }
    }
}

impl<'de, A: Actor + Deserialize<'de>> Deserialize<'de> for VersionVector<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return deserializer.deserialize_bytes(Encoded::new(Self::decode));
        }
        let mut vector = Self::new();
        for entry in Vec::<Dot<A>>::deserialize(deserializer)? {
            vector.push(entry).map_err(de::Error::custom)?;
        }
        Ok(vector)
    }
}

/// The fields of a context, in the form that is written and the one that is read.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename = "CausalContext", deny_unknown_fields)]
struct ContextFields<V, G> {
    vector: V,
    gaps: G,
}

impl<A: Actor + Serialize> Serialize for CausalContext<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let (vector, gaps) = (self.vector(), self.gaps().collect::<Vec<_>>());
            ContextFields { vector, gaps }.serialize(serializer)
        } else {
            let mut bytes = Vec::new();
            self.encode(&mut bytes);
            serializer.serialize_bytes(&bytes)
        }
    }
}

impl<'de, A: Actor + Deserialize<'de>> Deserialize<'de> for CausalContext<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return deserializer.deserialize_bytes(Encoded::new(Self::decode));
        }
        let fields = ContextFields::<VersionVector<A>, Vec<Dot<A>>>::deserialize(deserializer)?;
        let mut gaps = InlineVec::new();
        fields.gaps.into_iter().for_each(|gap| gaps.push(gap));
        Self::from_parts(fields.vector, gaps).map_err(de::Error::custom)
    }
}

/// The fields of a sibling set, in the form that is written and the one that is read.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename = "Siblings", deny_unknown_fields)]
struct SiblingsFields<C, L> {
    context: C,
    values: L,
}

impl<V: Serialize, A: Actor + Serialize> Serialize for Siblings<V, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (context, values) = (self.context(), self.values().collect::<Vec<_>>());
        SiblingsFields { context, values }.serialize(serializer)
    }
}

impl<'de, V: Deserialize<'de>, A: Actor + Deserialize<'de>> Deserialize<'de> for Siblings<V, A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields =
            SiblingsFields::<CausalContext<A>, Vec<(Dot<A>, V)>>::deserialize(deserializer)?;
        Self::from_parts(fields.context, fields.values).map_err(de::Error::custom)
    }
}

/// Reads a value from the text that it is shown as.
fn shown<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err = Error>,
    D: Deserializer<'de>,
{
    struct Shown<T>(PhantomData<T>);

    impl<T: FromStr<Err = Error>> Visitor<'_> for Shown<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Shown(PhantomData))
}

/// Reads a value from the bytes that `encode` wrote.
struct Encoded<T> {
    decode: fn(&[u8]) -> Result<T, Error>,
}

impl<T> Encoded<T> {
    fn new(decode: fn(&[u8]) -> Result<T, Error>) -> Self {
        Self { decode }
    }
}

impl<T> Visitor<'_> for Encoded<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a clock")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<T, E> {
        (self.decode)(bytes).map_err(E::custom)
    }
}
