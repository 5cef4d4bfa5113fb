//! What is done to the keys.

use serde::{Deserialize, Serialize};

use crate::dice::Dice;
use crate::{Error, Result};

/// What is done to one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Reads it.
    Read,
    /// Writes a new value over it.
    Update,
    /// Writes a record that was not there.
    Insert,
    /// Reads it and writes a new value; both together are one action.
    ReadModifyWrite,
    /// Deletes it.
    Delete,
}

impl Action {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Update,
        Self::Insert,
        Self::ReadModifyWrite,
        Self::Delete,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Update => "update",
            Self::Insert => "insert",
            Self::ReadModifyWrite => "read-modify-write",
            Self::Delete => "delete",
        }
    }
}

/// How often each action is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mix {
    /// Each action with its weight.
    pub weights: Vec<(Action, u32)>,
}

impl Mix {
    /// A mix with such weights.
    ///
    /// # Errors
    /// [`Error::Plan`] if the weights sum up to 0 or to more than a million.
    pub fn new(weights: impl Into<Vec<(Action, u32)>>) -> Result<Self> {
        let mix = Self {
            weights: weights.into(),
        };
        match mix.sum() {
            1..=1_000_000 => Ok(mix),
            sum => Err(Error::plan(
                "mix",
                format!("weights sum up to {sum}, but must to 1..=1000000"),
            )),
        }
    }

    /// Draws an action. O(number of actions).
    pub fn draw(&self, dice: &mut Dice) -> Action {
        let mut at = dice.below(self.sum());
        for (action, weight) in &self.weights {
            let weight = u64::from(*weight);
            if at < weight {
                return *action;
            }
            at -= weight;
        }
        // The weights cover all that is drawn.
        Action::Read
    }

    fn sum(&self) -> u64 {
        self.weights
            .iter()
            .map(|(_, weight)| u64::from(*weight))
            .sum()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn actions_come_as_often_as_their_weights_say() {
        let mix = Mix::new([(Action::Read, 95), (Action::Insert, 5), (Action::Delete, 0)]).unwrap();
        let mut dice = Dice::new(1, 0);
        let mut counts = BTreeMap::new();
        for _ in 0..100_000 {
            *counts.entry(mix.draw(&mut dice)).or_insert(0_i64) += 1;
        }
        // Four standard deviations of 100,000 draws at 5 %: 276.
        assert!((counts[&Action::Insert] - 5_000).abs() < 276, "{counts:?}");
        assert_eq!(counts.len(), 2, "{counts:?}");
    }

    #[test]
    fn a_mix_of_nothing_is_none() {
        assert!(Mix::new([]).is_err());
        assert!(Mix::new([(Action::Read, 0)]).is_err());
        assert!(Mix::new([(Action::Read, u32::MAX)]).is_err());
    }
}
