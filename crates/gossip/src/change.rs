use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use dynamokv_ring::NodeId;

use crate::{ChangeId, ClusterFacts, Error, Reads, Result, Stage, StageMark, Writes};

/// What a node knows of the others' progress; [`Gossip::change_view`](crate::Gossip::change_view) makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeView {
    /// Every node's latest mark, as gossiped.
    pub marks: BTreeMap<NodeId, StageMark>,
    /// Nodes that an operator asked to remove while the change was open, and that everybody else has fenced: they
    /// are not waited for.
    pub excused: BTreeSet<NodeId>,
}

/// One node's way through the open change, stage by stage; pure, and fenced by the change's id.
///
/// The embedder loops: ask for the [next step](Self::next_step), do the stage's duty (see the table at [`Stage`]), make the
/// mark durable, then say that it was [entered](Self::entered) and gossip it. On `Finished` the duty is to
/// [finish](ClusterFacts::finish) the facts.
///
/// ```
/// # use dynamokv_gossip::*;
/// # use dynamokv_ring::{Member, NodeId};
/// let me = NodeId(1);
/// let facts = ClusterFacts::found(7, "demo", 8, 3, Member::new(me))?;
/// let progress = ChangeProgress::new(me, None);
/// assert_eq!(progress.next_step(&facts, &ChangeView::default()), None, "no change is open");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeProgress {
    me: NodeId,
    mark: Option<StageMark>,
}

impl ChangeProgress {
    /// Goes on from the mark that was durable here, if any.
    pub fn new(me: NodeId, mark: Option<StageMark>) -> Self {
        ChangeProgress { me, mark }
    }

    /// The latest mark.
    pub fn mark(&self) -> Option<StageMark> {
        self.mark
    }

    /// The stage of the open change that this node is at; `None` if none is open or it was not announced yet.
    pub fn stage(&self, facts: &ClusterFacts) -> Option<Stage> {
        self.mark?.stage_of(facts.open_id()?)
    }

    /// The rings that writes go to now.
    pub fn writes_to(&self, facts: &ClusterFacts) -> Writes {
        Stage::writes_to(self.stage(facts))
    }

    /// The ring that reads use now.
    pub fn reads_from(&self, facts: &ClusterFacts) -> Reads {
        Stage::reads_from(self.stage(facts))
    }

    /// The next stage that the others allow, as the mark that is to be entered; `None` if there is nothing to do or
    /// somebody is waited for. O(members).
    pub fn next_step(&self, facts: &ClusterFacts, view: &ChangeView) -> Option<StageMark> {
        let step = StageMark {
            stage: Stage::after(self.stage(facts))?,
            change: facts.open_id()?,
        };
        self.admit(step, facts, view).is_ok().then_some(step)
    }

    /// Whether a stage may be entered now: to be asked before its duty is begun. O(members).
    ///
    /// # Errors
    /// [`Error::ChangeNotOpen`] if the change is not the open one (any more), [`Error::IllegalStage`] with the reason.
    pub fn admit(&self, step: StageMark, facts: &ClusterFacts, view: &ChangeView) -> Result<()> {
        let StageMark { change, stage } = step;
        if facts.open_id() != Some(change) {
            return Err(Error::ChangeNotOpen { change });
        }
        let at = self.stage(facts);
        let why = if !self.takes_part(facts) {
            Illegal::Outsider
        } else if Stage::after(at) != Some(stage) {
            Illegal::OutOfTurn { at }
        } else {
            let nodes = self.waits_for(facts, view, stage);
            if nodes.is_empty() {
                return Ok(());
            }
            Illegal::Early { nodes }
        };
        Err(Error::IllegalStage { change, stage, why })
    }

    /// The nodes that have not come far enough for this node to go on: what to tell the operator of a blocked change.
    pub fn blocked_by(&self, facts: &ClusterFacts, view: &ChangeView) -> Vec<NodeId> {
        match Stage::after(self.stage(facts)) {
            Some(stage) if facts.open.is_some() && self.takes_part(facts) => {
                self.waits_for(facts, view, stage)
            }
            _ => Vec::new(),
        }
    }

    /// The duty is done and the mark durable: from now on the node is at that stage.
    ///
    /// # Errors
    /// As [`admit`](Self::admit): the change may have been superseded meanwhile. The state is unchanged then.
    pub fn entered(
        &mut self,
        step: StageMark,
        facts: &ClusterFacts,
        view: &ChangeView,
    ) -> Result<()> {
        self.admit(step, facts, view)?;
        self.mark = Some(step);
        Ok(())
    }

    fn takes_part(&self, facts: &ClusterFacts) -> bool {
        facts.needed().contains(&self.me)
    }

    fn waits_for(&self, facts: &ClusterFacts, view: &ChangeView, stage: Stage) -> Vec<NodeId> {
        let Some(change) = facts.open_id() else {
            return Vec::new();
        };
        let mut needed = facts.needed();
        let member = facts.current.contains(self.me);
        let before = match stage.before() {
            Some(before) => before,
            None if member => return Vec::new(),
            // A newcomer acknowledges what the members settled.
            None => {
                needed.retain(|id| facts.current.contains(*id));
                Stage::Announced
            }
        };
        let waits_for = |id: &NodeId| {
            !view.excused.contains(id) && !self.has_reached(view, *id, change, before)
        };
        needed.into_iter().filter(waits_for).collect()
    }

    fn has_reached(&self, view: &ChangeView, id: NodeId, change: ChangeId, stage: Stage) -> bool {
        // What this node gossiped of itself may be older than what it knows.
        let mark = if id == self.me {
            self.mark
        } else {
            view.marks.get(&id).copied()
        };
        mark.and_then(|mark| mark.stage_of(change)) >= Some(stage)
    }
}

/// Why a stage may not be entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Illegal {
    /// The node is in neither ring of the change, or is being removed by it.
    Outsider,
    /// Another stage is the next one.
    OutOfTurn {
        /// The stage that the node is at.
        at: Option<Stage>,
    },
    /// Others have not gossiped the stage before.
    Early {
        /// These.
        nodes: Vec<NodeId>,
    },
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Illegal::Outsider => f.write_str("this node has no part in the change"),
            Illegal::OutOfTurn { at } => {
                let name = |stage: Option<Stage>| stage.map_or("none".into(), |s| s.to_string());
                let next = Stage::after(*at);
                write!(
                    f,
                    "this node is at {}, after which comes {}",
                    name(*at),
                    name(next)
                )
            }
            Illegal::Early { nodes } => {
                let nodes: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
                write!(
                    f,
                    "{} must come to the stage before first",
                    nodes.join(", ")
                )
            }
        }
    }
}
