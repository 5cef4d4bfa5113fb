use dynamokv_ring::NodeId;

use crate::{ChangeId, Illegal, Stage, Status};

/// What went wrong, and what the caller can do about it. No call that fails has changed any state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is outside its limits: correct it.
    #[error("{field} is outside its limits: {limit}")]
    Config {
        /// The setting.
        field: &'static str,
        /// What is allowed.
        limit: &'static str,
    },
    /// A text is not in its format: correct or drop it.
    #[error("malformed {what}: {given:?}")]
    Malformed {
        /// What was expected.
        what: &'static str,
        /// The beginning of what was given.
        given: String,
    },
    /// A text or list is longer than is gossiped: shorten it.
    #[error("{field} has {given} bytes or entries: at most {limit}")]
    TooLong {
        /// What is too long.
        field: &'static str,
        /// Its size.
        given: usize,
        /// The greatest size.
        limit: usize,
    },
    /// The status table does not allow this step.
    #[error("a node that is {from} cannot become {to}")]
    IllegalStatus {
        /// The present status.
        from: Status,
        /// The refused one.
        to: Status,
    },
    /// The peer belongs to a cluster of another name: check its configuration and the seed addresses.
    #[error("the peer's cluster is named {theirs:?}, this one {ours:?}")]
    WrongClusterName {
        /// The name of this cluster.
        ours: String,
        /// The peer's.
        theirs: String,
    },
    /// The peer belongs to another cluster of the same name: it was founded twice, or a seed address is wrong.
    #[error(
        "the peer's cluster id is {theirs:016x}, this one's {ours:016x}: two clusters bear one name"
    )]
    WrongClusterId {
        /// The id of this cluster.
        ours: u64,
        /// The peer's.
        theirs: u64,
    },
    /// The peer speaks a newer format: upgrade this node.
    #[error(
        "the peer's message format is {theirs}, this node knows up to {ours}: upgrade this node"
    )]
    NewerFormat {
        /// The newest format known here.
        ours: u32,
        /// The peer's.
        theirs: u32,
    },
    /// The peer speaks a format that is not understood any more: upgrade the peer.
    #[error(
        "the peer's message format is {theirs}, this node understands none before {oldest}: upgrade the peer"
    )]
    OlderFormat {
        /// The oldest format known here.
        oldest: u32,
        /// The peer's.
        theirs: u32,
    },
    /// Two nodes claim one id: give one of them an id (and an empty data folder) of its own.
    #[error(
        "node id {id} is claimed from {known} and from {other}: give one of them an id and data of its own"
    )]
    IdConflict {
        /// The id.
        id: NodeId,
        /// The address that holds it.
        known: String,
        /// The address that claims it too.
        other: String,
    },
    /// The node left or was removed: it may come back only under a new id, with an empty data folder.
    #[error(
        "node {id} left the cluster: it may come back under a new id, with an empty data folder"
    )]
    MemberLeft {
        /// The node.
        id: NodeId,
    },
    /// The node remembers less than it has said: its disk is an older copy. Remove it from the cluster; it may come back only under a
    /// new id, with an empty data folder.
    #[error(
        "node {id} has come back with its heartbeat {given}, where {known} was heard before: its data folder is an older copy"
    )]
    LostMemory {
        /// The node.
        id: NodeId,
        /// The greatest of its heartbeats that was heard.
        known: u64,
        /// The one that it came back with.
        given: u64,
    },
    /// No such node is known.
    #[error("node {id} is not known")]
    UnknownNode {
        /// The node.
        id: NodeId,
    },
    /// A node cannot do this to itself: ask another one.
    #[error("node {id} cannot remove itself: let it leave, or ask another node")]
    OwnNode {
        /// This node.
        id: NodeId,
    },
    /// A generation must grow.
    #[error("generation {given} is not beyond {known}")]
    GenerationNotAhead {
        /// The present generation.
        known: u64,
        /// The refused one.
        given: u64,
    },
    /// The cluster facts contradict themselves: they come from a faulty or foreign peer, or a damaged file.
    #[error("unusable cluster facts: {reason}")]
    BadFacts {
        /// The contradiction.
        reason: &'static str,
    },
    /// Two fact sheets of one cluster contradict each other in what never changes.
    #[error("cluster facts disagree on {field}")]
    FactsDisagree {
        /// What differs.
        field: &'static str,
    },
    /// The change that was to be stepped through is not the open one any more (it lost to a rival or is finished): ask for
    /// the next step anew.
    #[error("change {change} is not open here")]
    ChangeNotOpen {
        /// The change.
        change: ChangeId,
    },
    /// The step is out of turn, or others have not come far enough for it: ask for the next step, and wait where there is none.
    #[error("stage {stage} of change {change} may not be entered: {why}")]
    IllegalStage {
        /// The change.
        change: ChangeId,
        /// The refused stage.
        stage: Stage,
        /// The reason.
        why: Illegal,
    },
    /// No ring can be built from the facts.
    #[error(transparent)]
    Ring(#[from] dynamokv_ring::Error),
}

impl Error {
    pub(crate) fn malformed(what: &'static str, given: &str) -> Self {
        Error::Malformed {
            what,
            given: given.chars().take(SHOWN_MAX).collect(),
        }
    }

    /// What to tell the peer whose message met this error.
    pub fn refusal(&self) -> Refusal {
        match self {
            Error::WrongClusterName { .. } => Refusal::WrongClusterName,
            Error::WrongClusterId { .. } | Error::FactsDisagree { .. } => Refusal::WrongClusterId,
            Error::NewerFormat { .. } => Refusal::FormatTooNew,
            Error::OlderFormat { .. } => Refusal::FormatTooOld,
            Error::IdConflict { .. } => Refusal::IdConflict,
            Error::MemberLeft { .. } => Refusal::MemberLeft,
            Error::LostMemory { .. } => Refusal::LostMemory,
            _ => Refusal::BadMessage,
        }
    }
}

/// Why a peer would not talk to this node: the short form of its [`Error`], fit for the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its cluster has another name.
    #[error("its cluster has another name: check the seed addresses and cluster names")]
    WrongClusterName,
    /// Its cluster has another id.
    #[error("it belongs to another cluster of the same name: check the seed addresses")]
    WrongClusterId,
    /// It does not know this node's message format.
    #[error("it does not know this node's message format: upgrade it")]
    FormatTooNew,
    /// It does not understand this node's message format any more.
    #[error("it does not understand this node's message format any more: upgrade this node")]
    FormatTooOld,
    /// It knows another live node of this node's id.
    #[error(
        "another live node bears this node's id: give this one an id and a data folder of its own"
    )]
    IdConflict,
    /// This node left or was removed.
    #[error(
        "this node left the cluster: it may come back under a new id, with an empty data folder"
    )]
    MemberLeft,
    /// This node remembers less than it has said.
    #[error(
        "this node remembers less than it has said, so its data folder is an older copy: remove the node, and let it come back under a \
         new id, with an empty data folder"
    )]
    LostMemory,
    /// It could not use the message.
    #[error("it could not use the message")]
    BadMessage,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Refusal; 8] = [
        Refusal::WrongClusterName,
        Refusal::WrongClusterId,
        Refusal::FormatTooNew,
        Refusal::FormatTooOld,
        Refusal::IdConflict,
        Refusal::MemberLeft,
        Refusal::LostMemory,
        Refusal::BadMessage,
    ];

    /// The stable name for the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::WrongClusterName => "wrong-cluster-name",
            Refusal::WrongClusterId => "wrong-cluster-id",
            Refusal::FormatTooNew => "format-too-new",
            Refusal::FormatTooOld => "format-too-old",
            Refusal::IdConflict => "id-conflict",
            Refusal::MemberLeft => "member-left",
            Refusal::LostMemory => "lost-memory",
            Refusal::BadMessage => "bad-message",
        }
    }

    /// The refusal of that stable name.
    pub fn from_name(name: &str) -> Option<Self> {
        Refusal::ALL
            .into_iter()
            .find(|refusal| refusal.as_str() == name)
    }
}

const SHOWN_MAX: usize = 64;
