use std::fmt;
use std::str::FromStr;

use crate::Error;

/// What a node is to the cluster, as it says of itself: explicit, permanent and gossiped, unlike liveness.
///
/// The legal transitions; everything else is refused:
///
/// | from \ to     | Joining | Up  | Leaving | Removing | Replacing | Left |
/// |---------------|---------|-----|---------|----------|-----------|------|
/// | **Joining**   | .       | yes | .       | yes      | .         | yes  |
/// | **Up**        | .       | .   | yes     | yes      | .         | .    |
/// | **Leaving**   | .       | yes | .       | yes      | .         | yes  |
/// | **Removing**  | .       | .   | .       | .        | .         | yes  |
/// | **Replacing** | .       | yes | .       | yes      | .         | yes  |
/// | **Left**      | .       | .   | .       | .        | .         | .    |
///
/// `Leaving` to `Up` is a leave that was called off before it was proposed. Saying again what holds already is no
/// transition and is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Known, not yet a member of the ring: waits to be let in.
    Joining,
    /// A member.
    Up,
    /// A member that wants to go and hands its data over first.
    Leaving,
    /// An operator asked for its removal; the change that does it is not finished.
    Removing,
    /// Joins in the place of a node that is being removed.
    Replacing,
    /// Gone for good. Its id is remembered for a while so that nobody brings it back.
    Left,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 6] = [
        Status::Joining,
        Status::Up,
        Status::Leaving,
        Status::Removing,
        Status::Replacing,
        Status::Left,
    ];

    /// Whether the table allows this step. O(1).
    pub fn may_become(self, next: Status) -> bool {
        use Status::{Joining, Leaving, Left, Removing, Replacing, Up};
        match self {
            _ if self == next => true,
            Joining | Replacing => matches!(next, Up | Removing | Left),
            Up => matches!(next, Leaving | Removing),
            Leaving => matches!(next, Up | Removing | Left),
            Removing => next == Left,
            Left => false,
        }
    }

    /// Whether the node waits to be let in.
    pub fn wants_in(self) -> bool {
        matches!(self, Status::Joining | Status::Replacing)
    }

    /// Its number on the wire: never given to another one.
    pub(crate) fn number(self) -> u64 {
        match self {
            Status::Joining => 1,
            Status::Up => 2,
            Status::Leaving => 3,
            Status::Removing => 4,
            Status::Replacing => 5,
            Status::Left => 6,
        }
    }

    /// The stable lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Joining => "joining",
            Status::Up => "up",
            Status::Leaving => "leaving",
            Status::Removing => "removing",
            Status::Replacing => "replacing",
            Status::Left => "left",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Status::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| Error::malformed("status", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_is_final_and_a_member_never_joins_again() {
        for next in Status::ALL {
            assert_eq!(Status::Left.may_become(next), next == Status::Left);
            assert!(next == Status::Joining || !next.may_become(Status::Joining));
        }
    }

    #[test]
    fn every_status_leads_to_left() {
        for start in Status::ALL {
            let mut reached = vec![start];
            while let Some(next) = Status::ALL.into_iter().find(|next| {
                !reached.contains(next) && reached.iter().any(|at| at.may_become(*next))
            }) {
                reached.push(next);
            }
            assert!(reached.contains(&Status::Left), "{start} is a dead end");
        }
    }

    #[test]
    fn names_parse_back_and_others_are_refused() {
        for status in Status::ALL {
            assert_eq!(status.to_string().parse(), Ok(status));
        }
        assert!("UP".parse::<Status>().is_err());
    }
}
