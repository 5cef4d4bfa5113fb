//! From partitions that differ down to the ranges in which keys must be listed.

use dynamokv_ring::TokenRange;

use crate::message::{PARENTS_MAX, Parent, Sums, limit};
use crate::{Error, Forest, Prefix, Ranges, Result, Sight};

/// The leading node's way down: which sums to ask for next, until nothing but ranges are left. Remembers what differs and nothing
/// else; the trees may change between any two steps.
///
/// A range is asked about further until about as many keys lie in it as there are sums in an answer: listing them costs the same
/// then. Where one side has nothing, there is nothing to find by going down.
#[derive(Clone, Debug, Default)]
pub struct Descent {
    open: Vec<Prefix>,
    ranges: Vec<TokenRange>,
    unknown: bool,
}

/// A step goes down by so many bits.
const STEP_BITS: u8 = 4;

/// So few keys are listed rather than asked about.
const LISTED_KEYS: u64 = 1 << STEP_BITS;

/// How a place compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both hold the same.
    Same,
    /// They do not.
    Differs,
    /// One of them has not counted it yet.
    NotReady,
}

impl Descent {
    /// From places that are known to differ.
    pub fn new(forest: &Forest, differing: impl IntoIterator<Item = Prefix>) -> Self {
        let mut descent = Self::default();
        for prefix in differing {
            descent.take(forest, prefix, None);
        }
        descent
    }

    /// What to ask next; `None` when there is nothing left to ask.
    pub fn ask(&mut self, forest: &Forest) -> Option<Vec<Parent>> {
        let mut parents = Vec::new();
        while parents.len() < PARENTS_MAX >> STEP_BITS
            && let Some(prefix) = self.open.pop()
        {
            let finest = forest.finest(prefix.first());
            let split = (prefix.length() + STEP_BITS).min(finest);
            match Parent::new(prefix, split) {
                Ok(parent) => parents.push(parent),
                // The leaves have become coarser meanwhile.
                Err(_) => self.ranges.push(prefix.range()),
            }
        }
        (!parents.is_empty()).then_some(parents)
    }

    /// The answer to [`ask`](Self::ask). O(sums).
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if it does not fit the question.
    pub fn answered(&mut self, forest: &Forest, asked: &[Parent], theirs: &[Sums]) -> Result<()> {
        check_lengths(asked, theirs)?;
        for (parent, theirs) in asked.iter().zip(theirs) {
            match theirs {
                Sums::NotReady => self.unknown = true,
                Sums::TooFine => self.ranges.push(parent.prefix().range()),
                Sums::Of(theirs) => {
                    for (child, theirs) in parent.children().zip(theirs) {
                        match forest.see(child) {
                            Sight::Sum(ours) if ours == *theirs => {}
                            Sight::NotReady => self.unknown = true,
                            Sight::TooFine => self.ranges.push(child.range()),
                            Sight::Sum(_) => self.take(forest, child, Some(*theirs)),
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether something could not be compared, since one side has not counted it yet.
    #[must_use]
    pub fn has_unknown(&self) -> bool {
        self.unknown
    }

    /// The ranges in which something differs, when nothing is left to ask.
    #[must_use]
    pub fn into_ranges(self) -> Ranges {
        Ranges::union(self.ranges)
    }

    fn take(&mut self, forest: &Forest, prefix: Prefix, theirs: Option<u128>) {
        let keys = forest.keys(prefix);
        let at_a_leaf = prefix.length() >= forest.finest(prefix.first());
        if theirs == Some(0) || keys <= LISTED_KEYS || at_a_leaf {
            self.ranges.push(prefix.range());
        } else {
            self.open.push(prefix);
        }
    }
}

/// How places compare whose [own sums](Parent::itself) were asked for.
///
/// # Errors
/// [`Error::Inconsistent`] if the answer does not fit the question.
pub fn verdicts(forest: &Forest, asked: &[Parent], theirs: &[Sums]) -> Result<Vec<Verdict>> {
    check_lengths(asked, theirs)?;
    let verdict = |(parent, theirs): (&Parent, &Sums)| match theirs {
        Sums::NotReady | Sums::TooFine => Verdict::NotReady,
        Sums::Of(theirs) => {
            let ours: Vec<Sight> = parent.children().map(|child| forest.see(child)).collect();
            let unknown = |sight: &Sight| !matches!(sight, Sight::Sum(_));
            if ours.iter().any(unknown) {
                Verdict::NotReady
            } else if ours.iter().eq(theirs
                .iter()
                .map(|sum| Sight::Sum(*sum))
                .collect::<Vec<_>>()
                .iter())
            {
                Verdict::Same
            } else {
                Verdict::Differs
            }
        }
    };
    Ok(asked.iter().zip(theirs).map(verdict).collect())
}

impl Forest {
    /// The answering node's part: the sums within some places. O(sums, and the buckets or leaves behind them).
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub fn sums(&self, asked: &[Parent]) -> Result<Vec<Sums>> {
        limit("parents", asked.len(), PARENTS_MAX)?;
        Ok(asked
            .iter()
            .map(|parent| self.sums_within(parent))
            .collect())
    }

    fn sums_within(&self, parent: &Parent) -> Sums {
        let mut sums = Vec::with_capacity(parent.children().len());
        for child in parent.children() {
            match self.see(child) {
                Sight::Sum(sum) => sums.push(sum),
                Sight::TooFine => return Sums::TooFine,
                Sight::NotReady => return Sums::NotReady,
            }
        }
        Sums::Of(sums)
    }
}

fn check_lengths(asked: &[Parent], theirs: &[Sums]) -> Result<()> {
    let fits = |(parent, theirs): (&Parent, &Sums)| match theirs {
        Sums::Of(sums) => sums.len() == parent.children().len(),
        Sums::TooFine | Sums::NotReady => true,
    };
    if asked.len() != theirs.len() || !asked.iter().zip(theirs).all(fits) {
        return Err(Error::Inconsistent {
            field: "sums",
            reason: "not as many as were asked for",
        });
    }
    Ok(())
}
