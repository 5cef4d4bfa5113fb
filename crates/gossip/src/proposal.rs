use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use dynamokv_ring::{Member, NodeId};

use crate::{Change, ChangeId, ClusterFacts, Status, Target};

/// A node as a proposer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id, and the weight and zone that it asks for.
    pub member: Member,
    /// Its status.
    pub status: Status,
    /// Whether it counts as live.
    pub live: bool,
    /// The node whose place it takes; heeded only while it is [`Status::Replacing`].
    pub replaces: Option<NodeId>,
}

/// What nodes and operators want of the next membership change, and what becomes of it now. Pure: all nodes of one view
/// come to the same answers.
///
/// When no change is open, the live member of the current ring with the lowest id proposes one that grants all that can be
/// granted: it adds the live nodes that want in, lets go the live ones that are leaving, removes those that an operator
/// asked to remove, and takes over new weights and zones of the rest. It never leads to an empty ring. Two nodes that
/// disagree on who is live may both propose; [`ClusterFacts`] settles that.
#[derive(Clone, Copy, Debug)]
pub struct Wishes<'a> {
    /// What the cluster agrees on.
    pub facts: &'a ClusterFacts,
    /// Every node that is known, each once.
    pub candidates: &'a [Candidate],
    /// Whom an operator asked to remove.
    pub remove: &'a BTreeSet<NodeId>,
    /// Who is remembered to have left.
    pub left: &'a BTreeSet<NodeId>,
}

impl Wishes<'_> {
    /// The change that node `me` should propose now, if any. The proposer makes it durable before it gossips it.
    /// O(candidates * log candidates).
    pub fn change(&self, me: NodeId) -> Option<Change> {
        let current = &self.facts.current;
        if self.facts.open.is_some() || self.proposer() != Some(me) {
            return None;
        }
        let mut members: BTreeMap<NodeId, Member> = current
            .members
            .iter()
            .map(|member| (member.id, member.clone()))
            .collect();
        for candidate in self.candidates {
            let id = candidate.member.id;
            match self.wish_of(candidate) {
                Some(wish) if self.obstacle(candidate, wish).is_some() => {}
                Some(Wish::Leave) => drop(members.remove(&id)),
                Some(Wish::Join | Wish::Replace(_) | Wish::Alter) => {
                    members.insert(id, candidate.member.clone());
                }
                Some(Wish::Remove) | None => {}
            }
        }
        members.retain(|id, _| !self.remove.contains(id));
        let members: Vec<Member> = members.into_values().collect();
        if members.is_empty() || members == current.members {
            return None;
        }
        Some(Change {
            proposer: me,
            target: Target {
                number: current.number.checked_add(1)?,
                replicas: current.replicas,
                members,
            },
            removing: self.removed().collect(),
        })
    }

    /// The members in whose place live nodes want to come, and that are down as they say: the proposer asks for their removal.
    /// Empty for everybody else. O(candidates * log candidates).
    pub fn replaced(&self, me: NodeId) -> Vec<NodeId> {
        if self.proposer() != Some(me) {
            return Vec::new();
        }
        let dead = |candidate: &Candidate| match self.wish_of(candidate)? {
            Wish::Replace(dead) if candidate.live => Some(dead),
            _ => None,
        };
        let due = |dead: &NodeId| {
            self.facts.in_a_ring(*dead) && !self.is_live(*dead) && !self.remove.contains(dead)
        };
        self.candidates
            .iter()
            .filter_map(dead)
            .filter(due)
            .collect()
    }

    /// What is wanted and not part of the open change, by node, each with what it waits for. O(candidates * log candidates).
    pub fn pending(&self) -> Vec<Pending> {
        let wishes = self.candidates.iter().filter_map(|candidate| {
            let wish = self.wish_of(candidate)?;
            let waits_for = self.obstacle(candidate, wish);
            Some((candidate.member.id, wish, waits_for))
        });
        // A node that is to be removed may be one of which nothing else is known.
        let unmet = self.removed().filter(|id| self.candidate(*id).is_none());
        let mut pending: Vec<Pending> = wishes
            .chain(unmet.map(|id| (id, Wish::Remove, None)))
            .map(|(node, wish, waits_for)| Pending {
                node,
                wish,
                waits_for: waits_for.or(self.turn()),
            })
            .collect();
        pending.sort_by_key(|pending| pending.node);
        pending
    }

    /// Whose turn it is to propose: the live member of the current ring with the lowest id, those aside that are to be removed.
    pub fn proposer(&self) -> Option<NodeId> {
        let able = |candidate: &&Candidate| {
            let id = candidate.member.id;
            candidate.live && self.facts.current.contains(id) && !self.remove.contains(&id)
        };
        let able = self.candidates.iter().filter(able);
        able.map(|candidate| candidate.member.id).min()
    }

    /// What the node wants that the target does not give it yet.
    fn wish_of(&self, candidate: &Candidate) -> Option<Wish> {
        let id = candidate.member.id;
        let goal = self.goal();
        let replaces = candidate
            .replaces
            .filter(|_| candidate.status == Status::Replacing);
        let Some(member) = goal.member(id) else {
            let comes = candidate.status.wants_in() && !self.remove.contains(&id);
            return comes.then_some(replaces.map_or(Wish::Join, Wish::Replace));
        };
        // Let in already, as a further node, when it was told whose place it takes.
        let still = |dead: &NodeId| goal.contains(*dead) && !self.remove.contains(dead);
        if let Some(dead) = replaces.filter(still) {
            return Some(Wish::Replace(dead));
        }
        if self.remove.contains(&id) {
            Some(Wish::Remove)
        } else if candidate.status == Status::Leaving {
            Some(Wish::Leave)
        } else {
            (*member != candidate.member).then_some(Wish::Alter)
        }
    }

    /// What keeps the wish from being granted by the next proposal.
    fn obstacle(&self, candidate: &Candidate, wish: Wish) -> Option<Wait> {
        if let Wish::Replace(dead) = wish {
            let granted = self.remove.contains(&dead) || self.left.contains(&dead);
            if !granted && self.is_live(dead) {
                return Some(Wait::StillLive(dead));
            }
            if !granted && !self.facts.in_a_ring(dead) {
                return Some(Wait::Unknown(dead));
            }
            if !granted {
                return Some(Wait::Removal(dead));
            }
        }
        if !candidate.live && wish != Wish::Remove {
            return Some(Wait::Down);
        }
        if let Some(open) = self.facts.open_id() {
            return Some(Wait::Change(open));
        }
        (wish == Wish::Leave && !self.somebody_remains()).then_some(Wait::Others)
    }

    /// Whether there are members when all have left who want to, and all have come who can.
    fn somebody_remains(&self) -> bool {
        let leaves = |id: NodeId| {
            let candidate = self.candidate(id);
            candidate.is_some_and(|candidate| {
                candidate.live && self.wish_of(candidate) == Some(Wish::Leave)
            })
        };
        let stays = |id: NodeId| !self.remove.contains(&id) && !leaves(id);
        let comes = |candidate: &Candidate| {
            let wish = self.wish_of(candidate);
            let wish = wish.filter(|wish| matches!(wish, Wish::Join | Wish::Replace(_)));
            wish.is_some_and(|wish| self.obstacle(candidate, wish).is_none())
        };
        self.facts.current.ids().any(stays) || self.candidates.iter().any(comes)
    }

    /// What all that is granted waits for.
    fn turn(&self) -> Option<Wait> {
        let open = self.facts.open_id().map(Wait::Change);
        open.or_else(|| self.proposer().map(Wait::Proposal))
    }

    /// Where the cluster is heading.
    fn goal(&self) -> &Target {
        let open = self.facts.open.as_ref();
        open.map_or(&self.facts.current, |open| &open.target)
    }

    /// Members of the target that an operator asked to remove.
    fn removed(&self) -> impl Iterator<Item = NodeId> + '_ {
        let goal = self.goal();
        self.remove.iter().copied().filter(|id| goal.contains(*id))
    }

    fn candidate(&self, id: NodeId) -> Option<&Candidate> {
        self.candidates
            .iter()
            .find(|candidate| candidate.member.id == id)
    }

    fn is_live(&self, id: NodeId) -> bool {
        self.candidate(id).is_some_and(|candidate| candidate.live)
    }
}

/// Something that is wanted of a membership change to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Whom it concerns.
    pub node: NodeId,
    /// What is wanted.
    pub wish: Wish,
    /// What it waits for; `None` only where nobody is left who could propose.
    pub waits_for: Option<Wait>,
}

/// What is wanted of a membership change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wish {
    /// To become a member.
    Join,
    /// To become a member in the place of a dead one.
    Replace(NodeId),
    /// To go, with everything handed over.
    Leave,
    /// To be removed, on an operator's word that it is dead.
    Remove,
    /// Another weight or zone.
    Alter,
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wish::Join => f.write_str("join"),
            Wish::Replace(dead) => write!(f, "replace {dead}"),
            Wish::Leave => f.write_str("leave"),
            Wish::Remove => f.write_str("be removed"),
            Wish::Alter => f.write_str("change its weight or zone"),
        }
    }
}

/// Why something that is wanted does not happen yet: text for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// Another change is open.
    Change(ChangeId),
    /// This member proposes the next change.
    Proposal(NodeId),
    /// The node is down: it is heard when it is back.
    Down,
    /// The node that is to be replaced is live.
    StillLive(NodeId),
    /// The node that is to be replaced is not known.
    Unknown(NodeId),
    /// The removal of the node that is to be replaced is about to be asked for.
    Removal(NodeId),
    /// Nobody would be left to take the data.
    Others,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::Change(change) => write!(f, "change {change} is open"),
            Wait::Proposal(node) => write!(f, "{node} is about to propose it"),
            Wait::Down => f.write_str("it is down"),
            Wait::StillLive(dead) => write!(f, "{dead} is live: stop it first"),
            Wait::Unknown(dead) => {
                write!(
                    f,
                    "{dead} is no member: start without it to join as a further node"
                )
            }
            Wait::Removal(dead) => write!(f, "the removal of {dead} is about to be asked for"),
            Wait::Others => f.write_str("it is the last member: nobody could take its data"),
        }
    }
}
