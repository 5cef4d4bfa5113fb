use std::fmt;
use std::str::FromStr;

use crate::{ChangeId, Error, Result};

/// How far a node has come with a membership change.
///
/// A node enters a stage only when every needed member has gossiped the one before, and only after its own duty is done.
/// Needed are the members of both rings, except those being removed; one that is down blocks the change.
///
/// | stage        | needed of all | duty before entering                            | writes to | reads from |
/// |--------------|---------------|-------------------------------------------------|-----------|------------|
/// | (none)       |               |                                                 | current   | current    |
/// | `Announced`  |               | the change is durable here                      | current   | current    |
/// | `Double`     | `Announced`   | new writes go to both rings, older ones ended   | both      | current    |
/// | `Streamed`   | `Double`      | every range that is gained has been streamed    | both      | current    |
/// | `ReadNew`    | `Streamed`    | new reads use the next ring, older ones ended   | both      | next       |
/// | `SingleNew`  | `ReadNew`     | new writes use the next ring, older ones ended  | next      | next       |
/// | `Finished`   | `SingleNew`   | the target is the current ring, durably         | next      | next       |
///
/// A newcomer enters `Announced` after all needed members of the current ring did: which of two rivals wins is their
/// decision.
///
/// Two nodes are never more than one stage apart, so whatever ring one of them reads from, all others write to
/// (a test below checks the table for it). After `Finished`, what is no longer owned is handed over and let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The node knows the change and has acknowledged it.
    Announced = 1,
    /// It writes to both rings, with W in each.
    Double = 2,
    /// It holds all that it gains.
    Streamed = 3,
    /// It reads from the next ring.
    ReadNew = 4,
    /// It writes to the next ring only.
    SingleNew = 5,
    /// The change is over.
    Finished = 6,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Stage; 6] = [
        Stage::Announced,
        Stage::Double,
        Stage::Streamed,
        Stage::ReadNew,
        Stage::SingleNew,
        Stage::Finished,
    ];

    /// The stage that follows `stage`; the first one after none; none after the last.
    pub fn after(stage: Option<Stage>) -> Option<Stage> {
        let entered = stage.map_or(0, |stage| stage as usize);
        Stage::ALL.get(entered).copied()
    }

    /// The stage before, or none before the first.
    pub fn before(self) -> Option<Stage> {
        let index = (self as usize).checked_sub(2)?;
        Stage::ALL.get(index).copied()
    }

    /// What a node does before it enters the stage, in words.
    pub fn duty(self) -> &'static str {
        match self {
            Stage::Announced => "the change is durable here",
            Stage::Double => {
                "new writes go to both rings with W in each; older operations have ended"
            }
            Stage::Streamed => "everything that is gained is here and synced",
            Stage::ReadNew => "new reads use the next ring; older ones have ended",
            Stage::SingleNew => "new writes use the next ring; older ones have ended",
            Stage::Finished => "the target is the current ring, durably",
        }
    }

    /// What holds everywhere once some node is at the stage.
    pub fn invariant(self) -> &'static str {
        match self {
            Stage::Announced => "nothing yet: a rival of a lower proposer may still win",
            Stage::Double => {
                "all have acknowledged the change: no rival gets as far, and who does not know of it is refused"
            }
            Stage::Streamed => "every write acknowledged from now on is on W owners of each ring",
            Stage::ReadNew => "every acknowledged write is on W owners of the next ring",
            Stage::SingleNew => "nobody reads from the current ring",
            Stage::Finished => {
                "nobody reads or writes by the old ring: what is owned no longer may go once its owners have it"
            }
        }
    }

    /// The rings that a node at this stage writes to. See the table.
    pub fn writes_to(stage: Option<Stage>) -> Writes {
        match stage {
            None | Some(Stage::Announced) => Writes::Current,
            Some(Stage::Double | Stage::Streamed | Stage::ReadNew) => Writes::Both,
            Some(Stage::SingleNew | Stage::Finished) => Writes::Next,
        }
    }

    /// The ring that a node at this stage reads from. See the table.
    pub fn reads_from(stage: Option<Stage>) -> Reads {
        match stage {
            None | Some(Stage::Announced | Stage::Double | Stage::Streamed) => Reads::Current,
            Some(Stage::ReadNew | Stage::SingleNew | Stage::Finished) => Reads::Next,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Announced => "announced",
            Stage::Double => "double",
            Stage::Streamed => "streamed",
            Stage::ReadNew => "read-new",
            Stage::SingleNew => "single-new",
            Stage::Finished => "finished",
        })
    }
}

/// The rings that writes go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// The current ring.
    Current,
    /// Both, with W in each separately.
    Both,
    /// The next ring.
    Next,
}

/// The ring that reads use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// The current ring.
    Current,
    /// The next ring.
    Next,
}

/// A node's word on how far it has come with which change: gossiped under [`KEY_CHANGE`](crate::KEY_CHANGE) as
/// `number/proposer/stage`, and kept on disk.
///
/// ```
/// # use dynamokv_gossip::StageMark;
/// let mark: StageMark = "4/000000000000beef/2".parse().unwrap();
/// assert_eq!(mark.stage, dynamokv_gossip::Stage::Double);
/// assert_eq!(mark.to_string(), "4/000000000000beef/2");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageMark {
    /// The change.
    pub change: ChangeId,
    /// The stage that was entered.
    pub stage: Stage,
}

impl StageMark {
    /// How far a node with this mark has come with `change`: a node that works on a later change has finished it.
    pub fn stage_of(&self, change: ChangeId) -> Option<Stage> {
        if self.change.number > change.number {
            Some(Stage::Finished)
        } else {
            (self.change == change).then_some(self.stage)
        }
    }
}

impl fmt::Display for StageMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.change, self.stage as u8)
    }
}

impl FromStr for StageMark {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = || Error::malformed("stage mark (number/proposer/stage)", text);
        let (change, stage) = text.rsplit_once('/').ok_or_else(malformed)?;
        let stage: usize = stage.parse().map_err(|_| malformed())?;
        let stage = stage.checked_sub(1).and_then(|index| Stage::ALL.get(index));
        Ok(StageMark {
            change: change.parse().map_err(|_| malformed())?,
            stage: *stage.ok_or_else(malformed)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamokv_ring::NodeId;

    fn stages() -> impl Iterator<Item = Option<Stage>> {
        std::iter::once(None).chain(Stage::ALL.map(Some))
    }

    #[test]
    fn whatever_ring_is_read_everybody_writes_to() {
        let stages: Vec<_> = stages().collect();
        let apart = stages.iter().zip(stages.iter().skip(1));
        let pairs = apart.flat_map(|(a, b)| [(*a, *a), (*a, *b), (*b, *a), (*b, *b)]);
        for (reader, writer) in pairs {
            let seen = match (Stage::reads_from(reader), Stage::writes_to(writer)) {
                (_, Writes::Both) => true,
                (Reads::Current, writes) => writes == Writes::Current,
                (Reads::Next, writes) => writes == Writes::Next,
            };
            assert!(seen, "{reader:?} reads what {writer:?} does not write");
        }
    }

    #[test]
    fn the_table_of_stages_holds() {
        let rows: Vec<_> = stages()
            .map(|stage| (Stage::writes_to(stage), Stage::reads_from(stage)))
            .collect();
        let expected = [
            (Writes::Current, Reads::Current),
            (Writes::Current, Reads::Current),
            (Writes::Both, Reads::Current),
            (Writes::Both, Reads::Current),
            (Writes::Both, Reads::Next),
            (Writes::Next, Reads::Next),
            (Writes::Next, Reads::Next),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn stages_follow_each_other() {
        for stage in Stage::ALL {
            assert_eq!(Stage::after(stage.before()), Some(stage));
        }
        assert_eq!(Stage::after(Some(Stage::Finished)), None);
    }

    #[test]
    fn marks_parse_back_and_damaged_ones_are_refused() {
        for stage in Stage::ALL {
            let change = ChangeId {
                number: 12,
                proposer: NodeId(3),
            };
            let mark = StageMark { change, stage };
            assert_eq!(mark.to_string().parse(), Ok(mark));
        }
        let id = NodeId(3);
        for text in [
            "",
            "1",
            "1/2",
            &format!("1/{id}/0"),
            &format!("1/{id}/7"),
            &format!("x/{id}/1"),
        ] {
            assert!(text.parse::<StageMark>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_mark_of_a_later_change_means_finished_and_one_of_a_rival_nothing() {
        let id = |number, proposer| ChangeId {
            number,
            proposer: NodeId(proposer),
        };
        let mark = StageMark {
            change: id(5, 1),
            stage: Stage::Double,
        };
        assert_eq!(mark.stage_of(id(5, 1)), Some(Stage::Double));
        assert_eq!(mark.stage_of(id(4, 9)), Some(Stage::Finished));
        assert_eq!(mark.stage_of(id(5, 2)), None);
        assert_eq!(mark.stage_of(id(6, 1)), None);
    }
}
