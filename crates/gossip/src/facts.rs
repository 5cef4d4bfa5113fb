use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use dynamokv_ring::{Member, NodeId, PartitionRing};

use crate::node::TEXT_BYTES_MAX;
use crate::{Error, Result, Stage, StageMark};

/// What the whole cluster agrees on: its identity, the ring of the last finished change, and the change that is open.
///
/// Facts travel whole and merge to the greater of two: the greater number of the current target; at the same number,
/// an open change beats none; of two rival changes the one with the **lower** proposer id. That is a total order,
/// so merging is commutative, associative and idempotent.
///
/// # Why one of two rivals never gets past the announcement
/// A change is past `Announced` once every needed node has acknowledged it. Say that all acknowledged the change C of
/// proposer P, and that there is a rival of a lower proposer L. No needed member of the current ring held the rival when it
/// acknowledged C, or it would have kept it. None takes it afterwards:
/// - from L itself, if L is needed: L acknowledged C as well, so it proposed nothing under that number;
/// - from L, if L is being removed: whoever acknowledged that takes no open change from it any more;
/// - from a node outside the current ring: nobody takes an open change from those;
/// - from another needed member: then that one would have had to take it first.
///
/// Nodes outside the current ring have no say: they hold whichever change a member showed them last, and
/// acknowledge it after all needed members did, when it can no longer lose.
///
/// [`adopt`](Self::adopt) is these rules; an enumeration of the interleavings is in the tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Drawn at random when the cluster was founded; never zero.
    pub cluster_id: u64,
    /// The name in every node's configuration.
    pub cluster_name: String,
    /// Q: a power of two, fixed when the cluster was founded.
    pub partitions: u32,
    /// The target of the last finished change: the current ring.
    pub current: Target,
    /// The open change: the next ring.
    pub open: Option<Change>,
}

impl ClusterFacts {
    /// The most members of a ring.
    pub const MEMBERS_MAX: usize = 65_536;

    /// The facts of a cluster of one, change number 0.
    ///
    /// # Errors
    /// [`Error::BadFacts`] for an id of zero, an empty or overlong name, or a Q or N that no ring takes.
    pub fn found(
        cluster_id: u64,
        cluster_name: impl Into<String>,
        partitions: u32,
        replicas: usize,
        first: Member,
    ) -> Result<Self> {
        let facts = ClusterFacts {
            cluster_id,
            cluster_name: cluster_name.into(),
            partitions,
            current: Target {
                number: 0,
                replicas,
                members: vec![first],
            },
            open: None,
        };
        facts.validate()?;
        Ok(facts)
    }

    /// Whether the facts are consistent in themselves: for what comes from a disk or a peer. O(members).
    ///
    /// # Errors
    /// [`Error::BadFacts`] with the contradiction.
    pub fn validate(&self) -> Result<()> {
        let sane = |fits: bool, reason: &'static str| {
            if fits {
                Ok(())
            } else {
                Err(Error::BadFacts { reason })
            }
        };
        let name = self.cluster_name.len();
        sane(self.cluster_id != 0, "cluster_id is zero")?;
        sane(
            (1..=TEXT_BYTES_MAX).contains(&name),
            "cluster_name is not 1..=256 bytes",
        )?;
        // Q and N are checked by the crate that owns their limits.
        PartitionRing::new(self.partitions, self.current.replicas, [])?;
        self.current.validate()?;
        let Some(open) = &self.open else {
            return Ok(());
        };
        PartitionRing::new(self.partitions, open.target.replicas, [])?;
        open.target.validate()?;
        let follows = self.current.number.checked_add(1) == Some(open.target.number);
        sane(follows, "the open change does not follow the current one")?;
        let proposes = self.current.contains(open.proposer);
        sane(proposes, "the proposer is no member of the current ring")?;
        let removable = |id: &NodeId| self.current.contains(*id) && !open.target.contains(*id);
        sane(
            open.removing.iter().all(removable),
            "a node being removed is in the target or not in the current ring",
        )
    }

    /// Takes the greater of both (see above). Returns whether anything changed.
    ///
    /// This is the plain order, for facts from one's own disk or an operator. What comes from a peer goes
    /// through [`adopt`](Self::adopt).
    ///
    /// # Errors
    /// [`Error::FactsDisagree`] if the two are of different clusters; [`Error::BadFacts`] if the other one contradicts itself.
    pub fn merge(&mut self, other: &ClusterFacts) -> Result<bool> {
        if self == other {
            return Ok(false);
        }
        other.validate()?;
        self.agree(other)?;
        let taken = self.order(other) == Ordering::Less;
        if taken {
            self.clone_from(other);
        }
        Ok(taken)
    }

    /// Merges what the peer `from` sent to node `me`, as far as it may be taken from it. A finished change is taken from
    /// anybody; an open one only
    /// - from a member of the current ring that is not `fenced` (asked to be removed) and that the change open here
    ///   does not remove;
    /// - and not if `mark`, this node's own, is past `Announced` in a rival.
    ///
    /// A node outside the current ring takes whichever rival it is shown until it has acknowledged one.
    ///
    /// Returns whether anything changed.
    ///
    /// # Errors
    /// As [`merge`](Self::merge).
    pub fn adopt(
        &mut self,
        me: NodeId,
        other: &ClusterFacts,
        from: NodeId,
        fenced: &BTreeSet<NodeId>,
        mark: Option<StageMark>,
    ) -> Result<bool> {
        if self == other {
            return Ok(false);
        }
        let removing = |id| {
            self.open
                .as_ref()
                .is_some_and(|open| open.removing.contains(&id))
        };
        let trusted = other.current.contains(from) && !fenced.contains(&from) && !removing(from);
        let member = self.current.contains(me);
        let entered = match (&self.open, mark) {
            (Some(open), Some(mark)) => mark.stage_of(open.id()),
            _ => None,
        };
        let committed = entered > member.then_some(Stage::Announced);
        let rival = other.current.number == self.current.number;
        if !trusted || (committed && rival) {
            return self.merge(&other.without_open());
        }
        if rival && other.open.is_some() && !member {
            other.validate()?;
            self.agree(other)?;
            self.open.clone_from(&other.open);
            return Ok(true);
        }
        self.merge(other)
    }

    /// The same facts with no change open.
    #[must_use]
    pub fn without_open(&self) -> Self {
        ClusterFacts {
            open: None,
            ..self.clone()
        }
    }

    /// Opens a change.
    ///
    /// # Errors
    /// [`Error::BadFacts`] if one is open already, or the change does not fit these facts.
    pub fn open(&mut self, change: Change) -> Result<()> {
        if self.open.is_some() {
            return Err(Error::BadFacts {
                reason: "another change is open",
            });
        }
        let opened = ClusterFacts {
            open: Some(change),
            ..self.clone()
        };
        opened.validate()?;
        *self = opened;
        Ok(())
    }

    /// Ends the open change: its target is the current ring from now on.
    ///
    /// # Errors
    /// [`Error::ChangeNotOpen`] if another change or none is open.
    pub fn finish(&mut self, change: ChangeId) -> Result<()> {
        match self.open.take_if(|open| open.id() == change) {
            Some(open) => {
                self.current = open.target;
                Ok(())
            }
            None => Err(Error::ChangeNotOpen { change }),
        }
    }

    /// The ring that data is placed by.
    ///
    /// # Errors
    /// [`Error::Ring`] for facts that were not validated.
    pub fn current_ring(&self) -> Result<PartitionRing> {
        self.ring_of(&self.current)
    }

    /// The ring that the open change leads to, if one is open.
    ///
    /// # Errors
    /// [`Error::Ring`] for facts that were not validated.
    pub fn next_ring(&self) -> Result<Option<PartitionRing>> {
        let next = self.open.as_ref().map(|open| self.ring_of(&open.target));
        next.transpose()
    }

    /// The identity of the open change, if one is open.
    pub fn open_id(&self) -> Option<ChangeId> {
        self.open.as_ref().map(Change::id)
    }

    /// Whether the node is in the current or the next ring.
    pub fn in_a_ring(&self, id: NodeId) -> bool {
        self.current.contains(id)
            || self
                .open
                .as_ref()
                .is_some_and(|open| open.target.contains(id))
    }

    /// The ids in the current or the next ring, less those that the open change removes: whose acknowledgement a step of
    /// the change needs.
    pub fn needed(&self) -> BTreeSet<NodeId> {
        let mut needed: BTreeSet<NodeId> = self.current.ids().collect();
        if let Some(open) = &self.open {
            needed.extend(open.target.ids());
            for removed in &open.removing {
                needed.remove(removed);
            }
        }
        needed
    }

    /// The short form to compare.
    pub fn digest(&self) -> FactsDigest {
        FactsDigest {
            number: self.current.number,
            open: self.open.as_ref().map(|open| open.proposer),
        }
    }

    /// The ring that a target stands for, in this cluster: to look at what a change would do.
    ///
    /// # Errors
    /// [`Error::Ring`] for a target that was not validated.
    pub fn ring_of(&self, target: &Target) -> Result<PartitionRing> {
        let members = target.members.iter().cloned();
        Ok(PartitionRing::new(
            self.partitions,
            target.replicas,
            members,
        )?)
    }

    fn agree(&self, other: &ClusterFacts) -> Result<()> {
        let disagree = |field| Err(Error::FactsDisagree { field });
        if self.cluster_id != other.cluster_id {
            return disagree("cluster_id");
        }
        if self.cluster_name != other.cluster_name {
            return disagree("cluster_name");
        }
        if self.partitions != other.partitions {
            return disagree("partitions");
        }
        if self.current.number == other.current.number && self.current != other.current {
            return disagree("the target of one finished change");
        }
        Ok(())
    }

    fn order(&self, other: &ClusterFacts) -> Ordering {
        let rank = |facts: &ClusterFacts| {
            (
                facts.current.number,
                facts.open.as_ref().map(|open| Reverse(open.proposer)),
            )
        };
        rank(self)
            .cmp(&rank(other))
            // One proposer does not propose twice under one number; were it to, all still agree on one.
            .then_with(|| self.open.cmp(&other.open))
    }
}

/// The members of one ring.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The number of the change that leads to it; the founder's is 0.
    pub number: u64,
    /// N, the copies of each key. It stays what it is when there are fewer members.
    pub replicas: usize,
    /// The members, sorted by id.
    pub members: Vec<Member>,
}

impl Target {
    /// Whether the node is a member. O(log members).
    pub fn contains(&self, id: NodeId) -> bool {
        self.member(id).is_some()
    }

    /// The member of that id. O(log members).
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        let index = self
            .members
            .binary_search_by_key(&id, |member| member.id)
            .ok()?;
        self.members.get(index)
    }

    /// The members' ids, ascending.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().map(|member| member.id)
    }

    fn validate(&self) -> Result<()> {
        let reason = if self.members.is_empty() {
            "a ring without members"
        } else if self.members.len() > ClusterFacts::MEMBERS_MAX {
            "more than 65536 members"
        } else if !self.members.is_sorted_by(|a, b| a.id < b.id) {
            "members are not sorted by id, or one is there twice"
        } else if self
            .members
            .iter()
            .any(|member| member.zone.as_str().len() > TEXT_BYTES_MAX)
        {
            "a zone of more than 256 bytes"
        } else {
            return Ok(());
        };
        Err(Error::BadFacts { reason })
    }
}

/// One membership change: the members that it leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The member that proposed it.
    pub proposer: NodeId,
    /// What it leads to; its number is one more than the current target's.
    pub target: Target,
    /// Dead members that it removes: nobody waits for them. Those that leave by themselves are not among them.
    pub removing: Vec<NodeId>,
}

impl Change {
    /// What tells it from others.
    pub fn id(&self) -> ChangeId {
        ChangeId {
            number: self.target.number,
            proposer: self.proposer,
        }
    }
}

/// A change's number and proposer. Its text is `number/proposer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId {
    /// The number of its target.
    pub number: u64,
    /// The node that proposed it.
    pub proposer: NodeId,
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.proposer)
    }
}

impl FromStr for ChangeId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = || Error::malformed("change id (number/proposer)", text);
        let (number, proposer) = text.split_once('/').ok_or_else(malformed)?;
        Ok(ChangeId {
            number: number.parse().map_err(|_| malformed())?,
            proposer: proposer.parse().map_err(|_| malformed())?,
        })
    }
}

/// What tells two fact sheets of one cluster apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactsDigest {
    /// The number of the current target.
    pub number: u64,
    /// The proposer of the open change, if one is open.
    pub open: Option<NodeId>,
}

impl FactsDigest {
    /// Whether facts of this digest may hold news for a peer with `theirs`. Of two rivals each may: the lower one for
    /// members, either for a node outside the ring.
    pub fn is_news_for(self, theirs: Option<FactsDigest>) -> bool {
        theirs.is_none_or(|theirs| {
            self.number > theirs.number
                || (self.number == theirs.number && self.open.is_some() && self.open != theirs.open)
        })
    }
}
