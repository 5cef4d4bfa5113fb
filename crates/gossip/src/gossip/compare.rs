//! Where two views differ, and what is wanted of the other one.

use dynamokv_ring::NodeId;

use super::Gossip;
use super::heartbeats::fold;
use crate::roster::{BucketSums, Buckets, key_of};
use crate::{Digest, KeySpan};

impl Gossip {
    /// Own digests of whole stretches in which the two sides differ, as far as the budget goes; of a different choice each
    /// time.
    pub(super) fn differing(
        &mut self,
        buckets: Buckets,
        sums: &[BucketSums],
        theirs: &[u32],
        budget: usize,
    ) -> (Vec<KeySpan>, Vec<Digest>) {
        let mut different: Vec<usize> = (0..buckets.count())
            .filter(|bucket| {
                sums.get(*bucket).map(|sums| fold(sums.view)) != theirs.get(*bucket).copied()
            })
            .collect();
        if different.is_empty() {
            // The whole differs, but no part: two folded sums are equal by accident.
            different = (0..buckets.count()).collect();
        }
        let start = self.random_below(different.len());
        different.rotate_left(start);
        let (mut spans, mut digests, mut left) = (Vec::new(), Vec::new(), budget);
        for bucket in different {
            let span = buckets.span(bucket);
            let (span, known) = if digests.is_empty() {
                self.window(span, left)
            } else {
                (span, self.known_in(&[span]).collect())
            };
            let found: Vec<Digest> = known.into_iter().map(|id| self.digest(id)).collect();
            let size = SPAN_BYTES + found.iter().map(Digest::encoded_len).sum::<usize>();
            if size > left {
                break;
            }
            left -= size;
            spans.push(span);
            digests.extend(found);
        }
        (spans, digests)
    }

    /// A random part of a span and the nodes in it, if they are too many for the budget.
    fn window(&mut self, span: KeySpan, budget: usize) -> (KeySpan, Vec<NodeId>) {
        let known: Vec<NodeId> = self.known_in(&[span]).collect();
        let size = (budget.saturating_sub(SPAN_BYTES) / DIGEST_BYTES_MAX).max(1);
        let windows = known.len().div_ceil(size).max(1);
        let window = self.random_below(windows);
        let chosen: Vec<NodeId> = known
            .iter()
            .copied()
            .skip(window * size)
            .take(size)
            .collect();
        // The windows cover all keys, those of nodes that nobody here knows included.
        let first = chosen.first().filter(|_| window > 0).map(|id| key_of(*id));
        let next = known
            .get((window + 1) * size)
            .map(|id| key_of(*id).saturating_sub(1));
        let part = KeySpan {
            first: first.unwrap_or(span.first),
            last: next.unwrap_or(span.last),
        };
        (part, chosen)
    }

    /// Everybody who is known in some spans, those that left included; by span, in the order of comparison.
    pub(super) fn known_in(&self, spans: &[KeySpan]) -> impl Iterator<Item = NodeId> + use<> {
        let mut known = Vec::new();
        for span in spans {
            let start = known.len();
            let rows = self.roster.slice(self.roster.range(*span));
            known.extend(
                rows.iter()
                    .map(|row| row.id)
                    .filter(|id| !self.left.contains_key(id)),
            );
            let within = |id: &NodeId| (span.first..=span.last).contains(&key_of(*id));
            let present = known.len();
            known.extend(self.left.keys().copied().filter(within));
            if known.len() > present
                && let Some(found) = known.get_mut(start..)
            {
                found.sort_unstable_by_key(|id| key_of(*id));
            }
        }
        known.into_iter()
    }

    /// Of what the peer knows, that which is news here: this node's own digests of it.
    pub(super) fn wanted(&self, theirs: &[Digest], budget: usize) -> Vec<Digest> {
        let behind = theirs.iter().filter_map(|their| {
            let own = self.digest(their.id);
            let news = if own.left || their.left {
                their.left && !own.left
            } else {
                (their.generation, their.version) > (own.generation, own.version)
            };
            news.then_some(own)
        });
        let mut left = budget;
        let within = behind.take_while(|digest| {
            let rest = left.checked_sub(digest.encoded_len());
            left = rest.unwrap_or(0);
            rest.is_some()
        });
        within.collect()
    }

    /// What is known of a node; all zeros for an unknown one.
    pub(super) fn digest(&self, id: NodeId) -> Digest {
        let left = self.left.contains_key(&id);
        let state = self.member(id).filter(|_| !left);
        Digest {
            id,
            generation: state.map_or(0, |state| state.generation),
            version: state.map_or(0, |state| state.version),
            left,
        }
    }
}

const SPAN_BYTES: usize = 16;
/// An id, two varints at their longest, and a flag.
const DIGEST_BYTES_MAX: usize = 29;
