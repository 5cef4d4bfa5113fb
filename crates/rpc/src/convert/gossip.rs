//! Gossip messages, in the wire form of their own crate.

use bytes::Bytes;
use dynamokv_gossip::{Message, Status};

use crate::{Error, Result, pb};

impl From<Message> for pb::GossipMessage {
    fn from(message: Message) -> Self {
        Self {
            message: Bytes::from(message.encode()),
        }
    }
}

impl TryFrom<pb::GossipMessage> for Message {
    type Error = Error;

    fn try_from(message: pb::GossipMessage) -> Result<Self> {
        Message::decode(&message.message).map_err(|error| Error::Malformed {
            message: "GossipMessage",
            reason: error.to_string(),
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
