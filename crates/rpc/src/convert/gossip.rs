//! Gossip messages.

use std::time::Duration;

use dynamokv_gossip::{
    Ack, Delta, Digest, Header, IdSpan, Message, News, Profile, Status, Syn, SynAck, Versioned,
};
use dynamokv_ring::NodeId;

use super::all;
use super::facts::weight_from;
use crate::error::required;
use crate::pb::{self, gossip_delta, gossip_message::Body};
use crate::{Error, Result};

impl From<Message> for pb::GossipMessage {
    fn from(message: Message) -> Self {
        let (header, body) = match message {
            Message::Syn(Syn {
                header,
                span,
                digests,
                facts,
            }) => {
                let body = pb::GossipSyn {
                    first: span.first.0,
                    last: span.last.0,
                    digests: digests.into_iter().map(Into::into).collect(),
                    facts: facts.map(Into::into),
                };
                (header, Body::Syn(body))
            }
            Message::SynAck(SynAck {
                header,
                digests,
                deltas,
                facts_digest,
                facts,
            }) => {
                let body = pb::GossipSynAck {
                    digests: digests.into_iter().map(Into::into).collect(),
                    deltas: deltas.into_iter().map(Into::into).collect(),
                    facts_digest: facts_digest.map(Into::into),
                    facts: facts.as_ref().map(Into::into),
                };
                (header, Body::SynAck(body))
            }
            Message::Ack(Ack {
                header,
                deltas,
                facts,
            }) => {
                let body = pb::GossipAck {
                    deltas: deltas.into_iter().map(Into::into).collect(),
                    facts: facts.as_ref().map(Into::into),
                };
                (header, Body::Ack(body))
            }
        };
        Self {
            header: Some(header.into()),
            body: Some(body),
        }
    }
}

impl TryFrom<pb::GossipMessage> for Message {
    type Error = Error;

    fn try_from(message: pb::GossipMessage) -> Result<Self> {
        let header = required("gossip.header", message.header)?.into();
        Ok(match required("gossip.body", message.body)? {
            Body::Syn(body) => Self::Syn(Syn {
                header,
                span: IdSpan {
                    first: NodeId(body.first),
                    last: NodeId(body.last),
                },
                digests: body.digests.into_iter().map(Into::into).collect(),
                facts: body.facts.map(Into::into),
            }),
            Body::SynAck(body) => Self::SynAck(SynAck {
                header,
                digests: body.digests.into_iter().map(Into::into).collect(),
                deltas: all(body.deltas)?,
                facts_digest: body.facts_digest.map(Into::into),
                facts: body.facts.map(TryInto::try_into).transpose()?,
            }),
            Body::Ack(body) => Self::Ack(Ack {
                header,
                deltas: all(body.deltas)?,
                facts: body.facts.map(TryInto::try_into).transpose()?,
            }),
        })
    }
}

impl From<Header> for pb::GossipHeader {
    fn from(header: Header) -> Self {
        let Header {
            format,
            cluster_name,
            cluster_id,
            from,
            generation,
            address,
            process,
        } = header;
        Self {
            format,
            cluster_name,
            cluster_id,
            from: from.0,
            generation,
            address,
            process,
        }
    }
}

impl From<pb::GossipHeader> for Header {
    fn from(message: pb::GossipHeader) -> Self {
        let pb::GossipHeader {
            format,
            cluster_name,
            cluster_id,
            from,
            generation,
            address,
            process,
        } = message;
        Self {
            format,
            cluster_name,
            cluster_id,
            from: NodeId(from),
            generation,
            address,
            process,
        }
    }
}

impl From<Digest> for pb::GossipDigest {
    fn from(digest: Digest) -> Self {
        let Digest {
            id,
            generation,
            heartbeat,
            version,
            left,
        } = digest;
        Self {
            id: id.0,
            generation,
            heartbeat,
            version,
            left,
        }
    }
}

impl From<pb::GossipDigest> for Digest {
    fn from(message: pb::GossipDigest) -> Self {
        let pb::GossipDigest {
            id,
            generation,
            heartbeat,
            version,
            left,
        } = message;
        Self {
            id: NodeId(id),
            generation,
            heartbeat,
            version,
            left,
        }
    }
}

impl From<Delta> for pb::GossipDelta {
    fn from(delta: Delta) -> Self {
        let Delta {
            id,
            generation,
            heartbeat,
            news,
        } = delta;
        let news = match news {
            News::Left { remember } => {
                let millis = u64::try_from(remember.as_millis()).unwrap_or(u64::MAX);
                gossip_delta::News::LeftRememberMs(millis)
            }
            News::Writes {
                since,
                upto,
                profile,
                kv,
            } => {
                let (profile, profile_version) = profile.unzip();
                gossip_delta::News::Writes(pb::GossipWrites {
                    since,
                    upto,
                    profile: profile.map(Into::into),
                    profile_version: profile_version.unwrap_or_default(),
                    kv: kv.into_iter().map(item).collect(),
                })
            }
        };
        Self {
            id: id.0,
            generation,
            heartbeat,
            news: Some(news),
        }
    }
}

impl TryFrom<pb::GossipDelta> for Delta {
    type Error = Error;

    fn try_from(message: pb::GossipDelta) -> Result<Self> {
        let news = match required("gossip.delta.news", message.news)? {
            gossip_delta::News::LeftRememberMs(millis) => News::Left {
                remember: Duration::from_millis(millis),
            },
            gossip_delta::News::Writes(writes) => {
                let version = writes.profile_version;
                let profile = writes.profile.map(Profile::try_from).transpose()?;
                News::Writes {
                    since: writes.since,
                    upto: writes.upto,
                    profile: profile.map(|profile| (profile, version)),
                    kv: writes.kv.into_iter().map(versioned).collect(),
                }
            }
        };
        let pb::GossipDelta {
            id,
            generation,
            heartbeat,
            ..
        } = message;
        Ok(Self {
            id: NodeId(id),
            generation,
            heartbeat,
            news,
        })
    }
}

fn item((key, Versioned { value, version }): (String, Versioned)) -> pb::GossipItem {
    pb::GossipItem {
        key,
        value,
        version,
    }
}

fn versioned(
    pb::GossipItem {
        key,
        value,
        version,
    }: pb::GossipItem,
) -> (String, Versioned) {
    (key, Versioned { value, version })
}

impl From<Profile> for pb::GossipProfile {
    fn from(profile: Profile) -> Self {
        Self {
            name: profile.name,
            address: profile.address,
            zone: profile.zone.to_string(),
            weight: profile.weight.get(),
            status: pb::NodeStatus::from(profile.status).into(),
        }
    }
}

impl TryFrom<pb::GossipProfile> for Profile {
    type Error = Error;

    fn try_from(message: pb::GossipProfile) -> Result<Self> {
        Ok(Self {
            status: message.status().try_into()?,
            weight: weight_from(message.weight)?,
            name: message.name,
            address: message.address,
            zone: message.zone.into(),
        })
    }
}

impl From<Status> for pb::NodeStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Joining => Self::Joining,
            Status::Up => Self::Up,
            Status::Leaving => Self::Leaving,
            Status::Removing => Self::Removing,
            Status::Replacing => Self::Replacing,
            Status::Left => Self::Left,
        }
    }
}

impl TryFrom<pb::NodeStatus> for Status {
    type Error = Error;

    fn try_from(message: pb::NodeStatus) -> Result<Self> {
        match message {
            pb::NodeStatus::Joining => Ok(Self::Joining),
            pb::NodeStatus::Up => Ok(Self::Up),
            pb::NodeStatus::Leaving => Ok(Self::Leaving),
            pb::NodeStatus::Removing => Ok(Self::Removing),
            pb::NodeStatus::Replacing => Ok(Self::Replacing),
            pb::NodeStatus::Left => Ok(Self::Left),
            pb::NodeStatus::Unspecified => Err(Error::field("status", "not known")),
        }
    }
}
