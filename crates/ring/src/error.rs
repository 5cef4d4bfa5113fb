use crate::{NodeId, PartitionRing, TokenRing};

/// What can be wrong with the input of this crate. No call changes anything when it fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The number of partitions is unusable: choose a power of two within the limit.
    #[error(
        "partitions is {given}: it must be a power of two, 1..={}",
        PartitionRing::PARTITIONS_MAX
    )]
    Partitions {
        /// The number asked for.
        given: u32,
    },
    /// The number of replicas is unusable: choose one within the limit.
    #[error(
        "replicas is {given}: it must be 1..={}",
        crate::placement::REPLICAS_MAX
    )]
    Replicas {
        /// The number asked for.
        given: usize,
    },
    /// Two members carry one id: drop one of them, or give it an id of its own.
    #[error("member {id} is listed twice: node ids must be unique")]
    DuplicateMember {
        /// The repeated id.
        id: NodeId,
    },
    /// No virtual nodes, or together with the weights too many: choose another `vnodes`, or smaller weights.
    #[error(
        "vnodes is {vnodes} and makes {tokens} tokens: it must be at least 1 and make at most {}",
        TokenRing::TOKENS_MAX
    )]
    Tokens {
        /// The tokens asked for an ordinary node.
        vnodes: u32,
        /// The number of tokens that the ring would have.
        tokens: u64,
    },
    /// Two rings with different numbers of partitions have no partition-wise difference:
    /// the number of partitions of a cluster is fixed when it is founded.
    #[error(
        "rings of {current} and {next} partitions cannot be compared: the number must be the same"
    )]
    PartitionsDiffer {
        /// Partitions of the current ring.
        current: u32,
        /// Partitions of the next ring.
        next: u32,
    },
    /// The bytes are not the table of the ring with that fingerprint: they are damaged, or belong to other members, or the
    /// ring was not made by [`PartitionRing::next`]. Fetch them again.
    #[error("the table does not belong to the fingerprint {fingerprint:016x}: fetch it again")]
    Table {
        /// The fingerprint of the ring that was wanted.
        fingerprint: u64,
    },
    /// The text is no node id: write exactly 16 hexadecimal digits.
    #[error("node id {given:?} is malformed: it must be exactly 16 hexadecimal digits")]
    NodeId {
        /// The text, shortened when long.
        given: String,
    },
}
