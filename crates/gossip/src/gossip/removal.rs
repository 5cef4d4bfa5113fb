//! Removing others: requests, their echo, and the memory of who left.

use std::collections::BTreeSet;
use std::time::Duration;

use dynamokv_ring::NodeId;

use super::Gossip;
use crate::{ClusterFacts, Error, Event, KEY_REMOVE, Result, format_ids, parse_ids};

impl Gossip {
    /// An operator declares a node dead for good. It cannot be taken back, and must be true: two members that are each
    /// declared dead to the other, with no third one between them, go on as two clusters.
    ///
    /// A member of a ring is *fenced*: every node that hears of the request repeats it under
    /// [`KEY_REMOVE`], takes no more open changes from the node, and the next change removes it; an open one
    /// that it blocks goes on once everybody else has repeated the request. A node outside the rings is forgotten at once.
    ///
    /// # Errors
    /// [`Error::OwnNode`] for this node, [`Error::UnknownNode`] for one that nobody knows, [`Error::BadFacts`] before this node
    /// was let in, [`Error::TooLong`] for more than some 480 requests at once.
    pub fn request_removal(&mut self, id: NodeId) -> Result<()> {
        if id == self.local.id {
            return Err(Error::OwnNode { id });
        }
        if self.facts.is_none() {
            return Err(Error::BadFacts {
                reason: "this node was not let in yet",
            });
        }
        if self.in_a_ring(id) {
            let mut removals = self.removals();
            removals.insert(id);
            self.local
                .set(KEY_REMOVE.to_owned(), format_ids(&removals))?;
            return Ok(());
        }
        if !self.peers.contains_key(&id) {
            return Err(Error::UnknownNode { id });
        }
        self.mark_left(id, self.config.left_lifetime);
        Ok(())
    }

    /// The nodes that an operator asked to remove, as far as this node knows.
    pub fn removals(&self) -> BTreeSet<NodeId> {
        removals_of(self.local.value(KEY_REMOVE))
    }

    /// Those of them that every needed node has fenced.
    pub(super) fn excused(&self) -> BTreeSet<NodeId> {
        let removals = self.removals();
        let Some(facts) = self.facts.as_ref().filter(|_| !removals.is_empty()) else {
            return BTreeSet::new();
        };
        let needed = facts.needed();
        needed
            .difference(&removals)
            .map(|id| removals_of(self.kv(*id, KEY_REMOVE)))
            .fold(removals.clone(), |excused, theirs| &excused & &theirs)
    }

    /// Repeats what others were asked to remove, and stops repeating what is done. A node that was forgotten while it
    /// entered a ring is removed from it again.
    pub(super) fn echo_removals(&mut self) {
        let own = self.removals();
        let mut removals = own.clone();
        for peer in self.peers.values() {
            removals.append(&mut removals_of(peer.state.value(KEY_REMOVE)));
        }
        removals.extend(self.left.keys());
        removals.retain(|id| *id != self.local.id && self.in_a_ring(*id));
        if removals != own {
            // An overlong list is refused at its origin.
            let _ = self.local.set(KEY_REMOVE.to_owned(), format_ids(&removals));
        }
    }

    /// The node is gone for good, and that is remembered for `remember` from now; the shorter of two memories counts, or
    /// nodes would keep reminding each other for ever.
    pub(super) fn mark_left(&mut self, id: NodeId, remember: Duration) {
        let until = self.now + remember.min(self.config.left_lifetime);
        if let Some(known) = self.left.get_mut(&id) {
            *known = (*known).min(until);
            return;
        }
        if self.left.len() >= self.config.max_nodes {
            let oldest = self.left.iter().min_by_key(|(_, until)| **until);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.left.remove(&oldest);
            }
        }
        self.left.insert(id, until);
        if self.peers.remove(&id).is_some() {
            self.roster.remove(id);
            self.acquit(id);
        }
        self.echo_removals();
        self.push(Event::Left(id));
    }

    pub(super) fn forget_left(&mut self) {
        let now = self.now;
        self.left.retain(|_, until| *until > now);
    }

    fn in_a_ring(&self, id: NodeId) -> bool {
        self.facts
            .as_ref()
            .is_some_and(|facts: &ClusterFacts| facts.in_a_ring(id))
    }
}

/// A peer's list that does not parse asks for nothing.
fn removals_of(value: Option<&str>) -> BTreeSet<NodeId> {
    value
        .and_then(|value| parse_ids(value).ok())
        .unwrap_or_default()
}
