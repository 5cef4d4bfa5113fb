//! What the cluster agrees on: facts, changes, and how they travel.

use std::collections::{BTreeMap, BTreeSet};

use dynamokv_ring::NodeId;

use super::Gossip;
use crate::wire::{read_facts, write_facts};
use crate::{
    Candidate, Change, ChangeId, ChangeView, ClusterFacts, Error, Event, FactsDigest, FactsPart,
    FactsState, KEY_CHANGE, NodeState, Pending, Result, StageMark, Target, Wishes,
};

/// Facts of which only the beginning has arrived.
#[derive(Debug)]
pub(super) struct Beginning {
    digest: FactsDigest,
    total: u32,
    bytes: Vec<u8>,
}

impl Gossip {
    /// What the cluster agrees on; none before this node was let in.
    pub fn facts(&self) -> Option<&ClusterFacts> {
        self.facts.as_ref()
    }

    /// Merges facts from this node's disk, or of a cluster that it founds. Returns whether anything changed.
    ///
    /// # Errors
    /// [`Error::WrongClusterName`] if they name another cluster than the configuration; otherwise as
    /// [`ClusterFacts::merge`].
    pub fn set_facts(&mut self, facts: ClusterFacts) -> Result<bool> {
        self.merge_facts(facts, |known, facts| known.merge(facts))
    }

    /// The change that is open.
    pub fn open_change(&self) -> Option<&Change> {
        self.facts.as_ref()?.open.as_ref()
    }

    /// The change that this node should propose now, if any: see [`Wishes`]. Make it durable, then
    /// [open](Self::open) it.
    pub fn proposal(&self) -> Option<Change> {
        self.with_wishes(|wishes| wishes.change(self.local.id))?
    }

    /// What is wanted of the next change, and what it waits for; nothing before this node was let in.
    pub fn pending(&self) -> Vec<Pending> {
        self.with_wishes(|wishes| wishes.pending())
            .unwrap_or_default()
    }

    /// Asks for the removal of those in whose place others want to come, if it is this node's turn to propose: see
    /// [`Wishes::replaced`]. Gives whom it asked to remove; propose after that is durable.
    pub fn request_replacements(&mut self) -> Vec<NodeId> {
        let dead = self.with_wishes(|wishes| wishes.replaced(self.local.id));
        let mut dead = dead.unwrap_or_default();
        dead.retain(|id| self.request_removal(*id).is_ok());
        dead
    }

    /// What the change after the open one will lead to, if nothing happens before: all that is wanted and can be granted. None
    /// if that is nothing, and before this node was let in.
    pub fn coming(&self) -> Option<Target> {
        let mut facts = self.facts.clone()?;
        if let Some(open) = facts.open_id() {
            facts.finish(open).ok()?;
        }
        let candidates = self.candidates();
        let left = self.left().collect();
        let change = |remove: &BTreeSet<NodeId>| {
            let wishes = Wishes {
                facts: &facts,
                candidates: &candidates,
                remove,
                left: &left,
            };
            let proposer = wishes.proposer()?;
            Some((wishes.replaced(proposer), wishes.change(proposer)))
        };
        let mut remove = self.removals();
        remove.extend(change(&remove)?.0);
        Some(change(&remove)?.1?.target)
    }

    fn candidates(&self) -> Vec<Candidate> {
        let candidate = |state: &NodeState| Candidate {
            member: state.member(),
            status: state.profile.status,
            live: self.is_live(state.id),
            replaces: state.replaces(),
        };
        self.members().map(candidate).collect()
    }

    fn with_wishes<R>(&self, look: impl FnOnce(Wishes<'_>) -> R) -> Option<R> {
        Some(look(Wishes {
            facts: self.facts.as_ref()?,
            candidates: &self.candidates(),
            remove: &self.removals(),
            left: &self.left().collect(),
        }))
    }

    /// Opens a change that this node proposes.
    ///
    /// # Errors
    /// [`Error::BadFacts`] if this node was not let in, another change is open, or the change does not fit.
    pub fn open(&mut self, change: Change) -> Result<()> {
        let facts = self.facts.as_mut().ok_or(Error::BadFacts {
            reason: "this node was not let in yet",
        })?;
        facts.open(change)
    }

    /// Ends the open change: its target is the current ring, and those that it removed are left. Make it durable first.
    ///
    /// # Errors
    /// [`Error::ChangeNotOpen`] if another change or none is open.
    pub fn finish(&mut self, change: ChangeId) -> Result<()> {
        let facts = self.facts.as_mut().ok_or(Error::ChangeNotOpen { change })?;
        let removed = facts.open.as_ref().map(|open| open.removing.clone());
        facts.finish(change)?;
        for id in removed.unwrap_or_default() {
            self.mark_left(id, self.config.left_lifetime);
        }
        Ok(())
    }

    /// How far everybody has come with the open change, for [`ChangeProgress`](crate::ChangeProgress). O(nodes).
    pub fn change_view(&self) -> ChangeView {
        let marks = self
            .members()
            .filter_map(|state| Some((state.id, state.stage_mark()?)));
        ChangeView {
            marks: marks.collect::<BTreeMap<NodeId, StageMark>>(),
            excused: self.excused(),
        }
    }

    pub(super) fn facts_state(&self) -> FactsState {
        FactsState {
            known: self.facts.as_ref().map(ClusterFacts::digest),
            partial: self
                .facts_begun
                .as_ref()
                .map(|begun| (begun.digest, size_of_part(&begun.bytes))),
        }
    }

    pub(super) fn is_ahead_of(&self, theirs: FactsState) -> bool {
        let facts = self.facts.as_ref();
        facts.is_some_and(|facts| facts.digest().is_news_for(theirs.known))
    }

    /// The next part of the facts, of so many bytes at most, if they are news for the peer.
    pub(super) fn facts_for(&self, theirs: FactsState, bytes_max: usize) -> Option<FactsPart> {
        let facts = self.facts.as_ref()?;
        if !self.is_ahead_of(theirs) {
            return None;
        }
        let digest = facts.digest();
        let whole = write_facts(facts);
        let begun = theirs.partial.filter(|(partial, _)| *partial == digest);
        let offset = begun.map_or(0, |(_, bytes)| bytes as usize);
        let rest = whole.get(offset..).unwrap_or_default();
        // Room for what stands around the bytes.
        let room = bytes_max.checked_sub(PART_OVERHEAD)?;
        Some(FactsPart {
            digest,
            total: size_of_part(&whole),
            offset: size_of_part(whole.get(..offset).unwrap_or_default()),
            bytes: rest
                .get(..room.min(rest.len()))
                .unwrap_or_default()
                .to_vec(),
        })
    }

    /// Takes a part of the facts; once they are whole, merges them.
    pub(super) fn take_part(&mut self, from: NodeId, part: Option<FactsPart>) -> Result<()> {
        let Some(part) = part else { return Ok(()) };
        if part.total > FACTS_BYTES_MAX {
            return Err(Error::BadFacts {
                reason: "more than 32 MiB",
            });
        }
        let known = self.facts.as_ref().map(ClusterFacts::digest);
        if !part.digest.is_news_for(known) {
            self.facts_begun = None;
            return Ok(());
        }
        let begun = self.facts_begun.take();
        let begun = begun.filter(|begun| begun.digest == part.digest && begun.total == part.total);
        let mut bytes = begun.map_or_else(Vec::new, |begun| begun.bytes);
        if part.offset as usize == bytes.len() {
            bytes.extend(part.bytes);
        }
        if bytes.len() < part.total as usize {
            let (digest, total) = (part.digest, part.total);
            self.facts_begun = Some(Beginning {
                digest,
                total,
                bytes,
            });
            return Ok(());
        }
        self.adopt_facts(from, read_facts(&bytes)?)
    }

    /// Merges facts that a peer sent, as far as they may be taken from it.
    fn adopt_facts(&mut self, from: NodeId, facts: ClusterFacts) -> Result<()> {
        let fenced = self.removals();
        let (me, mark) = (self.local.id, self.local.stage_mark());
        let facts = if self.facts.is_none() && !facts.current.contains(from) {
            facts.without_open()
        } else {
            facts
        };
        let changed = self.merge_facts(facts, |known, facts| {
            known.adopt(me, facts, from, &fenced, mark)
        })?;
        if changed {
            self.push(Event::FactsChanged);
            self.echo_removals();
        }
        Ok(())
    }

    fn merge_facts(
        &mut self,
        facts: ClusterFacts,
        merge: impl FnOnce(&mut ClusterFacts, &ClusterFacts) -> Result<bool>,
    ) -> Result<bool> {
        if facts.cluster_name != self.config.cluster_name {
            return Err(Error::WrongClusterName {
                ours: self.config.cluster_name.clone(),
                theirs: facts.cluster_name,
            });
        }
        let Some(known) = &mut self.facts else {
            facts.validate()?;
            self.facts = Some(facts);
            self.withdraw_superseded();
            return Ok(true);
        };
        let finishing = known.open.as_ref().map(|open| open.target.number);
        let removing = known.open.as_ref().map(|open| open.removing.clone());
        let changed = merge(known, &facts)?;
        // Others finished the change that was open here, or one after it.
        let current = &known.current;
        if finishing.is_some_and(|number| current.number >= number) {
            let gone = removing.unwrap_or_default().into_iter();
            let gone: Vec<NodeId> = gone.filter(|id| !current.contains(*id)).collect();
            for id in gone {
                self.mark_left(id, self.config.left_lifetime);
            }
        }
        self.withdraw_superseded();
        Ok(changed)
    }

    /// An acknowledgement of a change that lost to its rival ends with it, before this node says anything else.
    fn withdraw_superseded(&mut self) {
        let open = self.facts.as_ref().and_then(ClusterFacts::open_id);
        let (Some(open), Some(mark)) = (open, self.local.stage_mark()) else {
            return;
        };
        if mark.change.number == open.number && mark.change != open {
            // Never too long: nothing is shorter.
            let _ = self.local.set(KEY_CHANGE.to_owned(), String::new());
        }
    }
}

fn size_of_part(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

const FACTS_BYTES_MAX: u32 = 32 << 20;
const PART_OVERHEAD: usize = 32;
