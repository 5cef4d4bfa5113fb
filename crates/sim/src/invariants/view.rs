//! All that is known of one key, indexed for the checks.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use dynamokv::ring::NodeId;
use dynamokv::storage::State;
use dynamokv::vclock::Dot;

use crate::end::End;
use crate::history::{History, Key, Read, Write, WriteId};

/// A write attempt with its name.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) id: WriteId,
    pub(super) write: &'a Write,
}

/// One key: what clients did to it and who keeps what of it in the end.
#[derive(Default)]
pub(super) struct View<'a> {
    /// All attempts, in the order of asking.
    pub(super) attempts: Vec<Attempt<'a>>,
    /// The reads that were answered.
    pub(super) reads: Vec<&'a Read>,
    /// Who keeps a copy at the end, owner or not.
    pub(super) copies: BTreeMap<NodeId, &'a State>,
    /// Who owns it at the end; `None` if the ring does not say.
    pub(super) owners: Option<&'a BTreeSet<NodeId>>,
    by_dot: BTreeMap<Dot, Attempt<'a>>,
    by_body: BTreeMap<&'a Bytes, Vec<Attempt<'a>>>,
}

impl<'a> View<'a> {
    /// One view for each key that was written or read, is kept, or has owners.
    /// O(operations x log keys).
    pub(super) fn of_each_key(history: &'a History, end: &'a End) -> BTreeMap<Key, Self> {
        let mut views: BTreeMap<Key, Self> = BTreeMap::new();
        for (id, write) in history.writes() {
            let view = views.entry(write.key).or_default();
            view.add(Attempt { id, write });
        }
        for read in history.reads() {
            views.entry(read.key).or_default().reads.push(read);
        }
        for (node, kept) in &end.nodes {
            for (key, state) in kept.copies.iter().filter(|(_, state)| !state.is_unknown()) {
                views.entry(*key).or_default().copies.insert(*node, state);
            }
        }
        for (key, owners) in &end.owners {
            views.entry(*key).or_default().owners = Some(owners);
        }
        views
    }

    /// The acknowledged attempts, with their dots.
    pub(super) fn acknowledged(&self) -> impl Iterator<Item = (Attempt<'a>, Dot)> {
        self.attempts
            .iter()
            .filter_map(|attempt| Some((*attempt, attempt.write.dot()?)))
    }

    /// The attempts that may have been applied and whose client had seen `dot`.
    pub(super) fn successors(&self, dot: Dot) -> impl Iterator<Item = Attempt<'a>> {
        self.attempts
            .iter()
            .copied()
            .filter(move |attempt| attempt.write.possible() && attempt.write.context.covers(&dot))
    }

    /// The attempt that was acknowledged under `dot`.
    pub(super) fn acknowledged_as(&self, dot: &Dot) -> Option<Attempt<'a>> {
        self.by_dot.get(dot).copied()
    }

    /// The attempts that may have written `body`: one and its retries.
    pub(super) fn writers_of(&self, body: &Bytes) -> &[Attempt<'a>] {
        self.by_body
            .get(body)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The owners with what each keeps; nothing for one that has no copy.
    pub(super) fn owned(&self) -> impl Iterator<Item = (NodeId, Option<&'a State>)> {
        let owners = self.owners.into_iter().flatten();
        owners.map(|owner| (*owner, self.copies.get(owner).copied()))
    }

    fn add(&mut self, attempt: Attempt<'a>) {
        self.attempts.push(attempt);
        if let Some(dot) = attempt.write.dot() {
            self.by_dot.entry(dot).or_insert(attempt);
        }
        if let Some(body) = attempt
            .write
            .body
            .as_ref()
            .filter(|_| attempt.write.possible())
        {
            self.by_body.entry(body).or_default().push(attempt);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::testing::{KEY, OWNERS, Scene, context, dot};
    use super::*;

    #[test]
    fn each_key_is_seen_with_its_own_operations_and_its_copies() {
        let mut scene = Scene::new();
        scene.put("tea", &[], dot(1, 1));
        scene.refused_put("tea", &[dot(1, 1)]);
        scene.unknown_put("milk", &[dot(1, 1)]);
        scene.read(&[("tea", dot(1, 1))], &[dot(1, 1)]);
        scene.keep_on(OWNERS[1], &[(dot(1, 1), Some("tea"))], &[]);
        let mut other = scene.history.writes_to(KEY).next().unwrap().1.clone();
        other.key = Key(8);
        scene.history.begin(other);

        let views = View::of_each_key(&scene.history, &scene.end);
        assert_eq!(views.keys().copied().collect::<Vec<_>>(), [KEY, Key(8)]);
        let view = &views[&KEY];
        let ids = |attempts: &[Attempt<'_>]| attempts.iter().map(|a| a.id.0).collect::<Vec<_>>();
        assert_eq!((ids(&view.attempts), view.reads.len()), (vec![0, 1, 2], 1));
        assert_eq!(ids(view.writers_of(&Bytes::from_static(b"tea"))), [0]);
        assert_eq!(ids(&view.successors(dot(1, 1)).collect::<Vec<_>>()), [2]);
        assert_eq!(
            view.acknowledged_as(&dot(1, 1)).map(|a| a.id),
            Some(WriteId(0))
        );
        let kept: Vec<_> = view
            .owned()
            .map(|(node, state)| (node, state.map(|state| state.context().clone())))
            .collect();
        let expected =
            OWNERS.map(|node| (node, (node == OWNERS[1]).then(|| context(&[dot(1, 1)]))));
        assert_eq!(kept, expected);
        assert_eq!(
            (ids(&views[&Key(8)].attempts), views[&Key(8)].owners),
            (vec![3], None)
        );
    }
}
