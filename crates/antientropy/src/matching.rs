use std::ops::ControlFlow;

use dynamokv_ring::Token;

use crate::{Difference, Item, Listing};

/// The answering node's part of a [`Listing`]: compares it with all that this node has in the same ranges, shown in the order of
/// the tokens.
pub struct Matching<'a, E> {
    listed: &'a [Item],
    bytes_max: usize,
    bytes: usize,
    /// What this node has at one token: one key, but for a collision.
    here: Vec<(u128, usize, E)>,
    at: Option<Token>,
    found: Difference<E>,
}

impl<'a, E> Matching<'a, E> {
    /// A comparison with a listing.
    #[must_use]
    pub fn new(listing: &'a Listing) -> Self {
        Self {
            listed: listing.items(),
            bytes_max: listing.bytes_max(),
            bytes: 0,
            here: Vec::new(),
            at: None,
            found: Difference::default(),
        }
    }

    /// This node has a key with this token, which no one before exceeds, of so many bytes. Breaks when the answer is long enough.
    /// Amortised O(1).
    pub fn own(&mut self, token: Token, hash: u128, bytes: usize, entry: E) -> ControlFlow<()> {
        if self.at != Some(token) {
            self.settle();
            if self.bytes >= self.bytes_max && self.at.is_some() && !self.found.entries.is_empty() {
                self.found.until = self.at;
                return ControlFlow::Break(());
            }
            self.at = Some(token);
        }
        self.here.push((hash, bytes, entry));
        ControlFlow::Continue(())
    }

    /// The answer, when there are no more keys or the answer is long enough.
    #[must_use]
    pub fn finish(mut self) -> Difference<E> {
        self.settle();
        if self.found.until.is_none() {
            let rest = self.listed.iter().map(|item| item.token);
            self.found.wanted.extend(rest);
        }
        self.found.wanted.dedup();
        self.found
    }

    /// Compares what both have at a token, and at those before it.
    fn settle(&mut self) {
        let Some(token) = self.at.filter(|_| !self.here.is_empty()) else {
            return;
        };
        let before = self.listed.partition_point(|item| item.token < token);
        let through = self.listed.partition_point(|item| item.token <= token);
        let (passed, rest) = self.listed.split_at(through);
        let (missing, same) = passed.split_at(before);
        self.found
            .wanted
            .extend(missing.iter().map(|item| item.token));
        let unknown = |item: &&Item| self.here.iter().all(|(hash, _, _)| *hash != item.hash);
        if same.iter().any(|item| unknown(&item)) {
            self.found.wanted.push(token);
        }
        for (hash, bytes, entry) in self.here.drain(..) {
            if same.iter().all(|item| item.hash != hash) {
                self.bytes += bytes;
                self.found.entries.push(entry);
            }
        }
        self.listed = rest;
    }
}
